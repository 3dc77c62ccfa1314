"""An engine for the module, and a log with a search over it for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from server.storage.scan.engine import DuckScanEngine
from tests.account_under_test import Account, set_up
from tests.contract.bucket_rig import BucketRig, in_bucket, versioned_bucket
from tests.contract.export_rig import Exporting
from tests.contract.search_rig import SearchRig, duck_engine
from tests.contract.session_rig import SessionRig
from tests.sandbox.running import Sandbox, running_sandbox
from tests.sandbox.token_issuer import serving_issuer


@pytest.fixture(scope="session")
def scan_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckScanEngine]:
    engine = duck_engine(tmp_path_factory.getbasetemp())
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def aws() -> Iterator[Sandbox]:
    """A sandbox for all tests, with a bucket that keeps versions."""
    with running_sandbox() as sandbox:
        versioned_bucket(sandbox)
        yield sandbox


@pytest.fixture(scope="session")
def account_named(aws: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Account]]:
    """Sets up what is planned under a name that nobody else has, in one sandbox."""
    with serving_issuer(tmp_path_factory.mktemp("issuer")) as (issuer, _):
        yield partial(set_up, aws, issuer)


@pytest.fixture
def rig(tmp_path: Path, scan_engine: DuckScanEngine) -> Iterator[SearchRig]:
    rig = SearchRig(tmp_path / "data", scan_engine)
    yield rig
    rig.close()


@pytest.fixture(autouse=True)
def _patient_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket may be slow, as the machine may: searches wait for its lists, and for what others put there."""
    monkeypatch.setattr("server.audit_log.bucket_looks._MOST_SECONDS", 120.0)
    monkeypatch.setattr("server.audit_log.bucket_dates.DESCRIBING_SECONDS", 120.0)


@pytest.fixture
def bucket(tmp_path: Path, scan_engine: DuckScanEngine, aws: Sandbox) -> Iterator[BucketRig]:
    """The same over a prefix of its own in a bucket."""
    prefix = tmp_path.name
    rig = BucketRig(
        tmp_path / "data", scan_engine, open_default=in_bucket(aws, prefix), client=aws.client("s3"), prefix=prefix
    )
    yield rig
    aws.clear_faults()
    rig.close()


@pytest.fixture(params=["rig", "bucket"])
def either(request: pytest.FixtureRequest) -> SearchRig:
    """The embedded storage, and one in a bucket: what is said of both."""
    rig: SearchRig = request.getfixturevalue(request.param)
    return rig


@pytest.fixture
def sessions(tmp_path: Path, scan_engine: DuckScanEngine) -> Iterator[SessionRig]:
    rig = SessionRig(SearchRig(tmp_path / "data", scan_engine))
    yield rig
    rig.close()


@pytest.fixture
def exporting(rig: SearchRig) -> Iterator[Exporting]:
    with ThreadPoolExecutor(2) as threads:
        yield Exporting(rig, threads)

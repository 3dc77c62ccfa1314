"""An engine for the module, and a log with a search over it for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from server.storage.scan.engine import DuckScanEngine
from tests.account_under_test import Account, set_up
from tests.contract.export_rig import Exporting
from tests.contract.search_rig import SearchRig, duck_engine
from tests.contract.session_rig import SessionRig
from tests.sandbox.running import running_sandbox
from tests.sandbox.token_issuer import serving_issuer


@pytest.fixture(scope="session")
def scan_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckScanEngine]:
    engine = duck_engine(tmp_path_factory.getbasetemp())
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def account_named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Account]]:
    """Sets up what is planned under a name that nobody else has, in one sandbox."""
    with running_sandbox() as sandbox, serving_issuer(tmp_path_factory.mktemp("issuer")) as (issuer, _):
        yield partial(set_up, sandbox, issuer)


@pytest.fixture
def rig(tmp_path: Path, scan_engine: DuckScanEngine) -> Iterator[SearchRig]:
    rig = SearchRig(tmp_path / "data", scan_engine)
    yield rig
    rig.close()


@pytest.fixture
def sessions(tmp_path: Path, scan_engine: DuckScanEngine) -> Iterator[SessionRig]:
    rig = SessionRig(SearchRig(tmp_path / "data", scan_engine))
    yield rig
    rig.close()


@pytest.fixture
def exporting(rig: SearchRig) -> Iterator[Exporting]:
    with ThreadPoolExecutor(2) as threads:
        yield Exporting(rig, threads)

"""What S3 says no with is named and waited out: nothing of a batch leaves journal and spool before it is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.audit_log.search.query import SearchQuery
from server.storage.ports import StorageError
from tests.contract.search_rig import SearchRig, duck_engine, event_json
from tests.contract.test_several_storages import OTHER, deliver, in_s3, switch_to
from tests.sandbox.running import Sandbox, running_sandbox

FAULTS = [
    ("SlowDown", 503, "AWS asks for fewer calls (SlowDown)"),
    ("ServiceUnavailable", 503, "AWS asks for fewer calls (ServiceUnavailable)"),
    ("InternalError", 500, "AWS had an error of its own (InternalError)"),
    ("ExpiredToken", 400, "the credentials are not valid (ExpiredToken)"),
    ("InvalidAccessKeyId", 403, "the credentials are not valid (InvalidAccessKeyId)"),
    ("AccessDenied", 403, "AWS did not allow it (AccessDenied)"),
    ("NoSuchBucket", 404, "there is no such thing (NoSuchBucket)"),
    ("KMS.DisabledException", 400, "AWS refused it (KMS.DisabledException)"),
    ("ConditionalRequestConflict", 409, "S3 says again and again that others are writing this object"),
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        yield running


def left(rig: SearchRig) -> tuple[int, int]:
    """How many segments with something in them and folders of the spool there are."""
    segments = [path for path in rig.folder.glob("journal/*/*.seg") if path.stat().st_size]
    return len(segments), len(list(rig.folder.glob("spool/*")))


def test_each_fault_is_named_and_what_it_kept_back_is_there_once_after(sandbox: Sandbox, tmp_path: Path) -> None:
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    switch_to(rig, OTHER)
    for number, (code, status, words) in enumerate(FAULTS, 1):
        rig.emit(event_json(code))
        rig.cut()
        before = left(rig)
        sandbox.fail("s3:PutObject", code, status=status, times=9)
        for _ in range(2):
            with pytest.raises(StorageError, match=re.escape(words)):
                deliver(rig, OTHER)
            assert left(rig) == (before[0], 1), "it is in the journal and the spool"
        sandbox.clear_faults()
        deliver(rig, OTHER)
        assert left(rig) == (before[0] - 1, 0)
        assert len(rig.catalogue.batches()) == number
    again = rig.reopened()
    found = [row.position.uid for row in again.page(SearchQuery(storage=OTHER)).rows]
    assert sorted(found) == sorted(code for code, *_ in FAULTS)
    storage: Any = again.storages.of(OTHER)
    assert len(storage.list_date("2026-11-18")) == len(list(storage.list_records())) == len(FAULTS), "none twice"
    assert not again.taken, "no fault is taken for a name that others have"
    again.close()

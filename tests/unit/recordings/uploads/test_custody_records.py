"""Custody records that were changed where they are kept: what they say of parts is held against what the state has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from sqlalchemy import Engine, delete

from server.audit_log.retention import Kept
from server.audit_log.scrub.known_damage import KnownDamage
from server.errors import DataLoss
from server.files import DiskFiles
from server.recordings.recording import Recording
from server.recordings.uploads.kept_bytes import read_sha256
from server.recordings.uploads.recovery import recall_missing
from server.recordings.verification import RecordingVerification
from server.state.catalogue import Catalogue
from server.state.database import writing
from server.state.storage_damage import CHANGED, SqlStorageDamage, is_recording
from server.state.tables import recordings, uploads
from tests.clouded_uploads import DATA, NAME
from tests.memory_s3 import CloudedFiles, Version
from tests.uploads_under_test import SESSION, S3UploadsUnderTest, UploadsUnderTest

SIZES = [8, 8, 16, 16, 24, 18]
"""Of the parts of DATA."""
CHANGES: dict[str, list[Any]] = {
    "without its end": [8, 8, 16, 16, 24, 0],
    "without its middle": [8, 8, 0, 16, 24, 18],
    "without anything": [-90, 0, 0, 0, 0, 0],
    "huge": [10**12, 8, 16, 16, 24, 18],
    "as long, with all parts elsewhere": [1, 15, 16, 16, 24, 18],
    "in other numbers": [8.0, 8, 16, 16, 24, 18],
    "in text": ["8", 8, 16, 16, 24, 18],
}


@pytest.fixture(params=["on the disk", "with versions", "without versions"])
def service(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[UploadsUnderTest]:
    if request.param == "on the disk":
        yield UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    else:
        yield S3UploadsUnderTest(CloudedFiles(keeps_versions=request.param == "with versions"), engine)


def rewrite(service: UploadsUnderTest, change: Callable[[dict[str, Any]], None]) -> None:
    """Have the custody record say something else; in a bucket as by who may delete versions."""

    def changed(data: bytes) -> bytes:
        record = orjson.loads(data)
        change(record)
        return orjson.dumps(record)

    if isinstance(service.files, CloudedFiles):
        versions = service.files.bucket.versions
        versions[:] = [replace(each, data=changed(each.data)) if "_custody" in each.key else each for each in versions]
        service.storage._known.clear()  # type: ignore[attr-defined]  # as after a start
    else:
        path = service.folder / f"{SESSION}.custody.json"
        path.write_bytes(changed(path.read_bytes()))


def resized(sizes: list[Any], *, total: int = 90, version: str = "") -> Callable[[dict[str, Any]], None]:
    """Change the bytes of the parts, and what the whole is said to have; and which version is said to be it."""

    def change(record: dict[str, Any]) -> None:
        for part, size in zip(record["parts"], sizes, strict=True):
            part["bytes"] = size
        record["bytes"] = total
        if version and "version_id" in record.get("stored", {}):
            record["stored"]["version_id"] = version

    return change


def scrubbed(service: UploadsUnderTest) -> set[str]:
    """What the scrub finds wrong with the one recording that there is."""
    known = KnownDamage(SqlStorageDamage(service.engine), service.storage.storage_id, is_recording, lambda: 1)
    kept = Kept("aws-1", 0, service.now_ms, cast(Catalogue, None))
    looking = RecordingVerification(
        lambda: service.storage, lambda: kept, service.store, known, service.alerts, service.schedule
    )
    looking.begin()
    for name in looking.look():
        looking.check(name, lambda size: None)
    return {each.kind for name, each in looking.damage.items() if name.endswith(f"{SESSION}.tar")}


def refused(service: UploadsUnderTest, recording: Recording) -> bool:
    """Whether no byte is given, of all or of a range, nor the digest of the whole."""
    for offset, length in ((0, 2**62), (1, 15)):
        with pytest.raises(DataLoss, match="custody record"):
            asyncio.run(service.content(recording, offset, length))
    row = service.store.recording(SESSION)
    assert row is not None
    with pytest.raises(DataLoss, match="custody record"):
        read_sha256(service.storage, row, service.schedule)
    return True


def test_where_parts_are_said_to_be_elsewhere_nothing_is_given_and_the_scrub_tells(service: UploadsUnderTest) -> None:
    """Their digests are those that were taken, and so is the digest over these."""
    recording, _ = asyncio.run(service.record(DATA))
    assert scrubbed(service) == set()
    if isinstance(service.files, CloudedFiles) and service.files.bucket.keeps_versions:
        service.files.bucket.put(Version(NAME, "theirs", DATA[:16] + DATA[32:], {}, ""))
    for change, sizes in CHANGES.items():
        rewrite(service, resized(sizes, version="theirs" if change == "without its middle" else ""))
        assert refused(service, recording), change
        assert scrubbed(service) == {CHANGED}, change
    rewrite(service, resized([*SIZES[:-1], 17], total=89))
    assert refused(service, recording), "of a shorter whole it says the same"


@pytest.mark.parametrize(("sizes", "total"), [([8, 8, 16, 16, 24, 0], 72), ([*SIZES[:-1], 17], 90)])
def test_what_the_state_lost_isnt_known_again_by_a_record_that_contradicts_itself(
    engine: Engine, tmp_path: Path, sizes: list[int], total: int
) -> None:
    """Where no proof is asked for, the record is all that tells how long its recording was."""
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    recording, _ = asyncio.run(service.record(DATA))
    with writing(service.engine).begin() as connection:
        for table in (recordings, uploads):
            connection.execute(delete(table))
    rewrite(service, resized(sizes, total=total))
    recall_missing(service.store, service.storage)
    assert service.store.recording(SESSION) is None
    rewrite(service, resized(SIZES))
    recall_missing(service.store, service.storage)
    assert asyncio.run(service.recordings.find(SESSION)) == recording

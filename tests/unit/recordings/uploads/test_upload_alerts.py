"""What storages do to recordings raises alerts and clears them; recordings that can't be sent are told and tried."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine

from server.audit_log.timestamps import DAY_MS
from server.errors import AuditStoreError, DataLoss, FailedPrecondition, Unavailable
from server.recordings.recording import UploadState
from server.recordings.threads import RecordingThreads
from server.recordings.uploads import settling
from server.recordings.uploads.settling import Waiting
from server.recordings.verification import can_read_recordings
from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.recordings import S3Recordings
from server.storage.ports import StorageError
from server.storage.recording_port import UploadPlace
from tests.clouded_uploads import away
from tests.loops import until
from tests.memory_s3 import CloudedFiles, MemoryS3, Version
from tests.uploads_under_test import SESSION, S3UploadsUnderTest, access

DATA = bytes(range(40))


def raised(service: S3UploadsUnderTest) -> list[str]:
    service.alerts.evaluate()
    return sorted(each.id for each in service.alerts.listed())


def session(number: int) -> str:
    return f"{SESSION[:-2]}{number:02}"


def complete(service: S3UploadsUnderTest, upload_id: str, failure: type[AuditStoreError]) -> None:
    with pytest.raises(failure):
        asyncio.run(service.complete(upload_id))


def test_recordings_that_cannot_be_sent_are_told_until_they_are_sent(service: S3UploadsUnderTest) -> None:
    service.s3.fails = away
    uploads = [asyncio.run(service.send(DATA, session=session(number))) for number in range(2)]
    for upload_id in uploads:
        complete(service, upload_id, Unavailable)
    asyncio.run(service.settling.look())
    (waiting,) = service.settling.waiting.values()
    assert (waiting.recordings, waiting.bytes) == (2, 2 * len(DATA))
    assert waiting.since_ms == min(row.touched_ms for row in service.store.open())
    assert raised(service) == ["session-upload"], "one look may fall into a moment"
    asyncio.run(service.settling.look())
    assert raised(service) == ["recording-not-sent", "session-upload"]
    (alert,) = [each for each in service.alerts.listed() if each.id == "recording-not-sent"]
    assert alert.detail == "2 of them, 80 bytes; the last error: s3:PutObject: no answer came"
    service.s3.fails = lambda operation: None
    asyncio.run(service.settling.look())
    assert (service.settling.waiting, raised(service)) == ({}, ["session-upload"])
    for number in range(2, 8):
        asyncio.run(service.record(DATA, session=session(number)))
    assert raised(service) == []


def test_one_that_can_never_be_sent_holds_up_none_and_its_number_is_told(
    service: S3UploadsUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four that fail in a row end a look, so that a storage that is away isn't waited for all day; the next look
    begins with those that were not tried."""
    service.s3.fails = away
    uploads = [asyncio.run(service.send(DATA, session=session(number))) for number in range(6)]
    for upload_id in uploads:
        complete(service, upload_id, Unavailable)
    service.s3.fails = lambda operation: None
    completing = MemoryS3._complete_multipart_upload

    def refused(self: MemoryS3, **asked: Any) -> Any:
        if session(5) not in asked["Key"]:
            raise AwsError("s3:PutObject", Kind.REFUSED, "InvalidPart")
        return completing(self, **asked)

    monkeypatch.setattr(MemoryS3, "_complete_multipart_upload", refused)
    asyncio.run(service.settling.look())
    assert service.settling.waiting["aws-1"].recordings == 6
    asyncio.run(service.settling.look())
    assert service.settling.waiting["aws-1"].recordings == 5
    assert asyncio.run(service.recordings.find(session(5))) is not None


def test_what_others_put_beside_custody_records_holds_up_no_end(
    service: S3UploadsUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state may have lost any of them, so that each is read, which takes hours where there are very many."""
    monkeypatch.setattr(settling, "LOOK_SECONDS", 0.01)
    is_read, may_end = Event(), Event()

    def records(*_: object) -> Iterator[Any]:
        is_read.set()
        assert may_end.wait(60)
        yield from ()

    monkeypatch.setattr(service.storage, "custody_records", records)
    upload_id = asyncio.run(service.send(DATA))
    service.s3.fails = away
    complete(service, upload_id, Unavailable)

    async def settle() -> None:
        task = asyncio.create_task(service.settling.run())
        await until(is_read.is_set)
        service.s3.fails = lambda operation: None
        await until(lambda: service.store.recording(SESSION))
        may_end.set()
        service.settling.stop()
        await task

    with ThreadPoolExecutor(2) as threads:
        service.settling._threads = RecordingThreads(threads, threads)
        asyncio.run(settle())


def test_what_a_look_has_not_found_out_is_not_told_of_anew(service: S3UploadsUnderTest) -> None:
    service.settling.stop()
    asyncio.run(service.settling.look())
    assert (service.settling.waiting, raised(service)) == (dict[str, Waiting](), [])


def test_a_callers_mistakes_with_uploads_are_not_counted(service: S3UploadsUnderTest) -> None:
    empty = asyncio.run(service.send(b""))
    upload_id = asyncio.run(service.send(DATA))
    for _ in range(5):
        complete(service, empty, FailedPrecondition)
        with pytest.raises(FailedPrecondition):
            asyncio.run(service.complete(upload_id, size=1))
    assert raised(service) == []
    asyncio.run(service.uploads.abort(access(), upload_id))
    for _ in range(5):
        recording = asyncio.run(service.recordings.find(SESSION, upload_id))
        assert recording is not None
        with pytest.raises(FailedPrecondition):  # nobody can read an aborted upload in S3
            asyncio.run(service.content(recording))
    assert raised(service) == []


def test_downloads_that_fail_or_have_other_bytes_raise_their_alert(service: S3UploadsUnderTest) -> None:
    recording, _ = asyncio.run(service.record(DATA))
    assert isinstance(service.files, CloudedFiles)
    versions = service.files.bucket.versions
    at = next(number for number, each in enumerate(versions) if each.key.endswith(".tar"))
    kept = versions[at]
    versions[at] = Version(kept.key, kept.version_id, DATA[:-1] + b"!", kept.metadata, "")
    for _ in range(2):
        with pytest.raises(DataLoss):
            asyncio.run(service.content(recording, len(DATA) - 1))
    service.s3.fails = away
    for _ in range(2):
        with pytest.raises(Unavailable):
            asyncio.run(service.content(recording))
    assert raised(service) == ["session-download"]
    versions[at], service.s3.fails = kept, lambda operation: None
    for _ in range(2):
        asyncio.run(service.content(recording))
    assert raised(service) == []


@pytest.mark.parametrize("of", ["recording", "custody record"])
def test_what_its_storages_retention_let_go_of_has_expired_and_raises_nothing_but_what_is_lost_before_does(
    service: S3UploadsUnderTest, of: str
) -> None:
    recording, _ = asyncio.run(service.record(DATA))
    assert isinstance(service.files, CloudedFiles)
    service.retention_days = 30
    asyncio.run(service.content(recording))
    versions = service.files.bucket.versions
    versions[:] = [each for each in versions if "_custody" in each.key and of == "recording"]
    service.now_ms += 31 * DAY_MS
    for _ in range(4):
        with pytest.raises(FailedPrecondition, match="more than 30 days ago has expired") as refused:
            asyncio.run(service.content(recording))
        assert refused.value.reason == "RECORDING_EXPIRED"
    assert raised(service) == []
    elsewhere = replace(recording, upload_id="elsewhere", storage="nowhere")
    assert service.recordings.expired([recording, elsewhere]) == {recording.upload_id: True}
    service.retention_days = 60
    assert service.recordings.expired([recording]) == {recording.upload_id: False}
    for _ in range(4):
        with pytest.raises(DataLoss, match="lost"):
            asyncio.run(service.content(recording))
    assert raised(service) == ["session-download"]


@pytest.mark.parametrize("of", ["recording", "custody record"])
def test_what_is_archived_is_told_as_that_and_raises_nothing(service: S3UploadsUnderTest, of: str) -> None:
    recording, _ = asyncio.run(service.record(DATA))
    assert isinstance(service.files, CloudedFiles)
    bucket = service.files.bucket
    bucket.archived = frozenset(each.key for each in bucket.versions if ("_custody" in each.key) == (of != "recording"))
    for _ in range(4):
        with pytest.raises(FailedPrecondition, match="archived, and can be read once it was restored") as refused:
            asyncio.run(service.content(recording))
        assert refused.value.reason == "OBJECT_ARCHIVED"
    assert raised(service) == []
    _, state = asyncio.run(service.record(DATA))
    assert state is UploadState.KEPT_ASIDE, "it may be the only copy that can be read"
    bucket.archived = frozenset()
    assert asyncio.run(service.content(recording)) == DATA


@pytest.mark.parametrize("operation", ["mkdir", "open", "append"])
def test_what_keeps_an_upload_from_beginning_opening_or_going_on_is_a_failure(engine: Engine, operation: str) -> None:
    refused = set[str]()

    def before(number: int, name: str) -> None:
        if name in refused:
            raise OSError(28, "no space left on device")

    service = S3UploadsUnderTest(CloudedFiles(before), engine)
    upload_id = asyncio.run(service.send(DATA))

    async def write(upload_id: str) -> None:
        refused.clear()
        stream = await service.uploads.start(access(), SESSION, upload_id)
        refused.add(operation)
        try:
            await stream.write(len(DATA), DATA)
            await stream.wait_durable(len(DATA))
        finally:
            await stream.close()

    refused.add(operation)
    for _ in range(4):
        with pytest.raises(AuditStoreError):
            if operation == "mkdir":
                asyncio.run(service.send(DATA, session=session(1)))
            elif operation == "open":
                asyncio.run(service.send(DATA, upload_id=upload_id, at=len(DATA)))
            else:
                asyncio.run(write(upload_id))
    assert raised(service) == ["session-upload"]


def test_one_of_which_nothing_can_be_told_holds_up_none(
    service: S3UploadsUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.s3.fails = away
    for number in range(2):
        complete(service, asyncio.run(service.send(DATA, session=session(number))), Unavailable)
    service.s3.fails = lambda operation: None
    decided = S3Recordings.decided

    def unreadable(self: S3Recordings, place: UploadPlace) -> bytes | None:
        if place.session_id == session(0):
            raise StorageError("the disk can't read it")
        return decided(self, place)

    monkeypatch.setattr(S3Recordings, "decided", unreadable)
    asyncio.run(service.settling.look())
    assert asyncio.run(service.recordings.find(session(0))) is None
    assert asyncio.run(service.recordings.find(session(1))) is not None


def test_a_try_reads_one_recording_or_another(service: S3UploadsUnderTest) -> None:
    assert not can_read_recordings(service.storage, service.store)
    recordings = [asyncio.run(service.record(DATA, session=session(number)))[0] for number in range(2)]
    assert isinstance(service.files, CloudedFiles)
    bucket = service.files.bucket
    gone = f"{recordings[1].session_id}.tar"
    bucket.versions[:] = [each for each in bucket.versions if not each.key.endswith(gone)]
    assert can_read_recordings(service.storage, service.store)
    service.s3.fails = away
    with pytest.raises(StorageError, match="no answer"):
        can_read_recordings(service.storage, service.store)

"""Uploads on disks that fail, or have changed, while they are written."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
from sqlalchemy import Engine

from server.errors import AuditStoreError, DataLoss, FailedPrecondition, Unavailable
from server.files import DiskFiles
from server.recordings.recording import UploadState
from server.recordings.uploads.parts import PartSchedule
from server.recordings.uploads.writing import Writing
from server.storage.recording_port import UploadPlace
from tests.crash.faulty_disk import FaultyFiles
from tests.uploads_under_test import OTHER_NODE, OTHER_SESSION, SCHEDULE, SESSION, UploadsUnderTest, access

DATA = bytes(range(100))


@pytest.mark.parametrize(
    ("operation", "fault", "reason"),
    [
        ("append", errno.ENOSPC, "DISK_FLOOR"),
        ("append", errno.EDQUOT, "DISK_FLOOR"),
        ("append", errno.EIO, "STORAGE_UNAVAILABLE"),
        ("sync", errno.EIO, "STORAGE_UNAVAILABLE"),
        ("sync", errno.ENOSPC, "DISK_FLOOR"),
    ],
)
def test_after_a_failed_write_or_sync_nothing_beyond_is_acknowledged_until_it_is_begun_anew(
    engine: Engine, tmp_path: Path, operation: str, fault: int, reason: str
) -> None:
    files = FaultyFiles(operation)
    service = UploadsUnderTest(files, engine, tmp_path / "recordings")

    async def live() -> None:
        stream = await service.uploads.start(access(), SESSION, "")
        await stream.write(0, DATA[:30])
        assert await stream.wait_durable(29) == 30
        files.fault = fault
        with pytest.raises(AuditStoreError) as told:
            await stream.write(30, DATA[30:60])
            await stream.wait_durable(30)
        assert told.value.reason == reason
        assert stream.durable_offset == 30
        refused = files.refused
        with pytest.raises(AuditStoreError):
            await stream.write(30, DATA[30:60])
        await stream.close()
        assert files.refused == refused, "nothing tries it again"
        files.fault = 0
        upload_id = stream.upload.upload_id
        assert (await service.uploads.get(access(), upload_id)).durable_offset == 30
        await service.send(DATA[30:], upload_id=upload_id, at=30)
        recording, _ = await service.complete(upload_id, sha256=hashlib.sha256(DATA).hexdigest())
        assert await service.content(recording) == DATA

    asyncio.run(live())


class MeetingFiles(FaultyFiles):
    """A sync that fails while something is appended, which ends after it."""

    def __init__(self) -> None:
        super().__init__()
        self.syncing, self.appending, self.told = (threading.Event() for _ in range(3))

    def check(self, operation: str) -> None:
        if operation == "append" and self.syncing.is_set():
            self.appending.set()
            assert self.told.wait(60)
        if operation == "sync" and not self.told.is_set():
            self.syncing.set()
            assert self.appending.wait(60)
            raise OSError(errno.EIO, "no")


def test_what_was_appended_while_a_sync_failed_counts_for_nothing(engine: Engine, tmp_path: Path) -> None:
    files, threads = MeetingFiles(), ThreadPoolExecutor(4)
    files.told.set()
    service = UploadsUnderTest(files, engine, tmp_path / "recordings", threads=threads)

    async def live() -> None:
        stream = await service.uploads.start(access(), SESSION, "")
        files.told.clear()
        await stream.write(0, DATA[:30])
        await asyncio.to_thread(files.syncing.wait, 60)
        await stream.write(30, DATA[30:60])
        with pytest.raises(Unavailable):
            await stream.wait_durable(0)
        files.told.set()
        await stream.close()
        upload_id = await asyncio.wait_for(service.send(DATA, upload_id=stream.upload.upload_id), 60)
        assert service.uploads._means.backlog._bytes == 0
        recording, _ = await service.complete(upload_id)
        assert await service.content(recording) == DATA

    with threads:
        asyncio.run(live())


class ShortFiles(FaultyFiles):
    """Appends that fail have written half of it."""

    at: Path

    def check(self, operation: str) -> None:
        if self.fault and operation == "append":
            with self.at.open("ab") as file:
                file.write(DATA[30:45])
        super().check(operation)


def test_a_short_write_leaves_nothing_that_is_believed(engine: Engine, tmp_path: Path) -> None:
    files = ShortFiles("append")
    service = UploadsUnderTest(files, engine, tmp_path / "recordings")

    async def live() -> None:
        stream = await service.uploads.start(access(), SESSION, "")
        await stream.write(0, DATA[:30])
        await stream.wait_durable(29)
        [files.at] = service.folder.rglob("data")
        files.fault = errno.EIO
        await stream.write(30, DATA[30:60])
        await stream.close()
        assert files.at.stat().st_size == 45
        files.fault = 0
        upload_id = await service.send(DATA[30:], upload_id=stream.upload.upload_id, at=30)
        recording, _ = await service.complete(upload_id)
        assert await service.content(recording) == DATA

    asyncio.run(live())


@pytest.mark.parametrize("operation", ["open", "rename", "link", "append", "sync", "remove"])
def test_a_completion_that_fails_is_repeated(engine: Engine, tmp_path: Path, operation: str) -> None:
    files = FaultyFiles(operation)
    service = UploadsUnderTest(files, engine, tmp_path / "recordings")

    async def live() -> None:
        upload_id = await service.send(DATA)
        files.fault = errno.EIO
        with pytest.raises(Unavailable) as told:
            await service.complete(upload_id)
        assert str(tmp_path) not in told.value.message
        files.fault = 0
        recording, state = await service.complete(upload_id)
        assert (state, await service.content(recording)) == (UploadState.COMPLETED, DATA)
        assert len(service.told()) == 1

    asyncio.run(live())


@pytest.mark.parametrize("how", ["resume", "abort"])
def test_a_completion_that_failed_half_way_is_finished_and_nothing_else(
    engine: Engine, tmp_path: Path, how: str
) -> None:
    """Its custody record may name it as the recording already: not one byte more may come."""
    files = FaultyFiles("link")
    service = UploadsUnderTest(files, engine, tmp_path / "recordings")

    async def live() -> None:
        upload_id = await service.send(DATA)
        files.fault = errno.EIO
        with pytest.raises(Unavailable):
            await service.complete(upload_id)
        files.fault = 0
        with pytest.raises(FailedPrecondition) as refused:
            await (
                service.uploads.start(access(), SESSION, upload_id)
                if how == "resume"
                else service.uploads.abort(access(), upload_id)
            )
        assert (refused.value.reason, refused.value.metadata) == ("UPLOAD_NOT_OPEN", {"state": "completed"})
        recording = await service.recordings.find(SESSION)
        assert recording is not None
        assert await service.content(recording) == DATA

    asyncio.run(live())


def test_after_a_restart_the_whole_s_digest_is_made_from_what_is_kept(engine: Engine, tmp_path: Path) -> None:
    first = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    upload_id = asyncio.run(first.send(DATA[:50]))
    second = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    asyncio.run(second.send(DATA[50:], upload_id=upload_id, at=50))
    recording, _ = asyncio.run(second.complete(upload_id))
    third = UploadsUnderTest(DiskFiles(), engine, tmp_path / "other")
    unbroken, _ = asyncio.run(third.record(DATA, session=OTHER_SESSION))
    assert (recording.sha256, recording.custody_digest) == (unbroken.sha256, unbroken.custody_digest)


@pytest.mark.parametrize("at", [0, 49])
def test_what_is_not_as_it_was_taken_is_not_completed(engine: Engine, tmp_path: Path, at: int) -> None:
    """In a full part, and in the one that was open."""
    first = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    upload_id = asyncio.run(first.send(DATA[:50]))
    [file] = first.folder.rglob("data")
    file.write_bytes(DATA[:at] + b"!" + DATA[at + 1 : 50])
    second = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    with pytest.raises(DataLoss):
        asyncio.run(second.complete(upload_id))
    assert list(second.folder.rglob("*.tar")) == []


@pytest.mark.parametrize("durable", [48, 50], ids=["full parts", "an open part"])
def test_an_upload_that_is_shorter_than_what_was_durable_is_not_gone_on_with(
    engine: Engine, tmp_path: Path, durable: int
) -> None:
    first = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    upload_id = asyncio.run(first.send(DATA[:durable]))
    [file] = first.folder.rglob("data")
    file.write_bytes(DATA[:30])
    second = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    with pytest.raises(Unavailable):
        asyncio.run(second.send(DATA[30:], upload_id=upload_id, at=30))
    assert file.read_bytes() == DATA[:30]


@pytest.mark.parametrize(("at", "durable"), [(1, 100), (7, 100), (9, 90)])
@pytest.mark.parametrize("damage", [b"x\n", b"[1]\n", b'["1",0,20,"",false]\n'])
def test_a_damaged_line_of_progress_takes_nothing_with_it_that_later_syncs_made_durable(
    engine: Engine, tmp_path: Path, damage: bytes, at: int, durable: int
) -> None:
    """The last one may be what a stop has torn, and was acknowledged to nobody."""
    first = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings", schedule=PartSchedule(1_000))
    upload_id = ""
    for start in range(0, 100, 10):
        upload_id = asyncio.run(first.send(DATA[start : start + 10], upload_id=upload_id, at=start))
    [progress], [data] = first.folder.rglob("progress"), first.folder.rglob("data")
    part = [hashlib.sha256(DATA[:size]).hexdigest() for size in range(10, 101, 10)]
    lines = [orjson.dumps([1, 0, 10 * (n + 1), digest, False]) + b"\n" for n, digest in enumerate(part)]
    progress.write_bytes(b"".join([*lines[:at], damage, *lines[at + 1 :]]))
    second = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings", schedule=PartSchedule(1_000))
    assert asyncio.run(second.uploads.get(access(), upload_id)).durable_offset == durable, "whatever the state noted"
    assert data.read_bytes() == DATA[:durable]


def test_an_upload_of_which_a_part_is_not_told_any_more_is_unavailable_and_its_bytes_stay(
    engine: Engine, tmp_path: Path
) -> None:
    schedule = PartSchedule(10)
    first = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings", schedule=schedule)
    upload_id = asyncio.run(first.send(DATA[:60]))
    asyncio.run(first.send(DATA[60:], upload_id=upload_id, at=60))
    [progress], [data] = first.folder.rglob("progress"), first.folder.rglob("data")
    for _ in range(2):  # as it was appended, and as a start writes it anew
        whole = progress.read_bytes()
        progress.write_bytes(whole.replace(b"[4,", b"\0004,", 1))
        for _ in range(2):
            service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings", schedule=schedule)
            with pytest.raises(Unavailable, match="damaged"):
                asyncio.run(service.uploads.get(access(), upload_id))
            assert data.read_bytes() == DATA
        progress.write_bytes(whole)
        assert asyncio.run(service.uploads.get(access(), upload_id)).durable_offset == len(DATA)


@pytest.mark.parametrize("operation", ["append", "sync"])
def test_a_new_stream_begins_from_what_is_durable_though_the_failed_one_is_still_there(
    engine: Engine, tmp_path: Path, operation: str
) -> None:
    files = FaultyFiles(operation)
    service = UploadsUnderTest(files, engine, tmp_path / "recordings")

    async def live() -> None:
        old = await service.uploads.start(access(), SESSION, "")
        await old.write(0, DATA[:30])
        await old.wait_durable(29)
        files.fault = errno.EIO
        with pytest.raises(Unavailable):
            await old.write(30, DATA[30:60])
            await old.wait_durable(30)
        files.fault = 0
        new = await service.uploads.start(access(), SESSION, old.upload.upload_id)
        assert new.upload.durable_offset == 30
        await new.write(30, DATA[30:])
        await new.close()
        await old.close()
        recording, _ = await service.complete(old.upload.upload_id)
        assert await service.content(recording) == DATA

    asyncio.run(live())


def test_what_has_failed_is_given_up_once_however_many_wait_for_it(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that leaves, and the one that goes on: two that close a file at once may close another's, which has got
    its number, and one that is late closes what the other has just opened."""
    files, given_up, give_up = FaultyFiles("append"), list[Writing](), Writing.give_up
    service = UploadsUnderTest(files, engine, tmp_path / "recordings")
    monkeypatch.setattr(Writing, "give_up", lambda writing: (given_up.append(writing), give_up(writing)))

    async def live() -> None:
        await service.uploads.start(access(), SESSION, "")
        [upload] = service.uploads._live.values()
        for failures in (1, 2):
            files.fault = errno.EIO
            upload.put(0, DATA)
            await asyncio.gather(upload.drain(), upload.drain())
            await upload.drain()
            assert len(given_up) == failures
            files.fault = 0
            assert await upload.open() == 0
        upload.put(0, DATA)
        await upload.drain()
        assert upload.durable == len(DATA)

    asyncio.run(live())


def test_what_was_appended_and_not_synced_is_in_no_digest(engine: Engine, tmp_path: Path) -> None:
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    upload_id = asyncio.run(service.send(DATA[:20]))
    writing = Writing(lambda: service.storage, UploadPlace(SESSION, upload_id[:32]), SCHEDULE)
    assert writing.open() == 20
    writing.append([DATA[20:30]])
    writing.close()
    assert writing.open() == 20
    assert writing.sha256(wanted=True) == hashlib.sha256(DATA[:20]).hexdigest()
    writing.close()


def test_one_upload_that_waits_for_the_disk_holds_up_no_other(engine: Engine, tmp_path: Path) -> None:
    go_on = threading.Event()
    files = StallingFiles(go_on)
    threads = ThreadPoolExecutor(4)
    service = UploadsUnderTest(files, engine, tmp_path / "recordings", threads=threads)

    async def live() -> None:
        slow = await service.uploads.start(access(), SESSION, "")
        files.stalls = True
        await slow.write(0, b"stall")
        assert await asyncio.to_thread(files.stalled.wait, 60)
        recording, _ = await service.record(DATA, session=OTHER_SESSION, who=OTHER_NODE)
        assert await service.content(recording) == DATA
        assert slow.durable_offset == 0
        go_on.set()
        await slow.close()
        assert slow.durable_offset == 5

    asyncio.run(live())
    threads.shutdown()


class StallingFiles(FaultyFiles):
    """One append waits, once it is told to."""

    def __init__(self, until: threading.Event) -> None:
        super().__init__()
        self.stalls = False
        self.stalled = threading.Event()
        self._until = until

    def check(self, operation: str) -> None:
        if operation == "append" and self.stalls:
            self.stalls = False
            self.stalled.set()
            assert self._until.wait(60)

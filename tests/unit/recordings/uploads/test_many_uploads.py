"""Twenty uploads at once, one of which is malformed and one of which stalls: the others aren't held up."""

from __future__ import annotations

import asyncio
import random
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rbac.identities import Identity
from server.errors import FailedPrecondition
from server.files import DiskFiles
from server.recordings.recording import Recording, UploadState
from server.recordings.uploads.parts import PartSchedule
from server.state.database import open_database
from server.state.uploads import OpenLimits
from tests.uploads_under_test import NODE, OTHER_NODE, UploadsUnderTest, access

UPLOADS = 20
BYTES = 3_000_000
CHUNK = 150_000


async def upload(service: UploadsUnderTest, number: int, who: Identity) -> tuple[bytes, Recording]:
    """One that goes well, now and then with a new stream."""
    data = random.Random(number).randbytes(BYTES)
    session = str(uuid.UUID(int=number))
    stream = await service.uploads.start(access(who), session, "")
    for at in range(0, BYTES, CHUNK):
        await stream.write(at, data[at : at + CHUNK])
        if at % (5 * CHUNK) == 0:
            stream = await service.uploads.start(access(who), session, stream.upload.upload_id)
    await stream.close()
    recording, state = await service.complete(stream.upload.upload_id, who=who, size=BYTES)
    assert state is UploadState.COMPLETED
    return data, recording


async def malformed(service: UploadsUnderTest) -> None:
    stream = await service.uploads.start(access(), str(uuid.UUID(int=1_000)), "")
    with pytest.raises(FailedPrecondition):
        await stream.write(1, b"gap")
    await stream.close()


def test_twenty_uploads_at_once_do_not_hold_each_other_up(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    threads = ThreadPoolExecutor(4)
    service = UploadsUnderTest(
        DiskFiles(),
        engine,
        tmp_path / "recordings",
        schedule=PartSchedule(1_000_000, step=2),
        max_bytes=BYTES,
        open_limits=OpenLimits(100, 100),
        threads=threads,
    )

    async def live() -> None:
        stalled = await service.uploads.start(access(), str(uuid.UUID(int=2_000)), "")
        await stalled.write(0, b"and nothing more")
        good = [upload(service, number, (NODE, OTHER_NODE)[number % 2]) for number in range(UPLOADS - 2)]
        _, *ended = await asyncio.gather(malformed(service), *good)
        for data, recording in ended:
            assert await service.content(recording) == data
        await stalled.write(16, b".")
        await stalled.close()
        assert stalled.durable_offset == 17

    asyncio.run(live())
    threads.shutdown()
    engine.dispose()


class SlowReads(DiskFiles):
    """Every read of a part of a file waits."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()

    def read_range(self, path: Path, offset: int, size: int) -> bytes:
        self.begun.release()
        assert self.go_on.wait(60)
        return super().read_range(path, offset, size)


def test_many_completions_that_read_their_uploads_again_leave_threads_to_those_that_write(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    threads = ThreadPoolExecutor(4)
    before = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    begun = [asyncio.run(before.send(b"x" * 100, session=str(uuid.UUID(int=number)))) for number in range(6)]
    files = SlowReads()
    service = UploadsUnderTest(files, engine, tmp_path / "recordings", threads=threads)

    async def live() -> None:
        ends = [asyncio.create_task(service.complete(upload_id)) for upload_id in begun]
        try:
            for _ in range(2):
                assert await asyncio.to_thread(files.begun.acquire, timeout=60)
            await asyncio.wait_for(service.send(b"another", session=str(uuid.UUID(int=7))), 60)
        finally:
            files.go_on.set()
        assert {state for _, state in await asyncio.gather(*ends)} == {UploadState.COMPLETED}

    asyncio.run(live())
    threads.shutdown()
    engine.dispose()

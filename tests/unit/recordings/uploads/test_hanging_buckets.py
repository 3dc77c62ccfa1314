"""A bucket that doesn't answer holds up nothing but what is asked of it."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import Engine

from server.files import DiskFiles
from server.recordings.recording import UploadState
from server.recordings.storages import RecordingStorages
from server.storage.aws.errors import AwsError
from tests.clouded_uploads import DATA, away
from tests.memory_s3 import CloudedFiles
from tests.uploads_under_test import OTHER_NODE, OTHER_SESSION, SESSION, S3UploadsUnderTest, UploadsUnderTest, access

DIGEST = hashlib.sha256(DATA).hexdigest()


class HangingBucket:
    """What is asked of it waits until `answers` is set, and is refused then."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self._asked = threading.Semaphore(0)

    def hang(self, operation: str) -> AwsError:
        self._asked.release()
        assert self.answers.wait(120)
        return away(operation)

    async def asked(self, times: int) -> None:
        """Wait until so many requests hang."""
        for _ in range(times):
            assert await asyncio.to_thread(self._asked.acquire, timeout=60)


def test_reads_and_ends_that_wait_for_a_bucket_hold_up_nothing_of_the_default_storage(
    engine: Engine, tmp_path: Path
) -> None:
    embedded, bucket = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings"), HangingBucket()
    local, remote, senders = ThreadPoolExecutor(1), ThreadPoolExecutor(16), ThreadPoolExecutor(1)
    service = S3UploadsUnderTest(
        CloudedFiles(), engine, Path("cloud"), threads=local, remote_threads=remote, senders=senders
    )
    active = ["aws-1"]
    storages = RecordingStorages(embedded.storage, lambda storage_id: service.storage, lambda: active[0])
    for part in (
        service.uploads,
        service.uploads._beginnings,
        service.recordings,
        service.uploads._endings,
        service.settling,
    ):
        part._storages = storages

    async def kept_without_digest(session: str) -> str:
        upload_id = await service.send(DATA, session=session, with_sha256=False)
        await service.complete(upload_id)
        return upload_id

    async def live() -> None:
        there = await kept_without_digest(SESSION)
        kept = await service.recordings.find(SESSION)
        assert kept is not None
        ends = [await service.send(b"another", who=OTHER_NODE)]
        active[0] = "default"
        ends.append(await service.send(DATA, who=OTHER_NODE))  # which is compared with what is in the bucket
        active[0] = "aws-1"
        for buffers in service.recordings._buffers.values():
            buffers._limit = 1  # one part at a time
        reader = service.recordings.chunks(kept, 0, len(DATA))
        await anext(reader)
        service.s3.fails = bucket.hang
        work = [service.complete(upload_id, who=OTHER_NODE) for upload_id in ends]
        work += [service.complete(there, sha256=DIGEST), service.content(kept), service.settling.run()]
        work.append(anext(reader))
        waiting = [asyncio.create_task(each) for each in work]
        try:
            await bucket.asked(len(waiting))
            async with asyncio.timeout(60):
                assert await service.send(DATA), "what goes to the bucket is durable here all the same"
                active[0] = "default"
                here = await kept_without_digest(OTHER_SESSION)
                recording, state = await service.complete(here, sha256=DIGEST)
                assert (recording.storage, state) == ("default", UploadState.COMPLETED)
                assert await service.content(recording) == DATA
                assert (await service.uploads.get(access(), here)).storage == "default"
        finally:
            bucket.answers.set()
            service.settling.stop()
            await asyncio.gather(*waiting, return_exceptions=True)

    with local, remote, senders:
        asyncio.run(live())

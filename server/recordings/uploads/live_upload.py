"""An upload that this process works with: chunks in, durable offsets out. Lives on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from server.errors import AuditStoreError, FailedPrecondition, ResourceExhausted, Unavailable
from server.recordings.uploads.writing import Writing
from server.storage.ports import StorageError
from server.storage.recording_port import StorageFull

_log = logging.getLogger(__name__)
MIB = 1024 * 1024
SYNC_BYTES = 16 * MIB
"""What is appended at most before it is synced."""
WINDOW_BYTES = 8 * MIB
"""What may wait for being appended, before whoever sends it has to wait."""

Answer = TypeVar("Answer")


class Backlog:
    """What waits for being appended in all uploads together, in bytes; it bounds the memory that uploads take."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0

    def add(self, size: int) -> None:
        """Count bytes that have come, or (below zero) that are appended."""
        self._bytes += size

    @property
    def is_full(self) -> bool:
        """Whether uploads that have something waiting should send no more."""
        return self._bytes >= self._limit


class LiveUpload:
    """Takes what one stream at a time sends, appends it on a thread, and syncs groups of it.

    One job at a time is on a thread, so that a disk that is slow for one upload holds up no other. What is appended is
    synced once nothing more waits, or SYNC_BYTES are.
    """

    def __init__(self, writing: Writing, threads: Executor, backlog: Backlog) -> None:
        self.writing = writing
        self.changing = asyncio.Lock()
        """Held by whoever begins, leaves, completes or aborts it."""
        self.durable = 0
        """Bytes that are durable; right once `open` was called and nothing has failed since."""
        self._received = 0
        self._threads = threads
        self._backlog = backlog
        self._queue: list[memoryview] = []
        self._waiting = 0
        self._unsynced = 0
        self._holder: object | None = None
        self._failure: AuditStoreError | None = None
        self._work: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def is_held(self) -> bool:
        """Whether a stream has it."""
        return self._holder is not None

    @property
    def has_failed(self) -> bool:
        """Whether the storage has failed since it was opened."""
        return self._failure is not None

    def hold(self, holder: object | None) -> None:
        """Give it to a stream, or to none; the one that had it loses it."""
        self._holder = holder
        self.notify()

    def is_held_by(self, holder: object) -> bool:
        """Whether this stream has it still."""
        return self._holder is holder

    def check(self, holder: object) -> None:
        """Raise what keeps a stream from going on.

        Raises:
            FailedPrecondition: another has taken the upload up. Unavailable, ResourceExhausted: the storage failed.
        """
        if self._holder is not holder:
            message = "another stream has taken the upload up, or it was completed or aborted"
            raise FailedPrecondition(message, reason="UPLOAD_TAKEN_UP")
        if self._failure is not None:
            raise self._failure

    async def open(self) -> int:
        """Open it behind what is durable, having finished what was under way; gives how many bytes are.

        Raises:
            ResourceExhausted, Unavailable: it can't be done now. DataLoss: what is there isn't what was taken.
        """
        await self.drain()
        self._failure = None
        try:
            self.durable = self._received = await self.on_thread(self.writing.open)
        except StorageError as error:
            raise in_callers_words(error) from error
        return self.durable

    def put(self, offset: int, data: bytes | memoryview) -> int:
        """Take the bytes that belong at `offset`, less what is there already; gives how many are new.

        Raises:
            FailedPrecondition: they leave a gap.
        """
        if offset > self._received:
            message = f"the chunk begins at {offset}, beyond the end of what has arrived, {self._received}"
            raise FailedPrecondition(message, reason="CHUNK_GAP", expected_offset=str(self._received))
        new = memoryview(data)[self._received - offset :]
        if new:
            self._received += len(new)
            self._queue.append(new)
            self._count(len(new))
            if self._work is None or self._work.done():
                self._work = asyncio.create_task(self._write())
        return len(new)

    @property
    def has_room(self) -> bool:
        """Whether more should be sent."""
        return self._waiting < WINDOW_BYTES and not (self._waiting and self._backlog.is_full)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is asked again whenever something has changed."""
        while not condition():
            await self._changed.wait()

    async def drain(self) -> None:
        """Wait until all that was taken is durable, or has failed."""
        if self._work is not None:
            await asyncio.shield(self._work)

    async def on_thread(self, work: Callable[[], Answer]) -> Answer:
        """Do what blocks."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _write(self) -> None:
        try:
            while self._queue or self._unsynced:
                if self._queue:
                    await self._append()
                if not self._queue or self._unsynced >= SYNC_BYTES:
                    self.durable = await self.on_thread(self.writing.sync)
                    self._unsynced = 0
                    self.notify()
        except Exception as error:  # whatever it is, the stream must be told
            self._fail(error)

    async def _append(self) -> None:
        chunks, self._queue = self._queue, []
        size = sum(map(len, chunks))
        await self.on_thread(lambda: self.writing.append(chunks))
        self._unsynced += size
        self._count(-size)
        self.notify()

    def _fail(self, error: Exception) -> None:
        self._failure = in_callers_words(error)
        if not isinstance(error, StorageError):
            _log.error("an upload has failed", exc_info=error)
        self._queue = []
        self._unsynced = 0
        self._count(-self._waiting)
        self._received = self.durable
        self.notify()

    def _count(self, size: int) -> None:
        self._waiting += size
        self._backlog.add(size)

    def notify(self) -> None:
        """Have all conditions asked again."""
        self._changed.set()
        self._changed = asyncio.Event()


def in_callers_words(error: Exception) -> AuditStoreError:
    """What a caller is told of a fault of the storage."""
    if isinstance(error, StorageFull):
        message = "the disk has no room for more of the recording; try again later"
        return ResourceExhausted(message, reason="DISK_FLOOR", retry_after=5.0)
    message = str(error) if isinstance(error, StorageError) else "the recording can't be written now"
    return Unavailable(message, reason="STORAGE_UNAVAILABLE", retry_after=1.0)

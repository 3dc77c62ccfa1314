"""From chunks to durable bytes: what comes is appended on one thread while what was appended is synced on another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from server.recordings.uploads.writing import Mark, Writing

MIB = 1024 * 1024
SYNC_BYTES = 32 * MIB
"""What is appended at most before it is synced."""
IDLE_SECONDS = 0.005
"""How long nothing comes before what was appended is synced: a stream that never rests is synced in large groups."""
WINDOW_BYTES = 4 * MIB
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


@dataclass(frozen=True, slots=True)
class Means:
    """What all uploads share."""

    threads: Executor
    backlog: Backlog
    idle_seconds: float


class Pipeline:
    """The bytes of one upload on their way. Lives on the event loop.

    It has at most one append and one sync on threads, so that a disk that is slow for one upload holds up no other.
    """

    def __init__(
        self, writing: Writing, means: Means, changed: Callable[[], None], failed: Callable[[Exception], None]
    ) -> None:
        """`changed` is called whenever there is more room, more is durable, or it has failed, `failed` with why."""
        self._writing = writing
        self._threads = means.threads
        self._backlog = means.backlog
        self._idle_seconds = means.idle_seconds
        self._changed = changed
        self._failed = failed
        self.received = 0
        """Bytes from the beginning that were taken."""
        self.durable = 0
        self.failure: Exception | None = None
        """What keeps it from going on until `begin`."""
        self._queue: list[memoryview] = []
        self._waiting = 0
        self._appended: Mark | None = None
        """What is appended and not being synced yet."""
        self._unsynced = 0
        self._is_due = asyncio.Event()
        self._is_draining = False
        self._appending: asyncio.Task[None] | None = None
        self._syncing: asyncio.Task[None] | None = None

    def begin(self, offset: int) -> None:
        """Go on from what is durable; nothing may be under way."""
        self.failure = None
        self.durable = self.received = offset

    @property
    def has_room(self) -> bool:
        """Whether more should be sent."""
        return self._waiting < WINDOW_BYTES and not (self._waiting and self._backlog.is_full)

    def put(self, data: memoryview) -> None:
        """Take the bytes that follow."""
        self.received += len(data)
        self._queue.append(data)
        self._count(len(data))
        if self._appending is None or self._appending.done():
            self._appending = asyncio.create_task(self._append_all())
        if self._syncing is None or self._syncing.done():
            self._is_due = asyncio.Event()
            self._syncing = asyncio.create_task(self._sync_all())

    async def drain(self) -> None:
        """Wait until all that was taken is durable, or has failed."""
        self._is_draining = True
        self._is_due.set()
        try:
            for task in (self._appending, self._syncing):
                if task is not None and not task.done():
                    await asyncio.wait([task])
        finally:
            self._is_draining = False
        if self.failure is not None:
            await self.on_thread(self._writing.give_up)

    async def _append_all(self) -> None:
        while self._queue and self.failure is None:
            chunks, self._queue = self._queue, []
            size = sum(map(len, chunks))
            try:
                mark = await self.on_thread(partial(self._writing.append, chunks))
            except Exception as error:  # whatever it is, the stream must be told
                self._fail(error)
                return
            self._appended = self._appended.joined(mark) if self._appended else mark
            self._unsynced += size
            self._count(-size)
            if self._unsynced >= SYNC_BYTES or self._is_draining:
                self._is_due.set()
            self._changed()

    async def _sync_all(self) -> None:
        while self.durable < self.received and self.failure is None:
            await self._until_due()
            mark, self._appended, self._unsynced = self._appended, None, 0
            if mark is None or self.failure is not None:
                continue
            try:
                await self.on_thread(partial(self._writing.sync, mark))
            except Exception as error:  # as above
                self._fail(error)
                return
            self.durable = mark.offset
            self._changed()

    async def _until_due(self) -> None:
        """Wait until there is enough to be synced, or something and nothing more comes for a moment."""
        while self.failure is None and self._unsynced < SYNC_BYTES:
            if self._is_draining and self._appended and not self._waiting:
                return
            before = self.received
            self._is_due.clear()
            try:
                await asyncio.wait_for(self._is_due.wait(), self._idle_seconds)
            except TimeoutError:
                if self._appended and not self._waiting and self.received == before:
                    return

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = error
            self._failed(error)
        self._queue = []
        self._count(-self._waiting)
        self._appended, self._unsynced = None, 0
        self.received = self.durable
        self._is_due.set()
        self._changed()

    def _count(self, size: int) -> None:
        self._waiting += size
        self._backlog.add(size)

    async def on_thread(self, work: Callable[[], Answer]) -> Answer:
        """Do what blocks."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

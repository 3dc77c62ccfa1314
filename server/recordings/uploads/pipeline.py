"""From chunks to durable bytes: what comes is appended on one thread and hashed on another, while what was appended
before is synced on a third."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from server.recordings.uploads.writing import Mark, Writing

MIB = 1024 * 1024
APPEND_BYTES = 2 * MIB
"""What is appended at once while more keeps coming: each time costs two switches between threads."""
SYNC_BYTES = 32 * MIB
"""What is appended at most before it is synced."""
IDLE_SECONDS = 0.005
"""How long nothing comes before what was appended is synced: a stream that never rests is synced in large groups."""
LATE_SECONDS = 0.125
"""Between two looks for what came before the first of them and isn't being synced: no byte waits for longer than two,
whether the stream rests or not."""
WINDOW_BYTES = 8 * MIB
"""What may wait for being appended, before whoever sends it has to wait."""
CHUNK_BYTES = 512
"""What a chunk takes beside its bytes while it waits: its message, two views and a place in a list."""
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

    It has at most one append, with its digests, and one sync on threads, so that a disk that is slow for one upload
    holds up no other.
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
        self._queued = 0
        self._waiting = 0
        """What the queue takes, and what is being appended."""
        self._appended: Mark | None = None
        """What is appended and not being synced yet."""
        self._unsynced = 0
        self._rests = False
        """Whether nothing came for a while."""
        self._drains = False
        self._appends_to = self._syncs_to = 0
        """Up to where it is appended and synced, or being."""
        self._due_to = 0
        """Up to where it must be, whatever comes."""
        self._seen, self._seen_at = 0, 0.0
        """What had been received when it last looked for what is late, and when that was."""
        self._closing = asyncio.Lock()
        self._is_closed = False
        """Whether what has failed was given up."""
        self._watch: asyncio.TimerHandle | None = None
        self._appending: asyncio.Task[None] | None = None
        self._syncing: asyncio.Task[None] | None = None

    def begin(self, offset: int) -> None:
        """Go on from what is durable; nothing may be under way."""
        self.failure = None
        self._is_closed = False
        self.durable = self.received = offset
        self._appends_to = self._syncs_to = offset
        self._due_to = self._seen = 0

    @property
    def has_room(self) -> bool:
        """Whether more should be sent."""
        return self._waiting < WINDOW_BYTES and not (self._waiting and self._backlog.is_full)

    def put(self, data: memoryview) -> None:
        """Take the bytes that follow."""
        self.received += len(data)
        self._queue.append(data)
        self._queued += len(data) + CHUNK_BYTES
        self._count(len(data) + CHUNK_BYTES)
        self._rests = False
        if self._watch is None:
            self._watch_for_rest()
        if self._queued >= APPEND_BYTES:
            self._go_on()

    async def drain(self) -> None:
        """Wait until all that was taken is durable, or has failed."""
        try:
            while under_way := self._drain_on():
                await asyncio.wait(under_way)
        finally:
            self._drains = False
        await self._close_failed()

    async def _close_failed(self) -> None:
        """Several may drain at once, and the upload may be open anew before the last of them comes here."""
        async with self._closing:
            if self.failure is not None and not self._is_closed:
                await self.on_thread(self._writing.give_up)
                self._is_closed = True

    def _drain_on(self) -> list[asyncio.Task[None]]:
        # Said each time: another that drained may have ended meanwhile.
        self._drains = True
        self._go_on()
        return [task for task in (self._appending, self._syncing) if task is not None]

    def _watch_for_rest(self) -> None:
        self._watch = asyncio.get_running_loop().call_later(self._idle_seconds, self._look, self.received)

    def _look(self, before: int) -> None:
        """Nothing has come since `before`: then it rests. Else what is late is due all the same."""
        if self.received != before:
            self._look_for_late()
            self._watch_for_rest()
            return
        self._watch = None
        self._rests = True
        self._go_on()

    def _look_for_late(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._seen_at < LATE_SECONDS:
            return
        # What was due before goes first: else a slow disk would never get as far as what is due.
        if self._due_to <= self._syncs_to < self._seen:
            self._due_to = self.received
            self._go_on()
        self._seen, self._seen_at = self.received, now

    def _go_on(self) -> None:
        """Begin what is due: an append or a sync of much, of what is late, or, where nothing more comes, of what
        there is."""
        if self.failure is not None:
            return
        is_last = self._rests or self._drains
        is_much = self._queued >= APPEND_BYTES
        if self._appending is None and self._queue and (is_much or is_last or self._appends_to < self._due_to):
            self._appending = asyncio.create_task(self._append())
        if self._syncing is None and self._appended and self._is_to_be_synced(self._appended, is_last=is_last):
            self._syncs_to = self._appended.offset
            self._syncing = asyncio.create_task(self._sync(self._appended))
            self._appended, self._unsynced = None, 0

    def _is_to_be_synced(self, appended: Mark, *, is_last: bool) -> bool:
        is_due = self._syncs_to < self._due_to <= appended.offset
        return is_due or self._unsynced >= SYNC_BYTES or (is_last and not self._waiting)

    async def _append(self) -> None:
        chunks, size = self._queue, self._queued
        self._queue, self._queued = [], 0
        self._appends_to = self.received
        try:
            mark = await self._append_on_threads(chunks)
        except Exception as error:  # whatever it is, the stream must be told
            self._fail(error)
        else:
            self._note_appended(mark, size)
        finally:
            self._appending = None
        self._go_on()

    def _note_appended(self, mark: Mark, size: int) -> None:
        if self.failure is not None:
            return  # a sync has failed meanwhile: nothing is known of what was appended, and nothing waits any more
        self._appended = self._appended.joined(mark) if self._appended else mark
        self._unsynced += size
        self._count(-size)
        self._changed()

    async def _append_on_threads(self, chunks: list[memoryview]) -> Mark:
        """Hashing takes the processor while writing waits for the disk. Both have ended when it returns or raises."""
        appending = self.on_thread(partial(self._writing.append, chunks))
        digesting = self.on_thread(partial(self._writing.digest, chunks))
        await asyncio.wait((appending, digesting))
        appending.result()
        return digesting.result()

    async def _sync(self, mark: Mark) -> None:
        try:
            await self.on_thread(partial(self._writing.sync, mark))
        except Exception as error:  # as above
            self._fail(error)
        else:
            self.durable = mark.offset
            self._changed()
        finally:
            self._syncing = None
        self._go_on()

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = error
            self._failed(error)
        self._queue, self._queued = [], 0
        self._count(-self._waiting)
        self._appended, self._unsynced = None, 0
        self.received = self.durable
        self._due_to = 0
        self._changed()

    def _count(self, size: int) -> None:
        self._waiting += size
        self._backlog.add(size)

    def on_thread(self, work: Callable[[], Answer]) -> asyncio.Future[Answer]:
        """Do what blocks."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

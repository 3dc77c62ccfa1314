"""Memory for the parts of recordings that are being given: bounded, and each who waits for some gets a turn.

A part is given once all of it was compared with its digest, so it is in memory as long as its reader takes. One that
takes nothing loses it to others that wait, and has it read again when it goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

BYTES: Final = 128 * 1024 * 1024
"""What all parts together may take, of the default storage and of External Audit Storages each."""
TURN_SECONDS: Final = 2.0
"""How long a part stays for a reader while others wait."""
Read = Callable[[], "asyncio.Future[bytes]"]


class PartBuffers:
    """Shares the memory out. Lives on the event loop."""

    def __init__(self, limit: int = BYTES, turn_seconds: float = TURN_SECONDS) -> None:
        self._limit = limit
        self._turn_seconds = turn_seconds
        self._bytes = 0
        self._used: set[PartBuffer] = set()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, size: int, read: Read) -> PartBuffer:
        """Memory for a part of this size, which `read` begins to read; waits in line for it.

        One part is let in whatever its size, so that every one can be read.
        """
        if self._waiting or not self._fits(size):
            await self._wait(size)
        else:
            self._bytes += size
        return self._buffer(size, read)

    def acquire_ahead(self, size: int, read: Read) -> PartBuffer | None:
        """The same for a part that isn't needed yet; None where there is no memory to spare."""
        if self._waiting or not self._fits(size):
            return None
        self._bytes += size
        return self._buffer(size, read)

    def release(self, buffer: PartBuffer) -> None:
        """Let a part go. It may be called again."""
        self._take(buffer)
        self.admit()

    def _buffer(self, size: int, read: Read) -> PartBuffer:
        try:
            buffer = PartBuffer(self, size, read())
        except BaseException:
            self._bytes -= size
            raise
        self._used.add(buffer)
        return buffer

    def _fits(self, size: int) -> bool:
        return self._bytes + size <= self._limit or not self._bytes

    async def _wait(self, size: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self.admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._bytes -= size
            self.admit()
            raise

    def admit(self) -> None:
        """Give who waits longest a turn, and those behind, as far as there is memory."""
        while self._waiting:
            size, turn = self._waiting[0]
            if turn.done():  # its reader is gone
                self._waiting.popleft()
            elif self._fits(size):
                self._waiting.popleft()
                self._bytes += size
                turn.set_result(None)
            elif not self._reclaim():
                return

    def _reclaim(self) -> bool:
        """Take the part that was there longest, if its turn is over; else come back when it is."""
        oldest = min((each for each in self._used if each.is_read), key=lambda each: each.since, default=None)
        if oldest is None:
            return False  # all are being read
        left = oldest.since + self._turn_seconds - asyncio.get_running_loop().time()
        if left <= 0:
            self._take(oldest)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(left, self._turn_is_over)
        return left <= 0

    def _turn_is_over(self) -> None:
        self._timer = None
        self.admit()

    def _take(self, buffer: PartBuffer) -> None:
        if buffer in self._used:
            self._used.remove(buffer)
            self._bytes -= buffer.size
            buffer.clear()


class PartBuffer:
    """A part in memory, or on its way there."""

    def __init__(self, buffers: PartBuffers, size: int, reading: asyncio.Future[bytes]) -> None:
        self.size = size
        self.since = 0.0
        """When it was read, by the loop's clock."""
        self._buffers = buffers
        self._reading: asyncio.Future[bytes] | None = reading
        self.is_read = False
        """Whether it is there; until then it isn't let go."""
        reading.add_done_callback(self._note_read)

    @property
    def is_gone(self) -> bool:
        """Whether its memory was given to another reader."""
        return self._reading is None

    async def piece(self, start: int, end: int) -> bytes:
        """A copy of some of it, once it is read; also where it is let go meanwhile. Raises what reading it did."""
        if self._reading is None:
            raise ValueError("the part is gone")
        return bytes(memoryview(await self._reading)[start:end])

    def release(self) -> None:
        """Let it go, read or not. It may be called again."""
        self._buffers.release(self)

    def clear(self) -> None:
        """Forget the bytes."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _note_read(self, reading: asyncio.Future[bytes]) -> None:
        if not reading.cancelled():
            reading.exception()  # whoever wants the part is told; of one that was read ahead that may be nobody
        self.is_read, self.since = True, asyncio.get_running_loop().time()
        self._buffers.admit()

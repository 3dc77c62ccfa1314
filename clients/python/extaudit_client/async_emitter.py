"""The emitter for asyncio: the same spool and the same sending, and no file operation on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from extaudit_client.connection import Connection
from extaudit_client.emitter import MAX_BYTES, Emitter, Event, as_json
from extaudit_client.emitter_state import EmitterStats, log_left
from extaudit_client.event_uid import prepared
from extaudit_client.spool.errors import SpoolClosed

_TOGETHER_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Events of one call, since when it waits, and what it waits for."""

    events: list[tuple[str, bytes]]
    since: float
    done: asyncio.Future[list[str]]


class AsyncEmitter:
    """Sends events in the background; `Emitter` says how, and which options there are. Used on one event loop.

    Events that are emitted while others are written share the next write and its sync. Tasks wait for room in the spool
    as threads do there. Callbacks are called on a thread of the emitter's own.
    """

    def __init__(self, connection: Connection, spool_dir: Path | str, **options: Any) -> None:
        self._open: Callable[[], Emitter] = lambda: Emitter(connection, spool_dir, **options)
        self._together_bytes = min(_TOGETHER_BYTES, options.get("max_bytes", MAX_BYTES) // 8)
        self._emitter: Emitter | None = None
        self._writer = _writer()
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[int] | None = None
        self._hurry: asyncio.Future[None]
        """Done when whoever closes waits no more."""

    async def open(self) -> AsyncEmitter:
        """Open the spool and begin to send; raises as `Emitter`."""
        if self._closing is not None:
            await asyncio.shield(self._closing)
        if self._emitter is None:
            self._emitter = await asyncio.to_thread(self._open)
        return self

    async def __aenter__(self) -> AsyncEmitter:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def emit(self, event: Event) -> str:
        """Take an event; gives its uid once it is in the spool. Raises as `Emitter.emit`."""
        return (await self.emit_many((event,)))[0]

    async def emit_many(self, events: Iterable[Event]) -> list[str]:
        """Take events, all or none; gives their uids. Cancelled, they may be taken or not."""
        emitter = self._opened()
        ready = [prepared(as_json(event)) for event in events]
        done: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(ready, time.monotonic(), done))
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._write(emitter))
        return await done

    async def flush(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (as the emitter's)
        """Return once everything emitted before is acknowledged or refused; raises as `Emitter.flush`."""
        await asyncio.to_thread(self._opened().flush, timeout)

    async def close(self, timeout: float = 5.0) -> int:  # noqa: ASYNC109 (as the emitter's)
        """Send what is left for up to `timeout` seconds; gives how many events stay for the next emitter.

        Each call of `emit` that waits still has its events taken, or raises SpoolClosed. Cancelled, it sends no longer,
        and is closed all the same, which another call waits for.
        """
        if self._emitter is not None:
            emitter, self._emitter = self._emitter, None
            self._hurry = asyncio.get_running_loop().create_future()
            self._closing = asyncio.ensure_future(self._close(emitter, timeout))
        if self._closing is None:
            return 0
        try:
            return await asyncio.shield(self._closing)
        except asyncio.CancelledError:
            if not self._hurry.done():
                self._hurry.set_result(None)
            raise

    async def _close(self, emitter: Emitter, timeout: float) -> int:  # noqa: ASYNC109 (as the emitter's)
        try:
            end = time.monotonic() + timeout
            if self._writing is not None:
                wanted = {self._writing, self._hurry}
                await asyncio.wait(wanted, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            rest = max(end - time.monotonic(), 0.0)
            left = await asyncio.to_thread(emitter.close_until, rest, self._hurry.done)
            log_left(left)
            if self._writing is not None:
                await asyncio.wait({self._writing})
            return left
        finally:
            self._writer.shutdown(wait=False)
            self._writer = _writer()  # should it be opened again
            self._closing = None

    async def stats(self) -> EmitterStats:
        """How it is now."""
        emitter = self._opened()
        return await asyncio.to_thread(lambda: emitter.stats)

    def _opened(self) -> Emitter:
        if self._emitter is None:
            raise SpoolClosed("the emitter isn't open: use it in `async with`")
        return self._emitter

    async def _write(self, emitter: Emitter) -> None:
        """Write what waits, as much together as there is, until nothing does.

        Once the emitter is closed it refuses each group, and whoever waits is told.
        """
        try:
            while self._waiting:
                await self._write_group(emitter, self._next_group())
        finally:
            self._writing = None

    async def _write_group(self, emitter: Emitter, group: list[_Waiting]) -> None:
        events = [event for each in group for event in each.events]
        loop, waited = asyncio.get_running_loop(), time.monotonic() - group[0].since
        failure: Exception | None = None
        try:
            await loop.run_in_executor(self._writer, emitter.take, events, waited)
        except Exception as error:  # whoever waits gets it
            failure = error
        for each in group:
            if each.done.done():  # cancelled
                continue
            if failure is None:
                each.done.set_result([uid for uid, _ in each.events])
            else:
                each.done.set_exception(failure)

    def _next_group(self) -> list[_Waiting]:
        count = size = 0
        for each in self._waiting:
            size += sum(len(event) for _, event in each.events)
            if count and size > self._together_bytes:
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group


def _writer() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="extaudit-async-emitter")

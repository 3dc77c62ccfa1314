"""Rights that end while a stream lasts: one timer looks at all streams, idle ones included."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from server.errors import AuditStoreError
from server.grpc_api.call import Call, Handler

PERIOD_SECONDS = 1.0
GRACE_SECONDS = 2.5
"""How long a stream may take to end well: to acknowledge what was submitted. With a look before and one after it, every
stream whose caller has lost its rights ends within 5 s, even one whose client reads nothing."""
_AT_ONCE = 50
"""Looks between which other work gets its turn."""


@dataclass(slots=True, eq=False)
class _Watched:
    call: Call
    task: asyncio.Task[object]
    failure: AuditStoreError | None = None
    """Why the call must end; None while it may go on."""
    cut_at: float = 0.0
    cut: bool = False


class LiveCalls:
    """Keeps the streams under way and checks them every PERIOD_SECONDS; lives on the event loop."""

    def __init__(self) -> None:
        self._watched: set[_Watched] = set()
        self._wake = asyncio.Event()

    def around(self, handler: Handler) -> Handler:
        """Watch a call while the handler serves it."""

        async def watched(call: Call) -> object:
            watch = _Watched(call, _current_task())
            self._watched.add(watch)
            try:
                return await handler(call)
            except asyncio.CancelledError:
                # Only our own cancelling becomes an error; the client may have cancelled as well.
                if watch.failure is None or not watch.cut or watch.task.uncancel():
                    raise
                raise watch.failure from None
            finally:
                self._watched.discard(watch)

        return watched

    def look_soon(self) -> None:
        """Look without waiting for the timer: a lock, say, has just been created."""
        self._wake.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), PERIOD_SECONDS)
            self._wake.clear()
            await self._look()

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for number, watch in enumerate(list(self._watched), 1):
            if watch in self._watched:
                _check(watch, now)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)


def _check(watch: _Watched, now: float) -> None:
    if watch.failure is None:
        try:
            watch.call.recheck()
        except AuditStoreError as failure:
            watch.failure = failure
            watch.cut_at = now + GRACE_SECONDS if watch.call.ask_to_end(failure) else now
    if watch.failure is not None and not watch.cut and now >= watch.cut_at:
        watch.cut = True
        watch.task.cancel()


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call is served by a task")
    return task

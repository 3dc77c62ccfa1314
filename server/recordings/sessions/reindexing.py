"""Building the session index anew in the background: when somebody asks for it, and when it has fallen behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import Executor

from server.errors import Unavailable
from server.recordings.sessions.session_index import ReindexProgress, SessionIndex
from server.state.database import StateFault
from server.storage.ports import StorageError

_log = logging.getLogger(__name__)
LOOK_SECONDS = 60.0
"""Between looks at whether the index has fallen behind."""
PAUSE_SECONDS = 30.0
"""Between an attempt that failed and the next one."""


class _Stopped(Exception):
    """The service stops; the next start goes on."""


class _Round:
    """One rebuild, for those who wait for it."""

    def __init__(self) -> None:
        self.progress: ReindexProgress | None = None
        self.ended = False
        self.failed = False
        self.changed = asyncio.Event()
        """Set, and another put in its place, at every change."""

    def tell(self, progress: ReindexProgress) -> None:
        self.progress = progress
        self._changed()

    def end(self, *, failed: bool) -> None:
        self.ended, self.failed = True, failed
        self._changed()

    def _changed(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Reindexing:
    """Runs one rebuild at a time. Lives on the event loop; the work is done on its own thread."""

    def __init__(self, index: SessionIndex, thread: Executor) -> None:
        self._index = index
        self._thread = thread
        self._wanted = asyncio.Event()
        self._round = _Round()
        self._is_under_way = False
        self._stopping = False

    def stop(self) -> None:
        """Make `run` return. A rebuild that is under way stops where it is."""
        self._stopping = True
        self._wanted.set()

    async def run(self) -> None:
        """Rebuild where it is needed or asked for, until `stop`."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            if not self._wanted.is_set() and not await loop.run_in_executor(self._thread, self._is_needed):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), LOOK_SECONDS)
                if not self._wanted.is_set():
                    continue
            self._wanted.clear()
            if self._stopping:
                return
            self._is_under_way = True
            failed = not await self._rebuild(loop)
            self._is_under_way = False
            ended, self._round = self._round, _Round()
            ended.end(failed=failed)
            if failed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wanted.wait(), PAUSE_SECONDS)

    async def reindex(self) -> AsyncIterator[ReindexProgress]:
        """Build the index anew, or join those who wait for that already; ends with it, and goes on without a listener.

        Raises:
            Unavailable: it can't be done now; the service tries again by itself.
        """
        joined, told = self._round, None
        if not self._is_under_way:
            self._wanted.set()
        while True:
            changed = joined.changed
            if joined.progress is not None and joined.progress is not told:
                told = joined.progress
                yield told
                if told.done:
                    return
            elif joined.ended:
                break
            else:
                await changed.wait()
        if joined.failed:
            raise Unavailable("the session index can't be built now", retry_after=PAUSE_SECONDS)

    async def _rebuild(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Rebuild once; gives whether it was done."""
        current = self._round

        def tell(progress: ReindexProgress) -> None:
            loop.call_soon_threadsafe(current.tell, progress)

        try:
            await loop.run_in_executor(self._thread, self._index.rebuild, tell, self._go_on)
        except _Stopped:
            _log.info("a new session index is being built; the next start goes on with it")
        except (StorageError, StateFault, OSError) as error:
            _log.error("the session index can't be built now", extra={"fields": {"reason": type(error).__name__}})
        except Exception:
            # The rest of the service works without it, and its answers say what they miss.
            _log.exception("the session index can't be built")
        else:
            return True
        return False

    def _go_on(self) -> None:
        if self._stopping:
            raise _Stopped

    def _is_needed(self) -> bool:
        try:
            return self._index.is_unfinished or not self._index.follow()[1]
        except StateFault:
            return True
        except Exception:
            # The rest of the service works without the index, and who asks for it is told of the fault.
            _log.exception("the session index can't follow the log")
            return False

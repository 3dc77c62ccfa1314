"""Changes of where data goes: one after the other, and each to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from server.errors import Unavailable

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


class InTurn:
    """Does one change at a time, whatever becomes of who asked for it: between the state and the journals nothing may
    stop. Lives on the event loop."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    async def do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Do it after those that were asked for before. Raises what it raises."""
        task = asyncio.ensure_future(self._alone(work))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def _alone(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        async with self._one_at_a_time:
            return await work

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Unavailable):
            _log.error("a change of the storage", extra={"fields": {"reason": error.reason, "error": error.message}})

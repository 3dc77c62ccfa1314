"""Bounds how many calls are under way, and refuses new ones when the server is stopping."""

from __future__ import annotations

import asyncio

from server.errors import ResourceExhausted
from server.grpc_api.call import Call
from server.grpc_api.draining import Drain

RETRY_SECONDS = 1.0


class Admission:
    """Counts the calls under way and lets in at most `limit`."""

    def __init__(self, limit: int, drain: Drain) -> None:
        self._limit = limit
        self._drain = drain
        self._under_way = 0
        self._left = asyncio.Event()

    def admit(self, call: Call) -> None:
        """Let a call in, up to its end, or refuse it."""
        self._drain.refuse_when_begun()
        if self._under_way >= self._limit:
            raise ResourceExhausted(
                "too many calls are under way; try again later", reason="OVERLOADED", retry_after=RETRY_SECONDS
            )
        self._under_way += 1
        call.at_end(self._leave)

    def _leave(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._left.set()

    async def until_idle(self) -> None:
        """Wait until no call is under way."""
        while self._under_way:
            self._left.clear()
            await self._left.wait()

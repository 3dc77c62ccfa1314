"""Who waits for a commit: one notice for all, so that it costs the commit the same however many wait."""

from __future__ import annotations

import asyncio


class CommitNotice:
    """Counts commits, and wakes those who wait for the next. Lives on the event loop."""

    def __init__(self) -> None:
        self.count = 0
        """How often something was told of."""
        self._waiting: asyncio.Future[None] | None = None

    def tell(self) -> None:
        """Tell of a commit, or of anything else that those who wait had better look at."""
        self.count += 1
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.set_result(None)

    async def after(self, count: int, seconds: float) -> None:
        """Wait until something was told of since `count` was read, for so many seconds at most."""
        if self.count != count or seconds <= 0:
            return
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._waiting,), timeout=seconds)

"""How fast a recording is played: from times in the session to time in front of the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LONGEST_WAIT: Final = 86_400.0
"""Seconds: a recording may claim any time, and no clock waits for all of them."""


@dataclass(slots=True)
class Pacing:
    """Where playing is and how it goes on. Times of the session are ms since it began."""

    speed: float = 1.0
    """How many times faster than it was."""
    max_idle_ms: int | None = None
    """Idle time beyond this is skipped; None: none is."""
    position_ms: int = 0
    """How far the session has been shown."""
    _until_ms: int = 0

    def seek(self, to_ms: int) -> None:
        """Show what comes before this time at once."""
        self._until_ms = max(to_ms, 0)

    def wait_seconds(self, next_ms: int) -> float:
        """How long to wait before what comes at `next_ms` is shown."""
        if next_ms <= self._until_ms:
            return 0.0
        idle = next_ms - max(self.position_ms, self._until_ms)
        if self.max_idle_ms is not None:
            idle = min(idle, self.max_idle_ms)
        return min(max(idle, 0) / 1000 / self.speed, LONGEST_WAIT)

    def reached(self, at_ms: int) -> None:
        """Note that everything up to this time is shown."""
        self.position_ms = max(self.position_ms, at_ms)

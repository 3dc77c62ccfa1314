"""Notices that the machine's clock was set: the wall clock against the one that only ever runs forward."""

from __future__ import annotations

import time
from collections.abc import Callable

SMALLEST_SECONDS = 1.0


class ClockSteps:
    """Compares the two clocks with each other.

    What a time service does by running a clock faster or slower moves both alike and is no step; many small steps are
    one as soon as they add up. A machine that was asleep looks like one whose clock was set forward.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._difference = wall() - steady()

    def step(self) -> float:
        """Seconds, below zero for back, by which the clock was set since the last step; 0.0 if by at most a second."""
        difference = self._wall() - self._steady()
        step = difference - self._difference
        if abs(step) <= SMALLEST_SECONDS:
            return 0.0
        self._difference = difference
        return step

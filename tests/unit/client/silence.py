"""The clock by which streams are taken for dead that say nothing; it goes on only when a test moves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.polling import until

SILENCE: Final = 0.6
"""Seconds for which a stream of these tests may say nothing; whoever waits for it looks twelve times as often."""
_STEP: Final = SILENCE / 6


class SilenceClock:
    """Stands in for `time` in the client's `patience`: however slow the machine is, nothing seems silent by itself."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self._now

    def pass_silence(self) -> None:
        """Move on by more than the silence."""
        self._now += 2 * SILENCE

    def go_on(self) -> None:
        """Move on by a sixth of the silence."""
        self._now += _STEP

    def go_on_until(self, condition: Callable[[], object]) -> None:
        """Move on in steps until it holds; whoever begins to wait then has nearly the whole silence left."""

        def holds() -> bool:
            if condition():
                return True
            self.go_on()
            return False

        until(holds)

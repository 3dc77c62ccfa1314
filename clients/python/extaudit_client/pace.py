"""How much of a spool is sent at once: no more than the way to the service carries while an answer is waited for."""

from __future__ import annotations

from typing import Final

from extaudit_client.emitting import MESSAGE_BYTES
from extaudit_client.patience import SILENCE_SECONDS

_SMALLEST_STEP: Final = 6
"""Steps after which a message has 64 KiB; where that is too much, an event may be, and only more time helps."""
_LAST_STEP: Final = 8
_EASILY: Final = 1 / 8
"""An answer within this part of the time would have come in time for twice as much."""


class Pace:
    """Goes down a step with each stream that ends while an answer is late, and up with answers that come easily.

    Without this, a stream over a slow uplink is broken off while its first message is still on the way, by us or for
    want of an answer to a ping that waits behind it, and the next one begins with the same. Kept from one stream to the
    next.
    """

    def __init__(self, batch: int, window: int = 8, seconds: float = SILENCE_SECONDS) -> None:
        self._batch = batch
        self._window = window
        self._seconds = seconds
        self._steps = 0

    @property
    def batch(self) -> int:
        """Events that a message has at most."""
        return max(self._batch >> self._steps, 1)

    @property
    def message_bytes(self) -> int:
        """Bytes of events at which a message is closed."""
        return MESSAGE_BYTES >> min(self._steps, _SMALLEST_STEP)

    @property
    def window(self) -> int:
        """Messages that may be unacknowledged."""
        return max(self._window >> self._steps, 1)

    @property
    def seconds(self) -> float:
        """How long an answer is waited for."""
        return self._seconds * (1 << max(self._steps - _SMALLEST_STEP, 0))

    def broken_off(self, waited: float) -> None:
        """A stream or call ended while an answer was waited for, for so many seconds."""
        if waited >= self.seconds * _EASILY:
            self._steps = min(self._steps + 1, _LAST_STEP)

    def answered(self, waited: float) -> None:
        """An answer came after so many seconds."""
        if waited < self.seconds * _EASILY:
            self._steps = max(self._steps - 1, 0)

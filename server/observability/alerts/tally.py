"""Failures and successes of one kind at one storage, counted between two decisions."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from server.observability.alerts.kinds import CLEAR_RATE, RAISE_RATE, Rates

MOST_BYTES = 256
"""Of an error's text, in UTF-8."""


class Verdict(enum.Enum):
    """What the counts say."""

    NOTHING = "nothing"
    RAISE = "raise"
    CLEAR = "clear"


@dataclass(slots=True)
class Tally:
    """Counts, and the last error. Not safe to use from several threads."""

    rates: Rates
    errors: int = 0
    successes: int = 0
    last_error: str = ""
    failed_ms: int | None = None
    """When it last failed, in ms since 1970."""

    def judge(self, *, is_raised: bool) -> Verdict:
        """What the counts say; they begin anew where they said something, and where there are enough of both.

        While the alert is raised they also do at each look that finds an error: of what failed just before a storage
        came back, each would else need nineteen successes more.
        """
        total = self.errors + self.successes
        verdict = Verdict.NOTHING
        if self.errors >= self.rates.errors and self.errors * RAISE_RATE[1] >= total * RAISE_RATE[0]:
            verdict = Verdict.RAISE
        elif self.successes >= self.rates.successes and self.errors * CLEAR_RATE[1] <= total * CLEAR_RATE[0]:
            verdict = Verdict.CLEAR
        enough_of_both = self.errors >= self.rates.errors and self.successes >= self.rates.successes
        if verdict is not Verdict.NOTHING or enough_of_both or (is_raised and self.errors):
            self.errors = self.successes = 0
        return verdict


def told(error: str) -> str:
    """An error's text as an alert has it: at most MOST_BYTES, and a space for each unprintable character."""
    text = "".join(each if each.isprintable() else " " for each in error[:MOST_BYTES])
    return text.encode()[:MOST_BYTES].decode("utf-8", "ignore")

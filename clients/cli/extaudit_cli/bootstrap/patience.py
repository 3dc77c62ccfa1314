"""Waiting for AWS, where something that was just made isn't there for every call at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from extaudit_cli.aws.problems import AwsRefusal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait: so many attempts, with `pause` called with seconds between two."""

    attempts: int = 30
    seconds: float = 1.0
    pause: Callable[[float], None] = time.sleep

    def over(self, codes: frozenset[str], call: Callable[[], T]) -> T:
        """Call again while AWS refuses with one of the codes.

        Raises:
            AwsRefusal: with another code, or at the end still with one of these.
        """
        for _ in range(self.attempts - 1):
            try:
                return call()
            except AwsRefusal as refusal:
                if refusal.code not in codes:
                    raise
                self.pause(self.seconds)
        return call()

    def until(self, call: Callable[[], T | None]) -> T | None:
        """Call again while there is nothing; None where that stays so."""
        for _ in range(self.attempts - 1):
            found = call()
            if found is not None:
                return found
            self.pause(self.seconds)
        return call()

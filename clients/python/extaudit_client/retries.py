"""When a call that failed is tried again, and after how long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from extaudit_client.errors import CertificateExpired, ExtauditError, TokenExpired

MAX_DELAY: Final = 30.0
"""Seconds that are waited at most before a call is tried again, where the service didn't ask for more."""
_MAX_ASKED: Final = 300.0
_EXPIRED: Final = (TokenExpired, CertificateExpired)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often in a row a call or broken stream is tried again, and how to wait (seconds) before it.

    Waits are drawn at random from nothing to a bound that doubles, so that many clients don't come back at once; what
    the service asked for is waited in any case. A service that never answered is tried again only `from_start`: what
    is asked of a wrong address should fail at once.
    """

    attempts: int = 12
    """For a minute and a half in the mean: a service that begins again over a long journal isn't back at once."""
    first_delay: float = 0.2
    wait: Callable[[float], None] = time.sleep
    draw: Callable[[float, float], float] = random.uniform
    from_start: bool = False

    def delay(self, failures: int, retry_after: float | None) -> float:
        """Seconds to wait after so many failures in a row."""
        # Beyond this many doublings the bound is reached whatever the first delay.
        spread = min(self.first_delay * 2.0 ** min(failures - 1, 32), MAX_DELAY)
        if retry_after is None:
            return self.draw(0.0, spread)
        return min(retry_after, _MAX_ASKED) + self.draw(0.0, min(spread, retry_after / 4))

    def allow(self, error: ExtauditError, failures: int, *, answered: bool) -> bool:
        """Whether to try again after so many failures in a row; `answered`: the service has answered before."""
        promising = answered or self.from_start or error.retry_after is not None
        # Whatever renews the file has done so already, or won't before whoever called wants to know.
        attempts = min(self.attempts, 1) if isinstance(error, _EXPIRED) else self.attempts
        return promising and failures <= attempts and is_worth_a_retry(error)


def is_worth_a_retry(error: ExtauditError) -> bool:
    """Whether the same may go well later."""
    if error.code == "RESOURCE_EXHAUSTED":
        # Without a time it is a bound, such as the one on a message's size, that no waiting lifts.
        return error.retry_after is not None
    # Whatever renews the file of the token or certificate may have done so meanwhile.
    return error.code == "UNAVAILABLE" or isinstance(error, _EXPIRED)

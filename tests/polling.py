"""Waiting for what another process or thread does, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS = 120


def until(condition: Callable[[], object], seconds: float = _SECONDS) -> None:
    """Return once the condition holds; the test fails when it doesn't within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""Waiting for what another process or thread does, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_SECONDS = 120

_T = TypeVar("_T")


def until(condition: Callable[[], object], seconds: float = _SECONDS) -> None:
    """Return once the condition holds; the test fails when it doesn't within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def until_given(ask: Callable[[], _T | None]) -> _T:
    """Ask until there is an answer, with the bound of `until`; None is none."""
    given: list[_T] = []

    def is_given() -> bool:
        if (answer := ask()) is not None:
            given.append(answer)
        return bool(given)

    until(is_given)
    return given[0]

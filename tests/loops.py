"""Async tests: each in a loop of its own, with a bound on its time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(20):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; the test's time bound ends it otherwise."""
    while not condition():  # noqa: ASYNC110 -- what is waited for has no event to wait on
        await asyncio.sleep(0.005)

"""Async tests: each in a loop of its own, with a bound on its time."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(240):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; the test's time bound ends it otherwise."""
    while not condition():  # noqa: ASYNC110 -- what is waited for has no event to wait on
        await asyncio.sleep(0.005)


def faults(records: Iterable[logging.LogRecord]) -> list[logging.LogRecord]:
    """The errors among log records, less gRPC's about an earlier test: what still came for that one's loop, which is
    closed, is told in the loop of the test that runs then. No program but one of tests has a second loop."""
    return [record for record in records if record.levelno >= logging.ERROR and not _of_an_earlier_loop(record)]


def _of_an_earlier_loop(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return record.name == "asyncio" and isinstance(error, RuntimeError) and str(error) == "Event loop is closed"

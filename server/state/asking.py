"""Asking the state from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from server.errors import Unavailable
from server.state.database import StateFault

Answer = TypeVar("Answer")


async def in_state(work: Callable[[], Answer]) -> Answer:
    """Do something with the state, beside the loop.

    Raises:
        Unavailable: the state database can't do it now.
    """
    try:
        return await asyncio.get_running_loop().run_in_executor(None, work)
    except StateFault:
        raise Unavailable("the state database can't do it now", reason="STATE_UNAVAILABLE") from None

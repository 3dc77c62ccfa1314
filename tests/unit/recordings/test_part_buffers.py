"""Memory for parts of recordings is bounded, and whoever waits for some gets a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from server.recordings.part_buffers import PartBuffer, PartBuffers


@dataclass
class Parts:
    """Parts of 6 bytes that are read when the test says so; there is memory for 10."""

    turn_seconds: float = 0.0
    read: list[asyncio.Future[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.buffers = PartBuffers(10, self.turn_seconds)

    def begin(self) -> asyncio.Future[bytes]:
        self.read.append(asyncio.get_running_loop().create_future())
        return self.read[-1]

    async def acquire(self, size: int = 6) -> PartBuffer:
        return await self.buffers.acquire(size, self.begin)

    async def given(self) -> PartBuffer:
        """One that was read, and something of it given."""
        buffer = await self.acquire()
        self.read[-1].set_result(b"abcdef")
        assert await buffer.piece(1, 3) == b"bc"
        return buffer


async def settled() -> None:
    """Have everything done that can be done now."""
    for _ in range(10):
        await asyncio.sleep(0)


def on_loop(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(bounded())


def test_no_more_is_read_than_there_is_memory_for() -> None:
    async def live() -> None:
        parts = Parts()
        first = await parts.acquire()
        assert parts.buffers.acquire_ahead(6, parts.begin) is None
        ahead = parts.buffers.acquire_ahead(4, parts.begin)
        assert ahead is not None
        waiting = [asyncio.create_task(parts.acquire(size)) for size in (6, 4)]
        await settled()
        assert len(parts.read) == 2
        ahead.release()
        await settled()
        assert len(parts.read) == 2, "the one that waits longest comes first, though there is memory for the other"
        first.release()
        first.release()
        await asyncio.gather(*waiting)
        assert parts.buffers._bytes == 10

    on_loop(live)


def test_one_that_is_larger_than_all_memory_is_read_alone() -> None:
    async def live() -> None:
        parts = Parts()
        first = await parts.acquire(100)
        second = asyncio.create_task(parts.acquire(100))
        await settled()
        assert len(parts.read) == 1
        first.release()
        await second

    on_loop(live)


@pytest.mark.parametrize("turn_seconds", [0.0, 0.001])
def test_one_whose_reader_takes_nothing_is_let_go_where_another_waits(turn_seconds: float) -> None:
    async def live() -> None:
        parts = Parts(turn_seconds)
        still = await parts.given()
        await settled()
        assert not still.is_gone, "nobody waits"
        other = await parts.given()
        assert still.is_gone
        await parts.given()
        assert other.is_gone

    on_loop(live)


def test_nothing_is_let_go_before_its_reader_had_a_turn() -> None:
    async def live() -> None:
        parts = Parts(3600.0)
        held = await parts.given()
        waiting = asyncio.create_task(parts.acquire())
        await settled()
        assert (held.is_gone, waiting.done()) == (False, False)
        held.release()
        await waiting

    on_loop(live)


def test_what_is_being_read_is_not_let_go_before_some_of_it_was_given() -> None:
    async def live() -> None:
        parts = Parts()
        buffer = await parts.acquire()
        piece = asyncio.create_task(buffer.piece(0, 4))
        waiting = asyncio.create_task(parts.acquire())
        await settled()
        assert (buffer.is_gone, waiting.done()) == (False, False)
        parts.read[0].set_result(b"123456")
        assert await piece == b"1234"
        await waiting
        assert buffer.is_gone

    on_loop(live)


def test_a_failure_to_read_is_told_where_the_part_is_wanted() -> None:
    async def live() -> None:
        parts = Parts()
        buffer = await parts.acquire()
        parts.read[0].set_exception(ValueError("damaged"))
        with pytest.raises(ValueError, match="damaged"):
            await buffer.piece(0, 1)
        buffer.release()

        def refused() -> Any:
            raise RuntimeError("the threads have ended")

        with pytest.raises(RuntimeError):
            await parts.buffers.acquire(6, refused)
        assert parts.buffers._bytes == 0

    on_loop(live)


@pytest.mark.parametrize("gets_its_turn", [False, True])
def test_who_leaves_while_waiting_takes_no_memory_along(gets_its_turn: bool) -> None:
    async def live() -> None:
        parts = Parts()
        held = await parts.acquire()
        gone = asyncio.create_task(parts.acquire())
        await settled()
        if gets_its_turn:
            held.release()
        gone.cancel()
        next_one = asyncio.create_task(parts.acquire())
        await asyncio.wait((gone,))
        assert gone.cancelled()
        held.release()
        await next_one
        assert parts.buffers._bytes == 6

    on_loop(live)

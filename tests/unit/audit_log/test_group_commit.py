"""Group commit: who waits for whom, and who never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.grpc.rig import in_loop
from tests.unit.audit_log.test_intake import Rig, access, event, running, settle

KNOWN = 9
"""Callers that the commits below know of."""
FOREVER = 1000.0
Patience = Callable[[float], None]


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Patience:
    """Sets how long a commit waits for each caller that is known; beyond the bound of the tests it is for ever."""

    def patience(seconds: float) -> None:
        monkeypatch.setattr("server.audit_log.group_commit.GATHER_SECONDS", seconds)

    return patience


async def emit_together(rig: Rig, first: int, count: int) -> None:
    """Have the journal find `count` callers at its next commits."""
    go_on = rig.block()
    waiters = [asyncio.create_task(rig.intake.emit(access(), event(first + n))) for n in range(count)]
    await settle()
    go_on.set()
    await asyncio.gather(*waiters)


@in_loop
async def test_a_caller_that_is_alone_never_waits(patience: Patience) -> None:
    patience(FOREVER)
    async with running() as rig:
        for number in range(5):
            await rig.intake.emit(access(), event(number))
        assert rig.syncs() == 5


@in_loop
async def test_a_commit_waits_for_as_many_callers_as_the_last_one_knew_of(patience: Patience) -> None:
    async with running() as rig:
        await emit_together(rig, 0, KNOWN)
        patience(FOREVER)
        before = rig.syncs()
        waiters = []
        for number in range(KNOWN):
            waiters.append(asyncio.create_task(rig.intake.emit(access(), event(100 + number))))
            await settle()
        answers = await asyncio.gather(*waiters)
        assert [answer.sequence for answer in answers] == list(range(KNOWN + 1, 2 * KNOWN + 1))
        assert rig.syncs() - before == 1


@in_loop
async def test_a_commit_does_not_wait_for_long(patience: Patience) -> None:
    async with running() as rig:
        await emit_together(rig, 0, KNOWN)
        patience(0.001)
        assert (await rig.intake.emit(access(), event(100))).sequence == KNOWN + 1
        patience(FOREVER)
        assert (await rig.intake.emit(access(), event(101))).sequence == KNOWN + 2  # nobody else is known any more


@pytest.mark.parametrize("large", [[event(100, 40_000)], [event(100 + n) for n in range(40)]])
@in_loop
async def test_a_group_that_is_large_by_itself_waits_for_nobody(large: list[bytes], patience: Patience) -> None:
    async with running() as rig:
        await emit_together(rig, 0, 200)
        patience(FOREVER)
        await asyncio.gather(*(rig.intake.emit(access(), each) for each in large))


@in_loop
async def test_a_stop_waits_for_nobody(patience: Patience) -> None:
    async with running() as rig:
        await emit_together(rig, 0, KNOWN)
        patience(FOREVER)
        waiter = asyncio.create_task(rig.intake.emit(access(), event(100)))
        await settle()
        rig.intake.stop()
        assert (await waiter).sequence == KNOWN + 1


@in_loop
async def test_a_thread_that_takes_no_work_is_an_error_to_every_caller() -> None:
    async with running() as rig:
        rig.thread.shutdown()
        waiters = [asyncio.create_task(rig.intake.emit(access(), event(n))) for n in range(3)]
        errors = await asyncio.gather(*waiters, return_exceptions=True)
        assert [type(error) for error in errors] == [RuntimeError] * 3

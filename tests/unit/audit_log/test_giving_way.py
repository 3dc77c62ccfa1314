"""Deliveries give way to the intake, but neither for ever nor at a stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from server.audit_log import deliveries as module
from server.audit_log.deliveries import Deliveries
from server.audit_log.delivery import Delivered, Delivery
from server.observability.metrics import Metrics
from tests.grpc.rig import in_loop
from tests.unit.audit_log.test_intake import access, event, running, settle, submit


class NothingToDeliver:
    def __init__(self) -> None:
        self.attempts = 0

    def deliver_next(self) -> Delivered | None:
        self.attempts += 1
        return None


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 -- nothing tells of it
            await asyncio.sleep(0)


@pytest.mark.parametrize(("quota", "first"), [(2**30, True), (600_000, False)])
@in_loop
async def test_the_intake_goes_first_while_much_waits_and_the_journal_has_room(quota: int, first: bool) -> None:
    async with running(quota=quota) as rig:
        go_on = rig.block()
        taken = [asyncio.ensure_future(rig.intake.emit(access(), event(0, 60_000)))]
        await settle()
        went_first = [rig.intake.goes_first()]
        taken += [submit(rig, access(), [event(number, 60_000)]) for number in range(1, 6)]
        went_first.append(rig.intake.goes_first())
        go_on.set()
        await asyncio.gather(*taken)
        assert [*went_first, rig.intake.goes_first()] == [False, first, False]


@in_loop
async def test_a_delivery_waits_as_long_as_it_gives_way_and_a_stop_ends_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GIVEN_WAY_SECONDS", 0)
    asked, delivery = [], NothingToDeliver()

    def gives_way() -> bool:
        asked.append(delivery.attempts)
        return len(asked) <= 10 or delivery.attempts > 0

    with ThreadPoolExecutor(1) as thread:
        deliveries = Deliveries(cast(Delivery, delivery), thread, Metrics([]).deliveries, "default", gives_way)
        task = asyncio.create_task(deliveries.run())
        await until(lambda: delivery.attempts == 1)
        assert asked == [0] * 11
        deliveries.wake()
        await until(lambda: len(asked) >= 20)
        deliveries.stop()
        await asyncio.wait_for(task, 10)
    assert delivery.attempts == 1

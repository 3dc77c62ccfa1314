"""The intake while the journal is full or nearly so: who waits for room, and who is refused."""

from __future__ import annotations

import asyncio

import pytest

from server.errors import ResourceExhausted
from tests.loops import in_loop
from tests.unit.audit_log.test_intake import MIB, access, event, running, settle


@in_loop
async def test_the_gate_is_asked_for_every_event() -> None:
    async with running(quota=1000) as rig:
        await rig.intake.emit(access(), event(1, 1000))
        with pytest.raises(ResourceExhausted) as refused:
            await rig.intake.emit(access(), event(2))
        assert refused.value.reason == "JOURNAL_FULL"
        await rig.intake.submit_own(access(), event(3))


@in_loop
async def test_who_can_wait_waits_while_the_journal_is_nearly_full_and_goes_on_once_it_is_not() -> None:
    async with running(quota=8 * MIB) as rig:
        rig.gate.observe(7 * MIB, 1024 * MIB)
        waiting = asyncio.create_task(rig.intake.until_room())
        await settle()
        assert not waiting.done()
        rig.gate.observe(7 * MIB - 1, 1024 * MIB)
        await asyncio.wait_for(waiting, 60)


@pytest.mark.parametrize(
    ("full", "batches_leave", "patience"),
    [(6 * MIB, True, 600.0), (7 * MIB, False, 600.0), (7 * MIB, True, 0.05)],
    ids=["there is room", "no batch leaves", "patience is at its end"],
)
@in_loop
async def test_nobody_waits_for_room_in_vain(full: int, batches_leave: bool, patience: float) -> None:
    async with running(quota=8 * MIB, batches_leave=batches_leave, patience=patience) as rig:
        rig.gate.observe(full, 1024 * MIB)
        await asyncio.wait_for(rig.intake.until_room(), 60)


@in_loop
async def test_a_stop_ends_the_waiting_for_room() -> None:
    async with running(quota=8 * MIB) as rig:
        rig.gate.observe(7 * MIB, 1024 * MIB)
        waiting = asyncio.create_task(rig.intake.until_room())
        await settle()
        rig.intake.stop()
        await asyncio.wait_for(waiting, 60)

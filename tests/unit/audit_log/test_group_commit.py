"""Group commit: who waits for whom, and who never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rbac.identities import Identity
from server.audit_log.receipts import encode_emitter
from server.audit_log.validation import Payloads, Validated, Validator
from server.errors import InvalidRequest, PermissionDenied
from tests.loops import in_loop
from tests.unit.audit_log.emitters import NODE, USER
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


@pytest.mark.parametrize("size", [0, 10_000, 100_000])
@in_loop
async def test_a_wrong_event_stops_no_other_of_its_group(size: int) -> None:
    wrong = b'{"event":"a","x":"%b","x":1}' % (b"x" * size)
    async with running() as rig:
        go_on = rig.block()
        payloads = [event(0), event(1, size), wrong, event(2, size), wrong]
        waiters = [asyncio.create_task(rig.intake.emit(access(), payload)) for payload in payloads]
        await settle()
        go_on.set()
        answers = await asyncio.gather(*waiters, return_exceptions=True)
        assert [type(answer) for answer in answers[2::2]] == [InvalidRequest, InvalidRequest]
        assert sorted(rig.stored()) == sorted([event(0), event(1, size), event(2, size)])
        await rig.intake.emit(access(), event(3))
        assert rig.intake.pending_bytes() == 0


@in_loop
async def test_the_loop_has_its_turns_while_a_large_group_is_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.audit_log.group_commit._JOINED_AT_ONCE", 10)
    validated, turns = [0], [0]
    validate = Validator.validate

    def count(self: Validator, payloads: Payloads, emitter: Identity, now_ms: int, **more: bool) -> Validated:
        validated[0] += len(payloads)
        return validate(self, payloads, emitter, now_ms, **more)

    async def others() -> None:
        while validated[0] < 100:
            turns[0] += validated[0] > 0
            await asyncio.sleep(0)

    monkeypatch.setattr(Validator, "validate", count)
    async with running() as rig:
        waiters = [asyncio.create_task(rig.intake.emit(access(), event(n))) for n in range(100)]
        await others()
        await asyncio.gather(*waiters)
        assert turns[0] >= 8


@in_loop
async def test_every_caller_of_a_joined_group_is_told_of_its_own_event() -> None:
    """New, repeated, reused, without a uid, wrong, and another's: in one commit, mixed over two emitters."""
    without = b'{"event":"a","time":"2026-11-18T10:00:00Z"}'
    foreign = b'{"event":"a","uid":"f","time":"2026-11-18T10:00:00Z","server_id":"other"}'
    reused = event(0).replace(b'"x"', b'"y"')
    assert reused != event(0)
    callers = [
        (USER, event(0)), (NODE, event(1)), (USER, event(2)), (NODE, event(0)), (USER, reused), (USER, b"{"),
        (NODE, foreign), (USER, event(0)), (USER, without), (NODE, event(1)),
    ]  # fmt: skip
    async with running() as rig:
        go_on = rig.block()
        first = asyncio.create_task(rig.intake.emit(access(), event(99)))
        await settle()
        waiters = [asyncio.create_task(rig.intake.emit(access(who), payload)) for who, payload in callers]
        await settle()
        go_on.set()
        await first
        syncs = rig.syncs()
        answers: list[Any] = await asyncio.gather(*waiters, return_exceptions=True)
        assert rig.syncs() - syncs <= 1
        stored = {row.sequence: row for pin in rig.tail.pin() for row in pin.rows()}
        assert [type(answers[index]) for index in (5, 6)] == [InvalidRequest, PermissionDenied]
        told = [answer for index, answer in enumerate(answers) if index not in (5, 6)]
        assert [answer.repeated for answer in told] == [False, False, False, False, False, True, False, True]
        assert [answer.uid_reused for answer in told] == [False, False, False, True, True, False, False, False]
        assert (answers[7].sequence, answers[9].sequence) == (answers[0].sequence, answers[1].sequence)
        assert len({answer.sequence for answer in told if not answer.repeated}) == 6
        for (_, payload), answer in zip(callers, answers, strict=True):
            if isinstance(answer, Exception):
                continue
            row = stored[answer.sequence]
            assert row.event.uid == answer.uid
            assert row.event.data == payload if payload != without else row.event.data.startswith(without[:-1])
        assert {stored[answers[1].sequence].receipt, stored[answers[3].sequence].receipt} == {
            encode_emitter(NODE, access().peer)
        }
        assert stored[answers[0].sequence].receipt == encode_emitter(USER, access().peer)


@in_loop
async def test_a_group_of_nothing_new_is_no_commit() -> None:
    async with running() as rig:
        with pytest.raises(InvalidRequest):
            await rig.intake.emit(access(), b"{")
        await rig.intake.emit(access(), event(1))
        assert (await rig.intake.emit(access(), event(1))).repeated
        assert rig.metrics.registry.get_sample_value("extaudit_commit_events_count") == 1

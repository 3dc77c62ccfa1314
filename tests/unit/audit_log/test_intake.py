"""The intake: many callers, one commit, and everyone is told what became of their own events."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from rbac.identities import Identity
from server.audit_log.access import Access
from server.audit_log.cuts import CutLimits
from server.audit_log.gate import IntakeGate
from server.audit_log.intake import Intake
from server.audit_log.journal.journal import Journal
from server.audit_log.known_uids import KnownUids, UidLimits
from server.audit_log.log_writer import LogWriter
from server.audit_log.receipts import BatchAcknowledgement
from server.audit_log.tail import Tail
from server.audit_log.validation import Payloads, UnreadPayloads, Validator, joined_payloads
from server.errors import InvalidRequest, PermissionDenied, ResourceExhausted, Unavailable, Violation
from server.observability.metrics import Metrics
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.log_under_test import PLACES
from tests.loops import in_loop
from tests.unit.audit_log.emitters import NODE, NOW_MS, USER

MIB = 2**20


@dataclass
class Rig:
    intake: Intake
    files: ForgetfulFiles
    tail: Tail
    thread: ThreadPoolExecutor
    metrics: Metrics
    gate: IntakeGate
    validation: ThreadPoolExecutor
    told: list[int]
    """Events that were in the tail whenever a commit was told of."""

    def syncs(self) -> int:
        return sum(operation.name == "sync" for operation in self.files.operations)

    def block(self) -> threading.Event:
        """Keep the journal's thread busy until the event is set."""
        go_on = threading.Event()
        self.thread.submit(go_on.wait, 120)
        return go_on

    def fail(self, operation: str) -> None:
        def before(number: int, name: str) -> None:
            if name == operation:
                raise OSError(5, "fault")

        self.files.before = before

    def stored(self) -> list[bytes]:
        return [row.event.data for pin in self.tail.pin() for row in pin.rows()]


@contextlib.asynccontextmanager
async def running(
    *, max_pending: int = 64 * MIB, quota: int = 1024 * MIB, batches_leave: bool = True, patience: float = 60.0
) -> AsyncIterator[Rig]:
    files, tail, metrics = ForgetfulFiles(), Tail(), Metrics([])
    journal = Journal(files, PLACES.journal, "0" * 20, 1, "default")
    writer = LogWriter(journal, tail, KnownUids(UidLimits()), CutLimits(), lambda: None)
    gate = IntakeGate(quota, 64 * MIB)
    gate.observe(0, 1024 * MIB)
    told: list[int] = []
    with ThreadPoolExecutor(1) as thread, ThreadPoolExecutor(1) as validation:
        intake = Intake(
            writer,
            Validator(b"secret", MIB),
            thread,
            validation,
            gate,
            metrics.journal,
            max_pending_bytes=max_pending,
            now_ms=lambda: NOW_MS,
            batches_leave=lambda: batches_leave,
            patience_seconds=patience,
            committed=lambda: told.append(tail.events),
        )
        task = asyncio.create_task(intake.run())
        try:
            yield Rig(intake, files, tail, thread, metrics, gate, validation, told)
        finally:
            intake.stop()
            await asyncio.wait_for(task, 60)


def access(identity: Identity = USER) -> Access:
    return Access(identity, "ipv4:127.0.0.1:1", "r-1")


def event(number: int, size: int = 0) -> bytes:
    return b'{"event":"a","uid":"u-%d","time":"2026-11-01T00:00:00Z","x":"%b"}' % (number, b"x" * size)


def submit(rig: Rig, who: Access, payloads: Sequence[bytes | InvalidRequest]) -> asyncio.Future[BatchAcknowledgement]:
    return submit_message(rig, who, joined_payloads(payloads))


def submit_message(rig: Rig, who: Access, payloads: Payloads | UnreadPayloads) -> asyncio.Future[BatchAcknowledgement]:
    """What is returned resolves when the outcome is told; a second one would be an error of the loop."""
    outcome: asyncio.Future[BatchAcknowledgement] = asyncio.get_running_loop().create_future()

    def tell(answer: BatchAcknowledgement | Exception) -> None:
        if isinstance(answer, Exception):
            outcome.set_exception(answer)
        else:
            outcome.set_result(answer)

    rig.intake.submit(who, payloads, tell)
    return outcome


async def settle() -> None:
    """Let everything that can run on the loop run."""
    for _ in range(5):
        await asyncio.sleep(0)


@in_loop
async def test_callers_that_wait_together_share_a_commit() -> None:
    async with running() as rig:
        await rig.intake.emit(access(), event(0))
        before = rig.syncs()
        go_on = rig.block()
        first = asyncio.create_task(rig.intake.emit(access(), event(1)))
        await settle()
        others = [asyncio.create_task(rig.intake.emit(access(), event(n))) for n in range(2, 50)]
        await settle()
        go_on.set()
        answers = await asyncio.gather(first, *others)
        assert [answer.sequence for answer in answers] == list(range(2, 51))
        assert rig.syncs() - before == 2


@in_loop
async def test_who_waits_for_commits_is_told_when_the_events_are_there_to_be_read() -> None:
    async with running() as rig:
        for number in range(3):
            await rig.intake.emit(access(), event(number))
        assert rig.told == [1, 2, 3]


@in_loop
async def test_an_acknowledgement_says_where_the_event_is() -> None:
    async with running() as rig:
        first = await rig.intake.emit(access(), event(1))
        again = await rig.intake.emit(access(), event(1))
        other = await rig.intake.emit(access(NODE), event(1))
        assert (first.uid, first.storage, first.sequence, first.repeated) == ("u-1", "default", 1, False)
        assert (again.log_id, again.sequence, again.repeated) == (first.log_id, 1, True)
        assert (other.sequence, other.repeated, other.uid_reused) == (2, False, True)


@in_loop
async def test_a_caller_that_gives_up_changes_nothing_for_the_others() -> None:
    async with running() as rig:
        go_on = rig.block()
        first = asyncio.create_task(rig.intake.emit(access(), event(1)))
        second = asyncio.create_task(rig.intake.emit(access(), event(2)))
        await settle()
        first.cancel()
        await settle()
        go_on.set()
        assert (await second).sequence == 2
        assert rig.stored() == [event(1), event(2)]
        assert (await rig.intake.emit(access(), event(1))).repeated


@in_loop
async def test_a_stop_commits_what_is_pending_and_takes_nothing_more() -> None:
    async with running() as rig:
        go_on = rig.block()
        pending = [asyncio.create_task(rig.intake.emit(access(), event(n))) for n in range(5)]
        await settle()
        rig.intake.stop()
        with pytest.raises(Unavailable) as refused:
            await rig.intake.emit(access(), event(9))
        assert refused.value.reason == "STOPPING"
        go_on.set()
        assert [answer.sequence for answer in await asyncio.gather(*pending)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("operation", "reason"), [("append", "DISK_FLOOR"), ("sync", "JOURNAL_CLOSED")])
def test_a_failure_reaches_every_waiter_and_is_not_stored_as_far_as_anyone_knows(operation: str, reason: str) -> None:
    @in_loop
    async def test() -> None:
        async with running() as rig:
            go_on = rig.block()
            rig.fail(operation)
            waiters = [asyncio.create_task(rig.intake.emit(access(), event(n))) for n in range(5)]
            await settle()
            go_on.set()
            errors = await asyncio.gather(*waiters, return_exceptions=True)
            assert [getattr(error, "reason", "") for error in errors] == [reason] * 5
            assert rig.stored() == []

    test()


@in_loop
async def test_after_a_failed_sync_calls_are_refused_at_once() -> None:
    async with running() as rig:
        rig.fail("sync")
        with pytest.raises(Unavailable):
            await rig.intake.emit(access(), event(1))
        go_on = rig.block()
        with pytest.raises(Unavailable) as refused:
            submit(rig, access(), [event(2)])
        assert refused.value.reason == "JOURNAL_CLOSED"
        go_on.set()


@in_loop
async def test_a_fault_of_the_service_reaches_every_waiter_and_the_next_call_is_served() -> None:
    async with running() as rig:
        go_on = rig.block()

        def fault(number: int, name: str) -> None:
            raise RuntimeError("fault")

        rig.files.before = fault
        waiters = [asyncio.create_task(rig.intake.emit(access(), event(n))) for n in range(3)]
        await settle()
        go_on.set()
        errors = await asyncio.gather(*waiters, return_exceptions=True)
        assert [type(error) for error in errors] == [RuntimeError] * 3
        rig.files.before = lambda number, name: None
        assert not (await rig.intake.emit(access(), event(0))).repeated
        assert rig.intake.pending_bytes() == 0


@in_loop
async def test_one_wrong_event_stops_no_other_of_its_message() -> None:
    async with running() as rig:
        unreadable = InvalidRequest([Violation("fields", "wrong")])
        foreign = b'{"event":"a","uid":"u","server_id":"node-2"}'
        answer = await submit(rig, access(NODE), [event(1), b"{", unreadable, foreign, event(2), event(2)])
        assert answer.sequences == [(1, 2)]
        assert [(index, violations[0].field) for index, violations in answer.refused] == [
            (1, "json"),
            (2, "fields"),
            (3, "server_id"),
        ]
        assert [index for index, *_ in answer.repeated] == [5]


@in_loop
async def test_a_message_of_nothing_but_wrong_events_is_answered_and_stores_nothing() -> None:
    async with running() as rig:
        answer = await submit(rig, access(), [b"{", b"[]"])
        assert ([index for index, _ in answer.refused], answer.sequences) == ([0, 1], [])
        assert (rig.stored(), rig.syncs()) == ([], 0)


@in_loop
async def test_a_wrong_event_by_itself_is_an_error() -> None:
    async with running() as rig:
        with pytest.raises(InvalidRequest):
            await rig.intake.emit(access(), b"{")
        with pytest.raises(PermissionDenied):
            await rig.intake.emit(access(NODE), b'{"event":"a","server_id":"node-2"}')
        assert (rig.stored(), rig.syncs()) == ([], 0)


def small_ones(number: int) -> list[bytes]:
    """240 kB of events that are validated at once."""
    return [event(10 * number + index, 60_000) for index in range(4)]


@in_loop
async def test_what_waits_for_the_disk_is_bounded() -> None:
    async with running(max_pending=MIB) as rig:
        go_on = rig.block()
        taken = [submit(rig, access(), [event(0)])]
        await settle()
        with pytest.raises(ResourceExhausted) as refused:
            taken.extend(submit(rig, access(), small_ones(number)) for number in range(1, 10))
        assert (refused.value.reason, len(taken)) == ("OVERLOADED", 5)
        go_on.set()
        await asyncio.gather(*taken)
        assert rig.intake.pending_bytes() == 0
        await submit(rig, access(), [event(200, 300_000)])


@in_loop
async def test_an_event_that_takes_long_to_validate_holds_up_its_sender_alone() -> None:
    """A megabyte of brackets: the loop answers others while it is looked through."""
    brackets = b'{"event":"x","a":[' + b",".join([b"[[[[[[[[]]]]]]]]"] * 60_000) + b"]}"
    async with running() as rig:
        go_on = threading.Event()
        rig.validation.submit(go_on.wait, 60)
        large = submit(rig, access(), [brackets])
        for number in (1, 2):
            assert (await submit(rig, access(), [event(number)])).sequences == [(number, number)]
        go_on.set()
        assert (await large).sequences == [(3, 3)]


@pytest.mark.parametrize("unread", [False, True])
@in_loop
async def test_a_message_that_takes_long_holds_up_its_sender_alone(unread: bool) -> None:
    """Whether its many events are each just below the size of a large one, or have still to be made of structures."""
    brackets = b'{"event":"x","a":[' + b",".join([b"[[[[[[[[]]]]]]]]"] * (10 if unread else 3_000)) + b"]}"
    payloads = joined_payloads([brackets] * 10)
    async with running() as rig:
        go_on = threading.Event()
        rig.validation.submit(go_on.wait, 60)
        message = UnreadPayloads(10, len(payloads.data), lambda: payloads) if unread else payloads
        slow = submit_message(rig, access(), message)
        for number in (1, 2):
            assert (await submit(rig, access(), [event(number)])).sequences == [(number, number)]
        go_on.set()
        assert (await slow).sequences == [(3, 12)]


@in_loop
async def test_a_message_that_is_given_up_before_it_is_validated_is_told_as_not_known_to_be_stored() -> None:
    async with running() as rig:
        go_on = threading.Event()
        rig.validation.submit(go_on.wait, 120)
        given_up = submit(rig, access(), [event(0, 100_000)])
        await settle()
        rig.validation.shutdown(wait=False, cancel_futures=True)
        go_on.set()
        with pytest.raises(Unavailable):
            await given_up


@in_loop
async def test_a_large_pile_is_committed_in_order_and_in_parts() -> None:
    async with running() as rig:
        go_on = rig.block()
        taken = [submit(rig, access(), [event(n, 900_000)]) for n in range(30)]
        await settle()
        go_on.set()
        answers = await asyncio.gather(*taken)
        assert [answer.sequences for answer in answers] == [[(n, n)] for n in range(1, 31)]
        assert rig.syncs() > 3


@in_loop
async def test_what_waits_to_be_validated_off_the_loop_counts_as_waiting() -> None:
    """Else large events could fill memory without bound before the first of them is validated."""
    large = event(0, 100_000)
    unread = UnreadPayloads(1, len(large), lambda: joined_payloads([large]))
    message = joined_payloads([large])
    async with running(max_pending=250_000) as rig:
        go_on = threading.Event()
        rig.validation.submit(go_on.wait, 120)
        emits = [asyncio.create_task(rig.intake.emit(access(), event(number, 100_000))) for number in range(2)]
        await settle()
        with pytest.raises(ResourceExhausted):
            await rig.intake.emit(access(), event(2, 100_000))
        for payloads in (unread, message):
            with pytest.raises(ResourceExhausted):
                await submit_message(rig, access(), payloads)
        go_on.set()
        await asyncio.gather(*emits)
        await submit_message(rig, access(), message)  # once they are durable there is room again


@in_loop
async def test_a_fault_of_who_is_told_stops_neither_the_others_nor_the_intake(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_outcome: object) -> None:
        raise ZeroDivisionError

    async with running() as rig:
        go_on = rig.block()
        first = submit(rig, access(), [event(0)])
        await settle()
        rig.intake.submit(access(), joined_payloads([event(1)]), fail)
        second = submit(rig, access(), [event(2)])
        go_on.set()
        assert [(await each).sequences for each in (first, second)] == [[(1, 1)], [(3, 3)]]
        assert (await submit(rig, access(), [event(3)])).sequences == [(4, 4)]
    ours = [record for record in caplog.records if record.name == "server.audit_log.group_commit"]
    assert [record.exc_info[0] for record in ours if record.exc_info] == [ZeroDivisionError]

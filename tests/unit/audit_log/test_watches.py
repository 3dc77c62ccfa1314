"""A watch: what its watcher is told and when, which rights hold, and the trace it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from rbac.formulas import ALWAYS, Formula, Operator, Test
from rbac.identities import Identity, IdentityKind
from server.audit_log.access import Access
from server.audit_log.commit_notice import CommitNotice
from server.audit_log.search.query import EventFilter, FoundEvent, MissingReason
from server.audit_log.service_log import ServiceLog
from server.audit_log.stored_batches import StoredBatches
from server.audit_log.watching.log_reader import LogReader
from server.audit_log.watching.query import Watched, WatchQuery
from server.audit_log.watching.watch import Watch, WatchLimits
from server.audit_log.watching.watches import Watches
from server.errors import AuditStoreError, InvalidRequest, NotFound, PermissionDenied, ResourceExhausted, Unavailable
from server.observability.instruments import Instruments
from server.observability.watch_metrics import WatchMetrics
from server.storage.ports import StorageError
from server.storage.query import Filters
from tests.contract.search_rig import NOON, SearchRig, duck_engine, event_json
from tests.loops import in_loop, until
from tests.unit.audit_log.test_service_log import OwnJournal

CALLER = Access(Identity(IdentityKind.USER, "alice", frozenset({"auditor"}), "anchor", "5e"), "ipv4:192.0.2.7:1", "r-1")
AT_ONCE = WatchLimits(look_seconds=0.0, looks_per_second=1e9)


@dataclass
class WatchRig:
    """A log, and watches of it; `access` is what the next look at the caller's rights gives, or raises."""

    log: SearchRig
    threads: ThreadPoolExecutor
    limits: WatchLimits = AT_ONCE
    access: Access | AuditStoreError = CALLER
    journal: OwnJournal = field(default_factory=OwnJournal)
    notice: CommitNotice = field(default_factory=CommitNotice)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        rig = self.log
        batches = StoredBatches(rig.storage, rig.catalogue)
        reader = LogReader(rig.log.tail, rig.catalogue, batches, rig.log.journal.log_id)
        service_log = ServiceLog(self.journal)  # type: ignore[arg-type]  # all that it uses
        metrics = WatchMetrics(Instruments(self.registry, []))
        self.watches = Watches(reader, self.threads, service_log, self.notice, metrics, "default", self.limits)

    def rights(self) -> Access:
        if isinstance(self.access, AuditStoreError):
            raise self.access
        return self.access

    async def watch(self, query: WatchQuery | None = None) -> Watch:
        return await self.watches.begin(self.rights, query or WatchQuery(after={}), encoded)

    def counted(self) -> list[float | None]:
        """Watches under way, events and missing parts that were given."""
        names = "extaudit_watches_under_way", "extaudit_watched_events_total", "extaudit_watch_missing_total"
        return [self.registry.get_sample_value(name) for name in names]

    def emit(self, *uids: str, **members: object) -> None:
        self.log.emit(*(event_json(uid, **members) for uid in uids))
        self.notice.tell()

    def deliver(self) -> None:
        self.log.cut()
        self.log.deliver()


@contextlib.asynccontextmanager
async def watching(folder: Path, workers: int = 1, **members: Any) -> AsyncIterator[WatchRig]:
    log = SearchRig(folder, duck_engine(folder))
    with ThreadPoolExecutor(workers) as threads:
        yield WatchRig(log, threads, **members)
    log.close()


def encoded(events: Sequence[FoundEvent]) -> bytes:
    return b"".join(event.position.uid.encode() for event in events)


def uids(watched: Watched | None) -> list[str]:
    assert watched is not None
    assert watched.encoded == encoded(watched.events)
    return [event.position.uid for event in watched.events]


@in_loop
async def test_what_is_there_comes_and_then_what_is_committed(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        rig.emit("a")
        rig.deliver()
        rig.emit("b")
        watch = await rig.watch()
        first = await watch.next()
        assert first is not None
        assert (uids(first), first.caught_up, first.place) == (["a", "b"], True, {rig.log.log.journal.log_id: 2})
        waiting = asyncio.ensure_future(watch.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        rig.emit("c", "d")
        assert uids(await waiting) == ["c", "d"]


@in_loop
async def test_a_watch_from_now_on_says_at_once_that_it_is_caught_up(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        rig.emit("before")
        watch = await rig.watch(WatchQuery())
        first = await watch.next()
        assert first == Watched([], {rig.log.log.journal.log_id: 1}, True, [])
        rig.emit("after")
        assert uids(await watch.next()) == ["after"]


@in_loop
async def test_a_place_in_a_log_without_events_is_the_beginning(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        first = await (await rig.watch(WatchQuery())).next()
        assert first is not None
        assert first.place == {}
        rig.emit("a")
        assert uids(await (await rig.watch(WatchQuery(after=first.place))).next()) == ["a"]


@in_loop
async def test_while_nothing_wanted_comes_the_place_does_now_and_then(tmp_path: Path) -> None:
    async with watching(tmp_path, limits=replace(AT_ONCE, heartbeat_seconds=0.1)) as rig:
        watch = await rig.watch(WatchQuery(EventFilter(Filters(types=frozenset({"none"}))), after={}))
        assert (await watch.next()) is not None
        started = asyncio.get_running_loop().time()
        rig.emit("unwanted")
        beat = await watch.next()
        assert asyncio.get_running_loop().time() - started >= 0.09
        assert beat == Watched([], {rig.log.log.journal.log_id: 1}, True, [])


@in_loop
async def test_looks_of_a_busy_log_are_spaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(tmp_path, limits=WatchLimits(look_seconds=0.2)) as rig:
        watch = await rig.watch()
        await watch.next()
        started = asyncio.get_running_loop().time()
        for number in range(5):
            rig.emit(f"e{number}")
        assert uids(await watch.next()) == [f"e{number}" for number in range(5)]
        assert asyncio.get_running_loop().time() - started >= 0.15


def test_many_watches_look_less_often_each() -> None:
    limits = WatchLimits()
    assert [limits.pause(watches) for watches in (1, 20, 100, 500)] == [0.01, 0.01, 0.05, 0.25]


@in_loop
async def test_who_reads_slowly_is_given_stored_batches_and_nothing_is_left_out(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        watch = await rig.watch()
        rig.emit("e0")
        found = uids(await watch.next())
        for number in range(1, 40):
            rig.emit(f"e{number}", f"f{number}")
            if number % 7 == 0:
                rig.deliver()
        assert rig.log.catalogue.batches(), "it has left the tail meanwhile"
        while len(found) < 79:
            found += uids(await watch.next())
        assert found == [kept.event.uid for kept in rig.log.kept]


@in_loop
async def test_what_is_missing_is_named_once(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        large = {"large": "x" * 600_000}
        rig.log.emit(*(event_json(f"e{n}", NOON - n * 86_400_000, **large) for n in range(4)))
        rig.deliver()
        rig.log.objects()[0].unlink()  # of the event that came last
        watch = await rig.watch()
        answers = [await watch.next(), await watch.next(), await watch.next()]
        assert [uids(answer) for answer in answers] == [["e0"], ["e1"], ["e2"]]
        missing = [part.reason for answer in answers if answer for part in answer.missing]
        assert missing == [MissingReason.OBJECT_MISSING]
        assert rig.counted() == [1, 3, 1]
        watch.close()
        assert rig.counted() == [0, 3, 1]


def only(user: str) -> Access:
    return replace(CALLER, condition=condition(user))


def condition(user: str) -> Formula:
    return Test(("user",), Operator.ONE_OF, (user,), holds=True)


@in_loop
async def test_only_events_that_the_callers_rights_admit_as_of_now_are_given(tmp_path: Path) -> None:
    async with watching(tmp_path, access=only("eve")) as rig:
        watch = await rig.watch()
        rig.emit("a1", user="adam")
        rig.emit("e1", user="eve")
        assert uids(await watch.next()) == ["e1"]
        rig.access = only("adam")
        rig.emit("e2", user="eve")
        rig.emit("a2", user="adam")
        assert uids(await watch.next()) == ["a2"]
        rig.access = CALLER
        rig.emit("e3", user="eve")
        assert uids(await watch.next()) == ["e3"]
        assert CALLER.condition == ALWAYS


@in_loop
async def test_what_was_found_under_rights_that_changed_meanwhile_is_not_given(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        rig.emit("e1", user="eve")
        rig.deliver()
        rig.emit("a1", user="adam")
        watch = await rig.watch()
        hold = threading.Event()
        rig.threads.submit(hold.wait)
        waiting = asyncio.ensure_future(watch.next())
        await until(rig.threads._work_queue.qsize)
        rig.access = only("adam")
        hold.set()
        assert uids(await waiting) == ["a1"]


@in_loop
async def test_a_watch_fails_before_it_looks_when_the_rights_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(tmp_path) as rig:
        watch = await rig.watch()
        await watch.next()
        rig.access = PermissionDenied("access denied")
        rig.emit("secret")
        with monkeypatch.context() as patch:
            patch.setattr(rig.log.log.tail, "pin", lambda: pytest.fail("nothing may be looked at"))
            with pytest.raises(PermissionDenied):
                await watch.next()


@in_loop
async def test_a_watch_that_is_told_to_end_does_so_at_once(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        watch = await rig.watch()
        await watch.next()
        waiting = asyncio.ensure_future(watch.next())
        await asyncio.sleep(0)
        watch.end()
        assert await asyncio.wait_for(waiting, 5) is None  # the heartbeat, after 15 s, is no end


@in_loop
async def test_the_trace_is_there_before_anything_leaves_and_tells_how_it_ended(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        rig.emit("a", "b")
        query = WatchQuery(EventFilter(Filters(types=frozenset({"user.login"}))), after={})
        watch = await rig.watch(query)
        [begun] = rig.journal.events
        assert (begun["event"], begun["user"], begun["request_id"]) == ("extaudit.events.watch", "alice", "r-1")
        assert (begun["filters"], begun["start"]) == ({"types": ["user.login"]}, {"after": {}})
        await watch.next()
        watch.close()
        watch.close()
        await asyncio.sleep(0)
        [_, ended] = rig.journal.events
        log_id = rig.log.log.journal.log_id
        assert (ended["event"], ended["watch_id"]) == ("extaudit.events.watch.end", begun["watch_id"])
        assert (ended["from"], ended["to"], ended["events"]) == ({}, {log_id: 2}, 2)


@in_loop
async def test_without_a_trace_nothing_is_watched(tmp_path: Path) -> None:
    async with watching(tmp_path, limits=replace(AT_ONCE, watches=1)) as rig:
        rig.journal.fails = Unavailable("closed", reason="JOURNAL_CLOSED")
        for _ in range(2):
            with pytest.raises(Unavailable):
                await rig.watch()
        rig.journal.fails = None
        await rig.watch()


@in_loop
async def test_no_more_watch_than_there_is_room_for(tmp_path: Path) -> None:
    async with watching(tmp_path, limits=replace(AT_ONCE, watches=2)) as rig:
        first, _ = await rig.watch(), await rig.watch()
        with pytest.raises(ResourceExhausted):
            await rig.watch()
        assert len(rig.journal.events) == 2
        first.close()
        await rig.watch()


@in_loop
async def test_a_watch_whose_rights_end_while_it_begins_takes_no_room(tmp_path: Path) -> None:
    async with watching(tmp_path, limits=replace(AT_ONCE, watches=1)) as rig:
        submit = rig.journal.submit_own

        async def submit_and_lose(access: Access, payload: bytes) -> None:
            await submit(access, payload)
            rig.access = PermissionDenied("access denied")

        rig.journal.submit_own = submit_and_lose  # type: ignore[method-assign]  # what comes while the trace is written
        with pytest.raises(PermissionDenied):
            await rig.watch()
        rig.journal.submit_own, rig.access = submit, CALLER  # type: ignore[method-assign]
        assert rig.counted()[0] == 0
        await rig.watch()


@in_loop
async def test_those_who_look_for_a_time_leave_a_thread_to_those_who_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(tmp_path, workers=2) as rig:
        rig.emit("a")
        rig.deliver()
        hold, real = threading.Event(), LogReader.first_received_from

        def held(reader: LogReader, received_ms: int) -> Any:
            hold.wait()
            return real(reader, received_ms)

        monkeypatch.setattr(LogReader, "first_received_from", held)
        waiting = [asyncio.ensure_future(rig.watch(WatchQuery(received_from_ms=NOON))) for _ in range(3)]
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                assert uids(await (await rig.watch()).next()) == ["a"]
            assert not any(each.done() for each in waiting)
        finally:
            hold.set()
        await asyncio.gather(*waiting)


LOOKED_AT: dict[str, tuple[EventFilter, Access, int, bool]] = {
    "a type, of many": (EventFilter(Filters(types=frozenset({"user.login"}))), CALLER, 100, True),
    "a text, of one": (EventFilter(Filters(text="e1")), CALLER, 1, True),
    "a text, of many": (EventFilter(Filters(text="e1")), CALLER, 20, False),
    "a user, of many": (EventFilter(Filters(users=frozenset({"eve"}))), CALLER, 20, False),
    "an emitter, of many": (EventFilter(emitters=frozenset({"alice"})), CALLER, 20, False),
}


@pytest.mark.parametrize("case", [*LOOKED_AT, "a condition, of many"])
@in_loop
async def test_many_who_look_into_events_do_so_on_the_loop_only_where_they_are_few(tmp_path: Path, case: str) -> None:
    wanted, access, watches, on_loop = LOOKED_AT.get(case) or (EventFilter(), CALLER, 20, False)
    if case.startswith("a condition"):
        wanted, access = (
            EventFilter(Filters(types=frozenset({"user.login"}))),
            replace(CALLER, condition=condition("eve")),
        )
    where = list[bool]()

    def encode(events: Sequence[FoundEvent]) -> bytes:
        where.append(threading.current_thread() is threading.main_thread())
        return encoded(events)

    async with watching(tmp_path, access=access) as rig:
        for _ in range(watches - 1):
            await rig.watch()
        watch = await rig.watches.begin(rig.rights, WatchQuery(wanted, after={}), encode)
        rig.emit(*(f"e{number}" for number in range(100)), user="eve")
        assert await watch.next() is not None
    assert where == [on_loop]


@pytest.mark.parametrize("stored", [False, True], ids=["loop", "thread"])
@in_loop
async def test_a_storage_that_can_not_be_read_is_unavailable_wherever_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    def fails(*_: object) -> Any:
        raise StorageError("no")

    async with watching(tmp_path) as rig:
        rig.emit("a")
        if stored:
            rig.deliver()
        watch = await rig.watch()
        # In the tail as well: what was there when it was counted may be a stored batch when it is looked at.
        monkeypatch.setattr(LogReader, "next", fails)
        with pytest.raises(Unavailable):
            await watch.next()


REFUSED: dict[str, tuple[Callable[[str], WatchQuery], type[AuditStoreError], list[str]]] = {
    "a storage that isn't there": (lambda _: WatchQuery(storage="other"), NotFound, []),
    "a log that isn't there": (lambda _: WatchQuery(after={"x": 1}), InvalidRequest, ["after.logs[x]"]),
    "beyond the end, and no log": (
        lambda log: WatchQuery(after={log: 2, "x": 0}),
        InvalidRequest,
        ["after.logs[LOG]", "after.logs[x]"],
    ),
    "a time to come": (lambda _: WatchQuery(received_from_ms=2**42), InvalidRequest, ["received_from"]),
}


@pytest.mark.parametrize("case", REFUSED)
@in_loop
async def test_what_can_not_be_watched_is_refused_and_takes_no_room(tmp_path: Path, case: str) -> None:
    query, kind, fields = REFUSED[case]
    async with watching(tmp_path, limits=replace(AT_ONCE, watches=1)) as rig:
        rig.emit("a")
        log_id = rig.log.log.journal.log_id
        for _ in range(2):
            with pytest.raises(kind) as refused:
                await rig.watch(query(log_id))
        found = [violation.field for violation in getattr(refused.value, "violations", [])]
        assert found == [name.replace("LOG", log_id) for name in fields]
        assert not rig.journal.events
        await rig.watch()


@in_loop
async def test_a_watch_from_a_time_on_begins_with_the_first_event_received_then(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        for number in range(6):
            rig.log.emit(event_json(f"e{number}"), received_ms=NOON + number)
            if number == 2:
                rig.deliver()
        for number in range(6):
            watch = await rig.watch(WatchQuery(received_from_ms=NOON + number))
            assert uids(await watch.next()) == [f"e{n}" for n in range(number, 6)]

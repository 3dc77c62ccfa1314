"""Which watches begin, what they may take of the service, and what ends their beginning."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.audit_log.access import Access
from server.audit_log.search.query import EventFilter, FoundEvent
from server.audit_log.watching.log_reader import LogReader
from server.audit_log.watching.query import WatchQuery
from server.errors import AuditStoreError, InvalidRequest, NotFound, PermissionDenied, ResourceExhausted, Unavailable
from server.storage.ports import StorageError
from server.storage.query import Filters
from tests.contract.search_rig import NOON
from tests.loops import in_loop
from tests.unit.audit_log.watch_rig import AT_ONCE, CALLER, condition, encoded, uids, watching


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
            async with asyncio.timeout(60):
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
        lambda log: WatchQuery(after={log: 2, "x": 1}),
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

"""A watch: what its watcher is told and when, which rights hold, and the trace it leaves."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from rbac.formulas import ALWAYS
from server.audit_log.access import Access
from server.audit_log.search.query import EventFilter, MissingReason
from server.audit_log.watching.query import Watched, WatchQuery
from server.audit_log.watching.watch import WatchLimits
from server.errors import PermissionDenied
from server.storage.query import Filters
from tests.contract.search_rig import NOON, event_json
from tests.loops import in_loop, until
from tests.unit.audit_log.watch_rig import AT_ONCE, CALLER, condition, uids, watching


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
async def test_who_watches_the_active_storage_misses_nothing_of_a_switch_however_often_it_begins_anew(
    tmp_path: Path,
) -> None:
    """What follows its place is of whichever was active then; one by name has what is in that."""
    async with watching(tmp_path, others=("other", "third")) as rig:
        rig.emit("a")
        rig.log.log.writer.switch("other")
        rig.emit("b")
        active, default = await rig.watch(), await rig.watch(WatchQuery(storage="default", after={}))
        first = await active.next()
        assert first is not None
        assert (uids(first), uids(await default.next())) == (["a", "b"], ["a"])
        active.close()
        rig.emit("c")
        rig.log.log.writer.switch("third")
        rig.emit("d")
        rig.log.log.writer.switch("default")
        rig.emit("e")
        again = await rig.watch(WatchQuery(after=first.place))
        assert [uids(await each.next()) for each in (again, default)] == [["c", "d", "e"], ["e"]]


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
async def test_a_place_goes_on_where_a_log_of_which_it_has_nothing_is_gone(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        rig.emit("a")
        watch = await rig.watch(WatchQuery(after={"gone": 0}))
        found = await watch.next()
        assert uids(found) == ["a"]
        assert found is not None
        assert found.place == {rig.log.log.journal.log_id: 1}, "and it is forgotten"


@in_loop
async def test_while_nothing_wanted_comes_the_place_does_now_and_then(tmp_path: Path) -> None:
    async with watching(tmp_path, limits=replace(AT_ONCE, heartbeat_seconds=0.1)) as rig:
        watch = await rig.watch(WatchQuery(EventFilter(Filters(types=frozenset({"none"}))), after={}))
        started = asyncio.get_running_loop().time()
        assert (await watch.next()) is not None
        rig.emit("unwanted")
        beat = await watch.next()
        assert asyncio.get_running_loop().time() - started >= 0.09
        assert beat == Watched([], {rig.log.log.journal.log_id: 1}, True, [])


@in_loop
async def test_looks_of_a_busy_log_are_spaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(tmp_path, limits=WatchLimits(look_seconds=0.2)) as rig:
        watch = await rig.watch()
        started = asyncio.get_running_loop().time()
        await watch.next()
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


@in_loop
async def test_a_watcher_with_conditions_is_told_of_each_gap_without_a_name(tmp_path: Path) -> None:
    """Two gaps look alike then, and the second is told as well."""
    async with watching(tmp_path) as rig:
        for day in range(3):
            rig.log.emit(event_json(f"e{day}", NOON + day * 86_400_000, user="alice"))
            rig.deliver()
        first, second, _ = rig.log.objects()
        first.unlink()
        rig.access = replace(CALLER, condition=condition("alice"))
        watch = await rig.watch()
        told = [await watch.next()]
        assert uids(told[0]) == ["e1", "e2"]
        rig.log.emit(event_json("e3", NOON, user="alice"), event_json("e4", NOON + 86_400_000, user="alice"))
        rig.deliver()
        next(path for path in rig.log.objects() if path.parent == second.parent and path != second).unlink()
        rig.notice.tell()
        told.append(await watch.next())
        assert uids(told[1]) == ["e3"]
        parts = [part for answer in told if answer for part in answer.missing]
        assert [(part.reason, part.storage, part.name) for part in parts] == [
            (MissingReason.OBJECT_MISSING, "default", "")
        ] * 2


def only(user: str) -> Access:
    return replace(CALLER, condition=condition(user))


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
        assert await asyncio.wait_for(waiting, 60) is None  # the heartbeat, after 15 s, is no end


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
async def test_a_watch_from_a_time_on_begins_with_the_first_event_received_then(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        for number in range(6):
            rig.log.emit(event_json(f"e{number}"), received_ms=NOON + number)
            if number == 2:
                rig.deliver()
        for number in range(6):
            watch = await rig.watch(WatchQuery(received_from_ms=NOON + number))
            assert uids(await watch.next()) == [f"e{n}" for n in range(number, 6)]

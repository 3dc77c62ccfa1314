"""A new session index: built beside the old one, through stops, damage and foreign files; what it misses is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from sqlalchemy import text

from server.audit_log.bucket_looks import Looked
from server.audit_log.search.query import Missing, MissingReason
from server.audit_log.timestamps import utc_date
from server.errors import Unavailable
from server.recordings.sessions import following, reindexing
from server.recordings.sessions.reindexing import Reindexing
from server.recordings.sessions.session_events import SessionEvent
from server.recordings.sessions.session_index import ReindexProgress
from server.state.database import StateFault
from server.state.session_claims import Claim
from server.state.session_tables import SESSION_TABLES
from tests.contract.foreign_files import columns, write
from tests.contract.search_rig import SearchRig
from tests.contract.session_rig import ALICE, NODE, NOON, PROXY, SessionRig, access_of, end_of, new_id, session_event


class Stopped(Exception):
    """A stop in the middle of a rebuild."""


def stop(_: ReindexProgress) -> None:
    raise Stopped


def stored_sessions(rig: SessionRig, count: int) -> list[str]:
    """Sessions whose ends are in one batch each; newest first."""
    ids = [new_id() for _ in range(count)]
    for number, session_id in enumerate(ids):
        rig.log.store(end_of(session_id, "alice", time_ms=NOON + number), by=PROXY)
    return ids[::-1]


def lose_the_index(rig: SessionRig) -> None:
    """As if the index were of a state database from before there was one."""
    with rig.log.database.begin() as connection:
        for table in SESSION_TABLES:
            connection.execute(text(f"DELETE FROM {table.name}"))


def test_the_old_index_is_shown_until_the_new_one_is_whole_and_then_swept(sessions: SessionRig) -> None:
    ids = stored_sessions(sessions, 3)
    seen: list[list[str]] = []

    def look(progress: ReindexProgress) -> None:
        if not progress.done:
            seen.append(sessions.ids())
            assert sessions.page().missing == ()

    sessions.index.rebuild(look)
    assert seen == [ids]
    assert sessions.ids() == ids
    with sessions.log.database.connect() as connection:
        for table in SESSION_TABLES:
            generations = connection.execute(text(f"SELECT DISTINCT generation FROM {table.name}")).scalars().all()
            assert set(generations) <= {2}, table.name


def test_what_comes_and_leaves_the_tail_while_an_index_is_built_is_in_it(sessions: SessionRig) -> None:
    ids = stored_sessions(sessions, 2)
    late, last = new_id(), new_id()

    def meanwhile(progress: ReindexProgress) -> None:
        if not progress.done and len(sessions.log.kept) == 2:
            sessions.log.store(end_of(late, "alice", time_ms=NOON + 10), by=PROXY)
            sessions.log.emit(end_of(last, "alice", time_ms=NOON + 11), by=PROXY)
            sessions.record(late, NODE)

    sessions.index.rebuild(meanwhile)
    assert sessions.ids() == [last, late, *ids]
    assert sessions.page().missing == ()
    [found] = [session for session in sessions.found() if session.session_id == late]
    assert found.recording is not None


def test_what_leaves_the_tail_just_before_the_new_index_is_shown_is_in_it(
    sessions: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = stored_sessions(sessions, 2)
    late, show = new_id(), sessions.tables.show

    def late_show(generation: int) -> None:
        sessions.log.store(end_of(late, "alice", time_ms=NOON + 10), by=PROXY)
        show(generation)

    monkeypatch.setattr(sessions.tables, "show", late_show)
    sessions.rebuild()
    assert (sessions.ids(), sessions.page().missing) == ([late, *ids], ())


def test_an_index_that_falls_behind_while_the_service_runs_is_built_anew(
    sessions: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reindexing, "LOOK_SECONDS", 0.01)
    ids = stored_sessions(sessions, 2)

    async def fall_behind(_: Reindexing) -> AsyncIterator[ReindexProgress]:
        with monkeypatch.context() as failing:
            failing.setattr(following, "told_by", lambda _: 1 / 0)
            ids.insert(0, await asyncio.to_thread(stored_sessions, sessions, 1))
        while not await asyncio.to_thread(lambda: sessions.index.follow()[1]):
            pass
        yield ReindexProgress(0, 0)

    run_reindexing(sessions, fall_behind)


def test_a_rebuild_that_a_stop_came_into_goes_on_at_the_next_start(sessions: SessionRig) -> None:
    ids = stored_sessions(sessions, 2)
    with pytest.raises(Stopped):
        sessions.index.rebuild(stop)
    assert sessions.ids() == ids
    again = sessions.reopened()
    assert again.index.is_unfinished
    assert again.tables.logs(2)
    assert again.rebuild()[-1].sessions == 2
    assert again.ids() == ids
    assert not again.reopened().index.is_unfinished


def test_a_start_goes_on_with_it_without_being_asked(sessions: SessionRig) -> None:
    stored_sessions(sessions, 2)
    with pytest.raises(Stopped):
        sessions.index.rebuild(stop)
    again = sessions.reopened()

    async def until_shown(_: Reindexing) -> AsyncIterator[ReindexProgress]:
        while (await asyncio.to_thread(again.index.follow))[0] == 1:
            pass
        yield ReindexProgress(0, 0)

    run_reindexing(again, until_shown)
    assert again.tables.generations() == (2, 0)


def test_an_index_that_has_fallen_behind_says_so_until_it_is_built(sessions: SessionRig) -> None:
    stored_sessions(sessions, 2)
    lose_the_index(sessions)
    again = sessions.reopened()
    later = new_id()
    again.log.emit(end_of(later, "alice"), by=PROXY)
    assert again.page().missing != ()
    with pytest.raises(Unavailable):
        again.page(access=access_of(ALICE))
    again.rebuild()
    assert (len(again.ids()), again.page().missing) == (3, ())


def test_no_section_leaves_the_tail_before_the_index_has_followed_it(
    sessions: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StateFault("", None, Exception("disk"))

    session_id = new_id()
    sessions.log.emit(end_of(session_id, "alice"), by=PROXY)
    sessions.log.cut()
    with monkeypatch.context() as failing:
        failing.setattr(sessions.tables, "add", fail)
        with pytest.raises(StateFault):
            sessions.log.deliver()
    assert sessions.log.log.tail.pending()
    sessions.log.deliver()
    assert not sessions.log.log.tail.pending()
    again = sessions.killed()
    assert (again.ids(), again.page().missing) == ([session_id], ())


def test_how_far_the_log_is_followed_is_kept_even_without_an_event_of_a_session(sessions: SessionRig) -> None:
    sessions.log.store(session_event("user.create", ""), by=NODE)
    assert sessions.killed().page().missing == ()


def test_foreign_events_are_listed_and_never_decide_a_condition(sessions: SessionRig) -> None:
    session_id = new_id()
    table = columns(["foreign"])
    texts = {"event_type": "session.end", "session_id": session_id, "event_data": end_of(session_id, "alice").decode()}
    table |= {name: pa.array([value]) for name, value in texts.items()}
    write(sessions.log.events_folder / utc_date(NOON) / "foreign.parquet", table)
    sessions.rebuild()
    assert sessions.ids() == [session_id]
    assert sessions.refusal(access_of(ALICE), session_id) != ""


def test_an_object_that_cant_be_read_is_named_and_the_rest_is_indexed(sessions: SessionRig) -> None:
    ids = stored_sessions(sessions, 2)
    damaged = sessions.log.objects()[0]
    damaged.chmod(0o600)
    damaged.write_bytes(b"damage" + damaged.read_bytes()[6:])
    sessions.rebuild()
    [missing] = sessions.page().missing
    assert damaged.name in missing
    [told] = sessions.page(access=access_of(ALICE)).missing  # of the rest its name would tell the date
    assert (told, damaged.parent.name in told) == ("some of the stored events couldn't be read", False)
    assert len(sessions.ids()) == 1
    assert set(sessions.ids()) < set(ids)


def test_dates_that_couldnt_be_looked_at_for_objects_of_others_are_named(
    sessions: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = Missing(MissingReason.OBJECT_UNREADABLE, "s3", "2026-11-18", "no answer came")
    monkeypatch.setattr(sessions.index._foreign, "refresh_all", lambda go_on: Looked(gaps=[gap]))
    assert sessions.rebuild()[-1].missing == sessions.page().missing == ("s3/2026-11-18 no answer came",)


def run_reindexing(
    rig: SessionRig, work: Callable[[Reindexing], AsyncIterator[ReindexProgress]]
) -> list[ReindexProgress]:
    """Run the background work, and what a caller does meanwhile; gives what the caller was told."""

    async def live() -> list[ReindexProgress]:
        with ThreadPoolExecutor(1) as thread:
            background = Reindexing(rig.index, thread)
            running = asyncio.create_task(background.run())
            try:
                async with asyncio.timeout(240):
                    return [progress async for progress in work(background)]
            finally:
                background.stop()
                await running

    return asyncio.run(live())


def test_reindexing_tells_how_far_it_is_and_ends_with_it(sessions: SessionRig) -> None:
    stored_sessions(sessions, 3)
    told = run_reindexing(sessions, lambda background: background.reindex())
    assert [progress.done for progress in told][-1]
    assert (told[-1].sessions, told[-1].batches, told[-1].missing) == (3, 3, ())
    assert sessions.index.follow() == (2, True)


def test_an_index_that_has_fallen_behind_is_built_without_being_asked(sessions: SessionRig) -> None:
    ids = stored_sessions(sessions, 2)
    lose_the_index(sessions)
    again = sessions.reopened()

    async def until_level(_: Reindexing) -> AsyncIterator[ReindexProgress]:
        while not await asyncio.to_thread(lambda: again.index.follow()[1]):
            pass
        yield ReindexProgress(0, 0)

    run_reindexing(again, until_level)
    assert (again.ids(), again.page().missing) == (ids, ())


def test_a_stop_ends_a_rebuild_where_it_is(sessions: SessionRig, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = stored_sessions(sessions, 2)
    rebuild = sessions.index.rebuild

    def stopped(tell: Callable[[ReindexProgress], None], go_on: Callable[[], object]) -> None:
        background.stop()
        rebuild(tell, go_on)

    async def live() -> None:
        async with asyncio.timeout(240):
            running = asyncio.create_task(background.run())
            with pytest.raises(Unavailable):
                await anext(background.reindex())
            await running

    with ThreadPoolExecutor(1) as thread:
        background = Reindexing(sessions.index, thread)
        monkeypatch.setattr(sessions.index, "rebuild", stopped)
        asyncio.run(live())
    assert sessions.tables.generations() == (1, 2)
    assert sessions.ids() == ids


def test_a_rebuild_that_fails_is_told_to_who_waits_for_it(
    sessions: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StateFault("", None, Exception("disk"))

    monkeypatch.setattr(sessions.tables, "begin_building", fail)
    with pytest.raises(Unavailable):
        run_reindexing(sessions, lambda background: background.reindex())


def test_an_event_that_the_index_cant_take_hides_no_other(
    sessions: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim_of = following.claim_of

    def sometimes(event: SessionEvent) -> Claim:
        if b"poison" in event.data:
            raise ValueError("a fault")
        return claim_of(event)

    monkeypatch.setattr(following, "claim_of", sometimes)
    ids = [new_id(), new_id()]
    sessions.log.store(end_of(ids[0], "alice"), end_of(new_id(), "poison"), end_of(ids[1], "alice"), by=PROXY)
    assert sorted(sessions.ids()) == sorted(ids)


def test_what_a_damaged_journal_lost_is_named_and_all_around_it_is_indexed(sessions: SessionRig) -> None:
    ids = [new_id() for _ in range(4)]
    for number, session_id in enumerate(ids):
        sessions.log.emit(end_of(session_id, "alice", time_ms=NOON + number), by=PROXY)
    sessions.threads.shutdown()
    sessions.log.close()
    [segment] = [path for path in (sessions.log.folder / "journal").glob("*/*") if path.stat().st_size]
    content = segment.read_bytes()
    at = content.index(ids[1].encode())
    segment.write_bytes(content[:at] + b"XXXX" + content[at + 4 :])
    again = SessionRig(SearchRig(sessions.log.folder, sessions.log.engine))
    later = new_id()
    again.log.store(end_of(later, "alice", time_ms=NOON + 10), by=PROXY)
    assert again.ids() == [later, ids[3], ids[2], ids[0]]
    [missing] = again.page().missing
    assert "events 2 to 2" in missing
    again.rebuild()
    assert again.ids() == [later, ids[3], ids[2], ids[0]]
    assert again.page().missing == (missing,)
    again.close()

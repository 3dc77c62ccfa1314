"""The session index shows what all committed events say, whatever their order, deliveries, stops and rebuilds."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from rbac.identities import Identity
from server.state.database import StateFault
from server.state.session_pages import SessionFilters
from server.state.sessions import Told
from server.storage.scan.engine import DuckScanEngine
from tests.contract.search_rig import SearchRig
from tests.contract.session_histories import Emitted, Expected, expected, history
from tests.contract.session_rig import MALLORY, NODE, OTHER_NODE, SessionRig, end_of, new_id, session_event

NO_FILTERS = SessionFilters()


def shown(rig: SessionRig) -> dict[str, Expected]:
    """What the index shows, by session id."""
    rows = rig.found()
    begun = {row.session_id: row for row in rig.pages.rows(rig.index.follow()[0], NO_FILTERS, None, 100_000)}
    return {
        row.session_id: Expected(
            row.session_id,
            row.kind,
            row.user,
            row.participants,
            row.server_id,
            row.target,
            row.started_ms,
            row.ended_ms,
            begun[row.session_id].begun_ms,
        )
        for row in rows
    }


def died_in_delivery(rig: SessionRig, *, kept: bool) -> SessionRig:
    """The next life after one that ended while the index was written: just before, or just after."""
    add = rig.tables.add

    def last_add(generation: int, told: Told, logs: Mapping[str, int], gaps: Mapping[str, str] | None = None) -> None:
        if kept:
            add(generation, told, logs, gaps)
        raise StateFault("", None, Exception("the end"))

    rig.log.cut()
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(rig.tables, "add", last_add)
        with contextlib.suppress(StateFault):  # there may be nothing to deliver
            rig.log.deliver()
    return rig.killed()


def died_in_rebuild(rig: SessionRig, *, told: int) -> SessionRig:
    """The next life after one that ended while an index was built, after so much of it was told."""
    progress = iter(range(told))
    with contextlib.suppress(StopIteration):  # it may have been whole before
        rig.index.rebuild(lambda _: next(progress))
    return rig.killed()


@pytest.mark.parametrize("seed", range(20))
def test_the_index_shows_what_all_committed_events_say_whatever_comes_between(
    tmp_path: Path, scan_engine: DuckScanEngine, seed: int
) -> None:
    randomness = random.Random(seed)
    rig = SessionRig(SearchRig(tmp_path / "data", scan_engine))
    events = history(randomness, 12)
    committed: list[Emitted] = []
    uploaders: dict[str, Identity] = {}
    while events:
        for _ in range(randomness.randrange(1, 6)):
            if events:
                committed.append(events.pop())
                rig.log.emit(committed[-1].data, by=committed[-1].by)
        match randomness.randrange(9):
            case 0:
                assert shown(rig) == expected(committed, uploaders)
            case 1:
                rig.log.cut()
            case 2:
                rig.log.cut()
                rig.log.deliver(1)
            case 3:
                rig = rig.reopened()
            case 4:
                rig = rig.killed()
            case 5:
                rig.rebuild()
            case 6:
                rig = died_in_delivery(rig, kept=randomness.random() < 0.5)
            case 7:
                rig = died_in_rebuild(rig, told=randomness.randrange(3))
            case 8:
                session_id = randomness.choice(sorted({event.members["sid"] for event in committed}))
                if session_id not in uploaders and session_id in expected(committed):
                    uploaders[session_id] = randomness.choice([NODE, OTHER_NODE, MALLORY])
                    rig.record(session_id, uploaders[session_id])
    assert shown(rig) == expected(committed, uploaders)
    assert rig.page().missing == ()
    rig.rebuild()
    assert shown(rig) == expected(committed, uploaders)
    rig.close()


def test_an_event_that_was_just_acknowledged_is_in_the_next_list(sessions: SessionRig) -> None:
    for number in range(3):
        session_id = new_id()
        sessions.log.emit(session_event("session.start", session_id, time_ms=10**12 + number, user="alice"), by=NODE)
        assert sessions.ids()[0] == session_id


def test_a_lost_database_is_known_and_mended(sessions: SessionRig) -> None:
    ids = [new_id() for _ in range(3)]
    for session_id in ids:
        sessions.log.store(end_of(session_id, "alice"), by=NODE)
    sessions.log.emit(end_of(last := new_id(), "alice"), by=NODE)
    folder = sessions.log.folder
    sessions.close()
    for path in folder.glob("state.db*"):
        path.unlink()
    again = SessionRig(SearchRig(folder, sessions.log.engine))
    assert again.page().missing == ("events of stored batches are yet to be read; the index is being built",)
    told = again.rebuild()
    assert told[-1].done
    assert (told[-1].sessions, told[-1].missing) == (4, ())
    assert sorted(again.ids()) == sorted([*ids, last])
    assert again.page().missing == ()
    again.threads.shutdown()
    again.log.database.dispose()
    again.log.log.uid_files.close()

"""Locks in the state database: durable, told of in the same transaction, and cheap to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.service_events import LOCK_CREATED, LOCK_DELETED
from server.state.database import open_database
from server.state.locks import Creator, Lock, LockTarget, SqlLocks, TooManyLocks
from server.state.outbox import Outbox

CREATOR = Creator("user", "root", "anchor", "0a1b", "")
TOLD: dict[str, object] = {"event": LOCK_CREATED}


def lock(number: int, *, ends: int | None = None, created: int = 1_000) -> Lock:
    return Lock(f"id-{number}", LockTarget.USER, f"user-{number}", "why", CREATOR, created, ends)


def test_a_lock_is_read_back_whole_by_another_process(tmp_path: Path) -> None:
    here, there = open_database(tmp_path / "state.db"), open_database(tmp_path / "state.db")
    added = [Lock(f"id-{target.value}", target, "näme", "wh\ny", CREATOR, 5, 9) for target in LockTarget]
    for each in added:
        SqlLocks(here).add(each, TOLD)
    found = SqlLocks(there).read(-1)
    assert found
    assert found[1] == sorted(added, key=lambda each: each.id)
    here.dispose(), there.dispose()


def test_the_locks_are_read_only_when_they_have_changed(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    locks = SqlLocks(engine)
    assert locks.read(-1) == (0, [])
    assert locks.read(0) is None
    locks.add(lock(1), TOLD)
    assert locks.read(0) == (1, [lock(1)])
    assert locks.remove("id-1", 2_000, {"event": LOCK_DELETED})
    assert locks.read(1) == (2, [])
    assert locks.read(2) is None
    engine.dispose()


def test_every_change_is_told_of_and_nothing_else_is(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    locks, outbox = SqlLocks(engine, limit=1), Outbox(engine)
    locks.add(lock(1), TOLD)
    with pytest.raises(TooManyLocks):
        locks.add(lock(2), TOLD)
    assert not locks.remove("other", 2_000, {"event": LOCK_DELETED})
    assert len(outbox) == 1
    assert locks.remove("id-1", 2_000, {"event": LOCK_DELETED})
    assert not locks.remove("id-1", 2_000, {"event": LOCK_DELETED})
    assert len(outbox) == 2
    engine.dispose()


def test_a_change_that_can_not_be_told_of_is_not_made(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    locks = SqlLocks(engine)
    with pytest.raises(KeyError):
        locks.add(lock(1), {"event": "no such type"})
    assert locks.read(-1) == (0, [])
    locks.add(lock(1), TOLD)
    with pytest.raises(KeyError):
        locks.remove("id-1", 2_000, {"event": "no such type"})
    assert locks.read(-1) == (1, [lock(1)])
    engine.dispose()


def test_a_lock_that_has_ended_makes_room_and_can_not_be_deleted(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    locks = SqlLocks(engine, limit=1)
    locks.add(lock(1, ends=2_000), TOLD)
    assert not locks.remove("id-1", 2_000, {"event": LOCK_DELETED})
    locks.add(lock(2, created=2_000), TOLD)
    assert locks.read(-1) == (2, [lock(2, created=2_000)])
    engine.dispose()

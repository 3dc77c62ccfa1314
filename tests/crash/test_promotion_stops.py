"""A stop at any moment of a promotion or a disabling leaves all of it or nothing, and the next start does the rest."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from server.external_storage.promotions import PromotionRequest
from server.external_storage.storage import Stage
from server.state.database import database_path, open_database
from tests.storages_under_test import REQUEST, Storages, access, request_of, storages

Change = Callable[[Storages], Coroutine[Any, Any, object]]


@dataclass(frozen=True)
class Left:
    """What a stop left: the glue tables of draft and storage in force, kinds of the history, and of the events."""

    draft: str
    cluster: str
    history: tuple[str, ...]
    events: tuple[str, ...]


def left(where: Storages) -> Left:
    """Read it; the database must be whole."""
    with where.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    draft, cluster = (asyncio.run(where.drafts.find(stage)) for stage in (Stage.DRAFT, Stage.CLUSTER))
    rows = asyncio.run(where.promotions.history(None, 100))
    return Left(
        draft.spec.glue_table if draft else "",
        cluster.spec.glue_table if cluster else "",
        tuple(row.kind.value for row in rows),
        tuple(each["event"] for each in where.events()),
    )


def drafted(made: Storages, table: str) -> str:
    """Have a draft, tested; gives its revision."""
    revision = asyncio.run(made.drafts.create(access(), request_of(glue_table=table))).revision
    made.add_test(revision)
    return revision


def promotion(made: Storages) -> Change:
    revision = drafted(made, "new")
    return lambda where: where.promotions.promote(access(), PromotionRequest(revision))


def replacement(made: Storages) -> Change:
    asyncio.run(promotion(made)(made))
    revision = drafted(made, "newer")
    return lambda where: where.promotions.promote(access(), PromotionRequest(revision))


def disabling(made: Storages) -> Change:
    asyncio.run(promotion(made)(made))
    drafted(made, "newer")
    return lambda where: where.promotions.disable(access(), "", "over")


CHANGES: dict[str, Callable[[Storages], Change]] = {
    "promotion": promotion,
    "replacement": replacement,
    "disabling": disabling,
}


@contextmanager
def kept_before_each_statement(made: Storages, copies: Path) -> Iterator[list[Path]]:
    """Copy the database's files, which is what a kill leaves, before every statement and commit."""
    path, kept = Path(str(made.engine.url.database)), list[Path]()

    def keep(*_: object) -> None:
        copy = copies / str(len(kept))
        copy.mkdir(parents=True)
        for file in path.parent.glob("state.db*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, copy / file.name)
        kept.append(copy)

    for name in "before_cursor_execute", "commit":
        event.listen(made.engine, name, keep)
    try:
        yield kept
    finally:
        for name in "before_cursor_execute", "commit":
            event.remove(made.engine, name, keep)


@pytest.mark.parametrize("name", CHANGES)
def test_a_stop_before_any_statement_leaves_everything_or_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "made").mkdir()
    with storages(tmp_path / "made") as made:
        change = CHANGES[name](made)
        before, gone_before = left(made), len(made.switch.went)
        with kept_before_each_statement(made, tmp_path / "copies") as kept:
            asyncio.run(change(made))
        after = left(made)
        assert len(made.switch.went) == gone_before + 1
        # Reads, changes, the history, the event and the commit, each with a stop before it.
        assert len(kept) > 8
        assert before != after
        for copy in kept:
            engine = open_database(copy / "state.db")
            assert left(Storages(engine)) == before
            engine.dispose()


@pytest.mark.parametrize("name", CHANGES)
def test_a_stop_between_the_commit_and_the_switch_leaves_the_change_made(tmp_path: Path, name: str) -> None:
    with storages(tmp_path) as made:
        change = CHANGES[name](made)
        seen: list[Left] = []

        async def look(_storage_id: str) -> None:
            engine = open_database(Path(str(made.engine.url.database)))
            seen.append(await asyncio.to_thread(left, Storages(engine)))
            engine.dispose()

        made.switch.to = look  # type: ignore[method-assign]
        asyncio.run(change(made))
        assert seen == [left(made)]


def _killed_in_the_switch(path: Path, revision: str, pipe: Connection) -> None:
    where = Storages(open_database(path))

    async def die(storage_id: str) -> None:
        pipe.send(storage_id)
        os.kill(os.getpid(), signal.SIGKILL)

    where.switch.to = die  # type: ignore[method-assign]
    asyncio.run(where.promotions.promote(access(), PromotionRequest(revision)))


def test_a_process_that_is_killed_in_the_switch_has_promoted(tmp_path: Path) -> None:
    with storages(tmp_path) as made:
        revision = drafted(made, "new")
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe()
        process = context.Process(target=_killed_in_the_switch, args=(database_path(tmp_path), revision, theirs))
        process.start()
        storage_id = ours.recv()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        told = ("extaudit.draft.create", *("external_audit_storage.enable",) * 2)
        assert left(made) == Left("", "new", ("promote",), told)
        cluster = asyncio.run(made.drafts.get(Stage.CLUSTER))
        assert (cluster.storage_id, cluster.spec.region) == (storage_id, REQUEST.spec.region)

"""Changes of drafts and integrations at the same time, by threads and by processes on one state database."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from server.errors import AuditStoreError
from server.external_storage.promotions import PromotionRequest
from server.external_storage.storage import Stage
from server.integrations.integrations import Integrations
from server.state.database import open_database
from server.state.integrations import SqlIntegrations
from tests.storages_under_test import REQUEST, Storages, access, request_of, storages

Work = Callable[[Storages, int], Any]
ROUNDS = 5
AT_ONCE = 4


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Storages]:
    with storages(tmp_path) as found:
        yield found


def outcome(work: Callable[[], Any]) -> str:
    """What became of it: `done`, or the reason of its error."""
    try:
        asyncio.run(work())
    except AuditStoreError as error:
        return error.reason
    return "done"


def create(made: Storages, number: int) -> Any:
    return made.drafts.create(access(f"user-{number}"), request_of(glue_table=f"t{number}"))


def delete_integration(made: Storages, _number: int) -> Any:
    return Integrations(SqlIntegrations(made.engine), frozenset, lambda: made.now_ms).delete(access(), "production", "")


def in_threads(made: Storages, *works: Work) -> list[str]:
    """Do all of it at once, each on a thread."""
    barrier, found = threading.Barrier(len(works)), [""] * len(works)

    def run(number: int) -> None:
        barrier.wait()
        found[number] = outcome(lambda: works[number](made, number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _in_process(path: Path, start: Any, pipe: Connection, work: Work, number: int) -> None:
    engine = open_database(path)
    start.wait()
    pipe.send(outcome(lambda: work(Storages(engine), number)))
    engine.dispose()


def in_processes(made: Storages, *works: Work) -> list[str]:
    """Do all of it at once, each in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    start, ends = context.Barrier(len(works)), []
    path = Path(str(made.engine.url.database))
    for number, work in enumerate(works):
        ours, theirs = context.Pipe()
        process = context.Process(target=_in_process, args=(path, start, theirs, work, number))
        process.start()
        ends.append((ours, process))
    found = [str(ours.recv()) for ours, _ in ends]
    for _, process in ends:
        process.join()
    return found


def draft_of(made: Storages) -> Any:
    return asyncio.run(made.drafts.find(Stage.DRAFT))


def test_of_several_drafts_one_is_made_and_told(made: Storages) -> None:
    for _ in range(ROUNDS):
        before = len(made.events())
        found = in_threads(made, *[create] * AT_ONCE)
        assert sorted(found) == ["ALREADY_EXISTS"] * (AT_ONCE - 1) + ["done"]
        winner = found.index("done")
        draft = draft_of(made)
        assert (draft.spec.glue_table, f'"user-{winner}"' in draft.drafter) == (f"t{winner}", True)
        (event,) = made.events()[before:]
        assert event["user"] == f"user-{winner}"
        asyncio.run(made.drafts.delete(access(), ""))


def test_of_several_changes_from_one_revision_one_is_made(made: Storages) -> None:
    revision = asyncio.run(made.drafts.create(access(), REQUEST)).revision

    def change(where: Storages, number: int) -> Any:
        return where.drafts.upsert(access(), request_of(glue_table=f"c{number}"), revision)

    found = in_threads(made, *[change] * AT_ONCE)
    assert sorted(found) == ["STALE_REVISION"] * (AT_ONCE - 1) + ["done"]
    assert draft_of(made).spec.glue_table == f"c{found.index('done')}"


def test_a_draft_is_promoted_or_changed_and_never_both(made: Storages) -> None:
    for number in range(ROUNDS):
        draft = asyncio.run(made.drafts.create(access(), request_of(glue_table=f"p{number}")))
        force = PromotionRequest(draft.revision, True, "now")

        def promote(where: Storages, _number: int, force: PromotionRequest = force) -> Any:
            return where.promotions.promote(access(), force)

        def change(where: Storages, _number: int, revision: str = draft.revision) -> Any:
            return where.drafts.upsert(access(), request_of(glue_table="changed"), revision)

        assert sorted(in_threads(made, promote, change, promote)) in (
            ["NO_EXTERNAL_STORAGE", "STALE_REVISION", "done"],
            ["STALE_REVISION", "STALE_REVISION", "done"],
        )
        left, cluster = draft_of(made), asyncio.run(made.drafts.find(Stage.CLUSTER))
        assert (left is None) == (cluster is not None and cluster.spec.glue_table == f"p{number}")
        if left is not None:
            asyncio.run(made.drafts.delete(access(), ""))


def test_an_integration_is_deleted_or_drafted_with_and_never_both(made: Storages) -> None:
    for _ in range(ROUNDS):
        found = in_threads(made, create, delete_integration)
        assert found in (["done", "INTEGRATION_IN_USE"], ["NOT_FOUND", "done"])
        if found[0] == "done":
            asyncio.run(made.drafts.delete(access(), ""))
        else:
            made.add_integration()


def test_processes_on_one_database_exclude_each_other_too(made: Storages) -> None:
    found = in_processes(made, create, create, delete_integration)
    drafted = found[:2].count("done")
    if drafted:
        assert sorted(found) == ["ALREADY_EXISTS", "INTEGRATION_IN_USE", "done"]
    else:
        assert found == ["NOT_FOUND", "NOT_FOUND", "done"]
    assert (draft_of(made) is not None) is bool(drafted)


def test_what_fails_in_the_middle_of_a_change_undoes_all_of_it(made: Storages) -> None:
    draft = asyncio.run(made.drafts.create(access(), REQUEST))
    with sqlite3.connect(str(made.engine.url.database)) as connection:
        connection.execute("DROP TABLE outbox")
    request = PromotionRequest(draft.revision, True, "now")
    assert outcome(lambda: made.promotions.promote(access(), request)) == "STATE_UNAVAILABLE"
    assert outcome(lambda: made.drafts.upsert(access(), request_of(region="eu-west-1"), draft.revision)) == (
        "STATE_UNAVAILABLE"
    )
    assert outcome(lambda: made.drafts.delete(access(), "")) == "STATE_UNAVAILABLE"
    assert draft_of(made) == replace(draft, last_test=None)
    assert asyncio.run(made.promotions.history(None, 10)) == []
    assert made.switch.went == []

"""Integrations in the state: what uses them, and changes that are one transaction with all that tells of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Table, insert, select

from server.service_events import INTEGRATION_CREATED, INTEGRATION_DELETED, INTEGRATION_UPDATED
from server.state.database import open_database
from server.state.external_storage_tables import connection_tests, external_storages, promotions
from server.state.external_storages import ConnectionTestRow
from server.state.integrations import Event, Found, IntegrationRow, RoleChange, SqlIntegrations
from server.state.outbox import Outbox
from server.state.tables import uploads

NOW = 10_000
ROLE = "arn:aws:iam::111122223333:role/audit"
OTHER = "arn:aws:iam::111122223333:role/other"
ROW = IntegrationRow("ours", ROLE, "r-1", 1_000, 1_000, "{}")
CREATED: Event = {"event": INTEGRATION_CREATED}
TEST = ConnectionTestRow("t-1", "cluster", "s-1", "ours", "r-1", OTHER, True, 5_000, "{}")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "state.db")
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> SqlIntegrations:
    store = SqlIntegrations(engine)
    assert store.add(ROW, CREATED)
    return store


def put(engine: Engine, table: Table, **values: Any) -> None:
    """Add a row; columns that a test has no view on get a value of their type."""
    fill: dict[str, Any] = {
        column.name: "" if column.type.python_type is str else 0
        for column in table.c
        if not column.nullable and column.autoincrement is not True
    }
    with engine.begin() as connection:
        connection.execute(insert(table).values(fill | values))


def in_force(engine: Engine, integration: str = "ours", storage_id: str = "aws-1", revision: str = "s-1") -> None:
    put(engine, external_storages, stage="cluster", spec="{spec}", options="{options}", revision=revision,
        storage_id=storage_id, account_id="111122223333", integration=integration, drafter="{d}",
        drafted_ms=7, promoter="{p}", promoted_ms=8)  # fmt: skip


def promoted(engine: Engine, integration: str, storage_id: str) -> None:
    put(engine, promotions, kind="promote", integration=integration, storage_id=storage_id, promoted_ms=9)


def uploading(engine: Engine, storage: str, state: str) -> None:
    put(engine, uploads, key=f"{storage}-{state}", storage=storage, state=state)


def found_by(store: SqlIntegrations, name: str = "ours", role: str = OTHER) -> Found | None:
    seen: list[Found | None] = []
    store.change(name, role, NOW, seen.append)  # type: ignore[arg-type]  # gives None: no change
    return seen[0]


def to_other(found: Found | None, **fields: Any) -> RoleChange:
    return RoleChange(OTHER, "r-2", 2_000, "{who}", {"event": INTEGRATION_UPDATED}, **fields)


def test_it_is_read_back_whole_and_a_name_is_given_once(store: SqlIntegrations, engine: Engine) -> None:
    assert store.get("ours") == ROW
    assert not store.add(ROW._replace(role_arn=OTHER), CREATED)
    assert store.get("ours") == ROW
    assert store.get("OURS") is None
    assert len(Outbox(engine)) == 1


def test_pages_are_in_the_order_of_names(store: SqlIntegrations) -> None:
    for name in ("a", "B", "z", "_"):
        store.add(ROW._replace(name=name), CREATED)
    names = [row.name for row in store.page("", 10)[0]]
    assert names == sorted(names) == ["B", "_", "a", "ours", "z"]
    assert ([row.name for row in store.page("_", 2)[0]], store.page("_", 2)[1]) == (["a", "ours"], 5)


def test_nothing_uses_it_at_first(store: SqlIntegrations) -> None:
    assert found_by(store) == Found(ROW, False, None, frozenset(), frozenset())
    assert found_by(store, "nobody") is None


def test_draft_and_storage_in_force_are_seen_where_they_name_it(store: SqlIntegrations, engine: Engine) -> None:
    put(engine, external_storages, stage="draft", integration="ours")
    in_force(engine, "another")
    found = found_by(store)
    assert found is not None
    assert (found.draft, found.cluster) == (True, None)


def test_former_storages_are_those_that_were_last_reached_by_it(store: SqlIntegrations, engine: Engine) -> None:
    for integration, storage_id in (("ours", "aws-1"), ("ours", "aws-2"), ("another", "aws-2"), ("another", "aws-3")):
        promoted(engine, integration, storage_id)
    put(engine, promotions, kind="disable", integration="ours", storage_id="default", promoted_ms=9)
    uploading(engine, "aws-1", "open")
    uploading(engine, "aws-2", "open")
    uploading(engine, "default", "open")
    found = found_by(store)
    assert found is not None
    assert (found.storages, found.uploading) == ({"aws-1"}, {"aws-1"})


def test_an_upload_that_has_ended_needs_nothing(store: SqlIntegrations, engine: Engine) -> None:
    promoted(engine, "ours", "aws-1")
    for state in ("recording", "aside", "aborted", "repeated"):
        uploading(engine, "aws-1", state)
    found = found_by(store)
    assert found is not None
    assert not found.uploading


def test_the_last_test_of_exactly_these_revisions_and_this_role_counts(store: SqlIntegrations, engine: Engine) -> None:
    in_force(engine)
    others = [
        replace(TEST, id="t-2", storage_revision="s-2", tested_ms=9_000),
        replace(TEST, id="t-3", integration_revision="r-2", tested_ms=9_000),
        replace(TEST, id="t-4", role_arn=ROLE, tested_ms=9_000),
        replace(TEST, id="t-5", tested_ms=NOW + 1),
        replace(TEST, id="t-6", tested_ms=4_000, passed=False),
    ]
    for test in (*others, TEST):
        put(engine, connection_tests, **asdict(test))
    found = found_by(store)
    assert found is not None
    assert found.cluster is not None
    assert found.cluster.test == TEST
    put(engine, connection_tests, **asdict(replace(TEST, id="t-7", tested_ms=6_000, passed=False)))
    found = found_by(store)
    assert found is not None
    assert found.cluster is not None
    assert found.cluster.test is not None
    assert not found.cluster.test.passed


def test_a_change_that_the_storage_in_force_feels_is_in_the_history(store: SqlIntegrations, engine: Engine) -> None:
    in_force(engine)
    changed = store.change("ours", OTHER, NOW, lambda found: to_other(found, test="{test}", forced=True, reason="why"))
    assert changed == IntegrationRow("ours", OTHER, "r-2", 1_000, 2_000, "{}") == store.get("ours")
    with engine.connect() as connection:
        [row] = connection.execute(select(promotions)).mappings()
    assert (row["kind"], row["promoted_ms"], row["promoter"], row["role_arn"]) == ("role_change", 2_000, "{who}", OTHER)
    assert (row["forced"], row["reason"]) == (True, "why")
    same = ("storage_id", "spec", "options", "account_id", "integration", "drafter", "drafted_ms")
    assert [row[name] for name in same] == ["aws-1", "{spec}", "{options}", "111122223333", "ours", "{d}", 7]
    assert row["test"] == "{test}"


def test_a_change_that_no_storage_in_force_feels_is_not(store: SqlIntegrations, engine: Engine) -> None:
    in_force(engine, "another")
    store.change("ours", OTHER, NOW, to_other)
    with engine.connect() as connection:
        assert not connection.execute(select(promotions)).all()
    assert len(Outbox(engine)) == 2


def refuse(_found: Found | None) -> Any:
    raise LookupError


def untellable(_found: Found | None) -> RoleChange:
    return RoleChange(OTHER, "r-2", 2_000, "{who}", {"event": "no such type"})


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        (lambda store: store.change("ours", OTHER, NOW, refuse), LookupError),
        (lambda store: store.remove("ours", refuse), LookupError),
        (lambda store: store.change("ours", OTHER, NOW, untellable), KeyError),
        (lambda store: store.remove("ours", lambda _: {"event": "no such type"}), KeyError),
        (lambda store: store.add(ROW._replace(name="new"), {"event": "no such type"}), KeyError),
    ],
)
def test_what_is_refused_or_can_not_be_told_of_is_not_done(
    store: SqlIntegrations, engine: Engine, change: Callable[[SqlIntegrations], object], failure: type[Exception]
) -> None:
    in_force(engine)
    with pytest.raises(failure):
        change(store)
    assert store.page("", 9) == ([ROW], 1)
    assert len(Outbox(engine)) == 1
    with engine.connect() as connection:
        assert not connection.execute(select(promotions)).all()


def test_what_is_removed_is_told_of_and_gone(store: SqlIntegrations, engine: Engine) -> None:
    store.remove("ours", lambda found: {"event": INTEGRATION_DELETED, "name": found.row.name if found else ""})
    assert store.get("ours") is None
    assert json.loads(Outbox(engine).first(9)[1].data)["name"] == "ours"


def test_of_two_changes_at_once_the_second_sees_what_the_first_did(store: SqlIntegrations) -> None:
    inside, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def slow(found: Found | None) -> RoleChange:
        inside.set()
        assert go_on.wait(60)
        return to_other(found)

    def second(found: Found | None) -> None:
        assert found is not None
        seen.append(found.row.revision)

    first = threading.Thread(target=lambda: store.change("ours", OTHER, NOW, slow))
    first.start()
    assert inside.wait(60)
    other = threading.Thread(target=lambda: store.change("ours", OTHER, NOW, second))
    other.start()
    go_on.set()
    first.join(60), other.join(60)
    assert seen == ["r-2"]

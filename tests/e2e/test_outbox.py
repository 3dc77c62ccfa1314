"""A change and its event are one: through the outbox into the journal, also of another process, also after a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from extaudit_client import Client, Query
from extaudit_client.files import find_connection

from server.service_events import LOCK_CREATED
from server.state.database import database_path, open_database
from server.state.outbox import Outbox
from tests.polling import until
from tests.running_app import running_app


def stored(data_dir: Path) -> list[dict[str, Any]]:
    with Client(find_connection({}, data_dir)) as client:
        pages = list(client.search_pages(Query(types=(LOCK_CREATED,))))
    rows = [row for page in pages for row in page.rows]
    assert all(receipt.emitter and receipt.emitter.kind == "service" for row in rows for receipt in row.receipts)
    return [json.loads(row.json) for row in rows]


def record(data_dir: Path, **members: object) -> None:
    engine = open_database(database_path(data_dir))
    Outbox(engine).record({"event": LOCK_CREATED, **members})
    engine.dispose()


def test_what_another_process_adds_is_found_within_a_second(tmp_path: Path) -> None:
    with running_app(tmp_path):
        record(tmp_path, number=1)
        until(lambda: [event["number"] for event in stored(tmp_path)] == [1])


def test_what_was_left_is_drained_before_the_ports_open_and_what_was_drained_before_a_crash_adds_none(
    tmp_path: Path,
) -> None:
    with running_app(tmp_path):
        pass
    record(tmp_path, number=1)
    engine = open_database(database_path(tmp_path))
    (left,) = Outbox(engine).first(10)
    with running_app(tmp_path):
        assert len(stored(tmp_path)) == 1
    with engine.begin() as connection:
        # As a crash between the acknowledgement and the deletion leaves it.
        connection.exec_driver_sql("INSERT INTO outbox (event) VALUES (?)", (left.data.decode(),))
    with running_app(tmp_path):
        assert len(stored(tmp_path)) == 1
        assert Outbox(engine).first(10) == []
    engine.dispose()


def test_that_it_cannot_be_drained_is_told_by_health(tmp_path: Path) -> None:
    with running_app(tmp_path) as app:

        def told() -> list[str]:
            app.self_audit.outbox._failing_since = 0.0  # which its next look, that goes well, takes back
            return [problem.name for problem in app.status.problems()]

        until(lambda: told() == ["outbox_waiting"])

"""The outbox: an event is there exactly if the change is, in order, with what every event of the service has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from server.service_events import CODES, LOCK_CREATED, LOCK_DELETED
from server.state.database import StateFault, open_database, writing
from server.state.outbox import Outbox, add


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "state.db")
    yield engine
    engine.dispose()


def test_an_event_is_there_exactly_if_its_transaction_is_committed(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), writing(engine).begin() as connection:
        add(connection, {"event": LOCK_CREATED, "lock": 1})
        raise ZeroDivisionError
    assert Outbox(engine).first(10) == []
    with writing(engine).begin() as connection:
        add(connection, {"event": LOCK_CREATED, "lock": 2})
    (item,) = Outbox(engine).first(10)
    assert json.loads(item.data)["lock"] == 2


def test_an_event_gets_code_time_and_uid_of_its_own(engine: Engine) -> None:
    outbox = Outbox(engine)
    for _ in range(2):
        outbox.record({"event": LOCK_CREATED})
    first, second = (json.loads(item.data) for item in outbox.first(10))
    assert list(first) == ["event", "code", "time", "uid"]
    assert first["code"] == CODES[LOCK_CREATED]
    assert first["time"].endswith("Z")
    assert first["uid"] != second["uid"]


def test_an_unknown_type_is_refused_so_that_every_type_has_a_code_and_a_place_in_the_docs(engine: Engine) -> None:
    with pytest.raises(KeyError):
        Outbox(engine).record({"event": "extaudit.unheard.of"})


def test_an_error_of_the_database_does_not_tell_what_was_to_be_written(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE outbox RENAME TO away")
    with pytest.raises(StateFault) as failed:
        Outbox(engine).record({"event": LOCK_CREATED, "secret": "canary"})
    assert "canary" not in str(failed.value)
    assert "canary" not in repr(failed.value)


def test_order_is_kept_and_a_number_is_never_given_twice(engine: Engine) -> None:
    outbox = Outbox(engine)
    for number in range(5):
        outbox.record({"event": LOCK_DELETED, "number": number})
    waiting = outbox.first(3)
    assert [json.loads(item.data)["number"] for item in waiting] == [0, 1, 2]
    outbox.remove([item.number for item in waiting])
    assert len(outbox) == 2
    outbox.remove([item.number for item in outbox.first(3)])
    outbox.remove([])
    outbox.record({"event": LOCK_DELETED})
    assert outbox.first(1)[0].number == 6

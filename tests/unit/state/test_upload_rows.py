"""Uploads in the state database: an upload ends once, and a session has one recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from server.service_events import SESSION_UPLOADED
from server.state.database import StateFault, open_database
from server.state.outbox import Outbox
from server.state.uploads import RECORDING, Ending, OpenLimits, RecordingRow, SqlUploads, TooManyUploads, UploadRow

LIMITS = OpenLimits(2, 3)
EVENT = {"event": SESSION_UPLOADED}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "state.db")
    yield engine
    engine.dispose()


def upload(key: str, owner: str = "o") -> UploadRow:
    return UploadRow(key, key * 2, "session", "default", "", "open", "{}", owner, 0, 1, None, 1)


def recording(key: str) -> RecordingRow:
    return RecordingRow(
        key, key * 2, "session", RECORDING, "default", "", 5, 1, "c", "s", "{}", 1, None, 9, False, False
    )


def test_an_upload_ends_once_and_is_told_once(engine: Engine) -> None:
    store = SqlUploads(engine)
    store.add(upload("k"), LIMITS)
    ended = store.end("k", Ending("completed", 9, 5), recording("k"), [EVENT])
    assert ended is not None
    assert (ended.state, ended.ended_ms, ended.bytes) == ("completed", 9, 5)
    assert store.end("k", Ending("aborted", 10, 6), None, [EVENT]) == ended
    assert len(Outbox(engine)) == 1
    assert store.recording("session") == recording("k")


def test_an_end_that_can_not_be_kept_changes_nothing(engine: Engine) -> None:
    """The session has another recording; the storage, which settles that, must not be contradicted in part."""
    store = SqlUploads(engine)
    for key in ("k", "l"):
        store.add(upload(key), LIMITS)
    store.end("k", Ending("completed", 9, 5), recording("k"), [])
    with pytest.raises(StateFault):
        store.end("l", Ending("completed", 9, 5), recording("l"), [EVENT])
    found = store.get("l")
    assert found is not None
    assert (found.state, len(Outbox(engine))) == ("open", 0)


def test_what_has_ended_is_not_touched(engine: Engine) -> None:
    store = SqlUploads(engine)
    store.add(upload("k"), LIMITS)
    store.touched("k", 3, 7, resumed=True)
    assert store.get("k") == replace(upload("k"), bytes=3, touched_ms=7, resumed_ms=7)
    ended = store.end("k", Ending("aborted", 9, 5), None, [])
    store.touched("k", 4, 10, resumed=True)
    assert store.get("k") == ended


def test_only_open_uploads_count_against_the_limits(engine: Engine) -> None:
    store = SqlUploads(engine)
    for key in ("k", "l"):
        store.add(upload(key), LIMITS)
    for add in (store.add, lambda row, limits: store.check_room(row.owner_key, limits)):
        with pytest.raises(TooManyUploads):
            add(upload("m"), LIMITS)
    store.add(upload("n", "another"), LIMITS)
    with pytest.raises(TooManyUploads):
        store.add(upload("m", "third"), LIMITS)
    store.end("k", Ending("aborted", 9, 0), None, [])
    store.add(upload("m"), LIMITS)
    assert (store.count_open(), [row.key for row in store.open()]) == (3, ["l", "m", "n"])


def test_untouched_uploads_are_those_that_are_open_and_old(engine: Engine) -> None:
    store = SqlUploads(engine)
    for key in ("k", "l"):
        store.add(upload(key), LIMITS)
    store.touched("l", 0, 100)
    assert [row.key for row in store.untouched(99)] == ["k"]
    store.end("k", Ending("aborted", 9, 0), None, [])
    assert store.untouched(99) == []

"""The state knows again what the storage holds, while uploads come and end; and what it knows better stays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update

from server.files import DiskFiles
from server.recordings.recording import UploadState
from server.recordings.uploads.recovery import recall
from server.recordings.uploads.upload_ids import key_of
from server.state.database import open_database, writing
from server.state.session_tables import sessions
from server.state.tables import recordings, uploads
from server.state.uploads import RecordingRow, UploadRow
from tests.uploads_under_test import OTHER_NODE, OTHER_SESSION, SESSION, UploadsUnderTest


@pytest.fixture
def service(tmp_path: Path) -> Iterator[UploadsUnderTest]:
    engine = open_database(tmp_path / "state.db")
    yield UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    engine.dispose()


def forget(service: UploadsUnderTest, *keys: str) -> None:
    """As if the state had lost them."""
    with writing(service.engine).begin() as connection:
        for table in (recordings, uploads):
            connection.execute(delete(table).where(table.c.key.in_(keys)))
        connection.execute(delete(sessions))


def listed(service: UploadsUnderTest) -> dict[str, bool]:
    """The sessions of the index, and whether they have a recording."""
    with service.engine.connect() as connection:
        return {row.session_id: row.has_recording for row in connection.execute(select(sessions))}


def test_lost_recordings_and_asides_are_known_again_with_their_sessions(service: UploadsUnderTest) -> None:
    first, _ = asyncio.run(service.record(b"first"))
    aside, _ = asyncio.run(service.record(b"aside", who=OTHER_NODE))
    before = [asdict(row) for row in service.store.recordings_of([SESSION])]
    forget(service, key_of(first.upload_id), key_of(aside.upload_id))
    assert service.store.recordings_of([SESSION]) == []
    recall(service.store, service.storage)
    assert [asdict(row) for row in service.store.recordings_of([SESSION])] == before
    assert listed(service) == {SESSION: True}


def test_an_upload_that_is_open_is_left_to_its_end(service: UploadsUnderTest) -> None:
    done, _ = asyncio.run(service.record(b"done"))
    key = key_of(done.upload_id)
    with writing(service.engine).begin() as connection:  # as between its place in the storage and the state's knowing
        connection.execute(delete(recordings).where(recordings.c.key == key))
        connection.execute(update(uploads).where(uploads.c.key == key).values(state="open", ended_ms=None))
    recall(service.store, service.storage)
    assert service.store.kept_of(key) is None
    row = service.store.get(key)
    assert row is not None
    assert row.state == UploadState.OPEN.value


def test_a_session_that_gets_its_recording_meanwhile_keeps_that_and_stops_no_other(
    service: UploadsUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = asyncio.run(service.record(b"one"))
    other, _ = asyncio.run(service.record(b"other", session=OTHER_SESSION))
    lost = service.store.kept_of(key_of(one.upload_id))
    assert lost is not None
    forget(service, key_of(one.upload_id), key_of(other.upload_id))
    put_back, elsewhere = service.store.put_back_recordings, replace(lost, key="f" * 32, storage="elsewhere")

    def once_another_was_kept(rows: Sequence[tuple[UploadRow, RecordingRow]]) -> list[tuple[UploadRow, RecordingRow]]:
        if service.store.recording(SESSION) is None:
            with writing(service.engine).begin() as connection:
                connection.execute(insert(recordings).values(asdict(elsewhere) | {"recording_of": SESSION}))
        return put_back(rows)

    monkeypatch.setattr(service.store, "put_back_recordings", once_another_was_kept)
    recall(service.store, service.storage)
    assert service.store.recording(SESSION) == elsewhere
    assert service.store.kept_of(key_of(one.upload_id)) is None
    assert service.store.recording(OTHER_SESSION) is not None


def test_a_custody_record_that_the_state_contradicts_hides_no_other(service: UploadsUnderTest) -> None:
    one, _ = asyncio.run(service.record(b"one"))
    other, _ = asyncio.run(service.record(b"other", session=OTHER_SESSION))
    lost = key_of(other.upload_id)
    with writing(service.engine).begin() as connection:  # another recording has its session
        renamed = {"key": "f" * 32}
        connection.execute(update(recordings).where(recordings.c.key == key_of(one.upload_id)).values(renamed))
    forget(service, lost)
    recall(service.store, service.storage)
    assert service.store.kept_of(lost) is not None
    assert service.store.kept_of(key_of(one.upload_id)) is None

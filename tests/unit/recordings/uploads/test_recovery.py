"""What a start makes of what it finds in the storage: one thing that can't be read stops neither it nor the others."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine

from server.errors import Unavailable
from server.files import DiskFiles
from server.recordings.recording import UploadState
from server.recordings.uploads.begun import Begun
from server.recordings.uploads.custody import Custody
from server.recordings.uploads.writing import Writing
from server.state import database
from server.state.database import StateFault, open_database
from server.state.uploads import OpenLimits, UploadRow
from server.storage.ports import StorageError
from tests.uploads_under_test import NODE, OTHER_SESSION, SESSION, UploadsUnderTest, access

DATA = bytes(range(100))


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Callable[[], Engine]]:
    """Makes state databases, each empty."""
    made: list[Engine] = []

    def make() -> Engine:
        made.append(open_database(tmp_path / f"{len(made)}.db"))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


Engines = Callable[[], Engine]


def test_recordings_asides_and_uploads_are_known_again_after_the_state_was_lost(
    engines: Engines, tmp_path: Path
) -> None:
    first = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    recording, _ = asyncio.run(first.record(DATA))
    aside, _ = asyncio.run(first.record(DATA[:50]))
    still_open = asyncio.run(first.send(DATA[:20], session=OTHER_SESSION))
    aborted = asyncio.run(first.send(DATA[:10]))
    asyncio.run(first.uploads.abort(access(), aborted))
    again = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    assert again.failed == 0
    assert asyncio.run(again.recordings.find(SESSION)) == recording
    assert asyncio.run(again.recordings.find(SESSION, aside.upload_id)) == aside
    assert asyncio.run(again.uploads.get(access(), still_open)).durable_offset == 20
    assert asyncio.run(again.uploads.get(access(), aborted)).state is UploadState.ABORTED
    assert again.told() == [], "what was told is not told again"


def as_it_was(engine: Engine, path: Path) -> Engine:
    """A state database from an older copy of this one."""
    with engine.connect() as connection, contextlib.closing(sqlite3.connect(path)) as copy:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.backup(copy)
    return open_database(path)


def test_uploads_that_ended_after_the_state_was_copied_have_ended_by_the_copy_too(
    engines: Engines, tmp_path: Path
) -> None:
    first = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    one, two, three, four = (asyncio.run(first.send(DATA[:size])) for size in (100, 50, 10, 100))
    copy = as_it_was(first.engine, tmp_path / "copy.db")
    recording, _ = asyncio.run(first.complete(one))
    aside, _ = asyncio.run(first.complete(two))
    asyncio.run(first.uploads.abort(access(), three))
    asyncio.run(first.complete(four))
    told = first.told()
    again = UploadsUnderTest(DiskFiles(), copy, tmp_path / "recordings")
    try:
        assert asyncio.run(again.recordings.find(SESSION)) == recording
        assert asyncio.run(again.complete(one)) == (recording, UploadState.COMPLETED)
        assert asyncio.run(again.complete(two)) == (aside, UploadState.KEPT_ASIDE)
        assert asyncio.run(again.uploads.get(access(), three)).state is UploadState.ABORTED
        assert [event["upload_id"] for event in again.told()] == [one, two, three]
        assert [event for event in told if event["upload_id"] != four] == again.told(), "told alike, it adds nothing"
        assert again.failed == 1, "what repeated another left nothing that tells of it"
    finally:
        copy.dispose()


def test_what_was_begun_and_ended_after_the_state_was_copied_is_known_by_the_copy_too(
    engines: Engines, tmp_path: Path
) -> None:
    first = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    before, _ = asyncio.run(first.record(DATA))
    copy = as_it_was(first.engine, tmp_path / "copy.db")
    aside, _ = asyncio.run(first.record(DATA[:50]))
    after, _ = asyncio.run(first.record(DATA, session=OTHER_SESSION))
    again = UploadsUnderTest(DiskFiles(), copy, tmp_path / "recordings")
    try:
        assert asyncio.run(again.recordings.find(SESSION)) == before
        assert asyncio.run(again.recordings.find(SESSION, aside.upload_id)) == aside
        assert asyncio.run(again.complete(after.upload_id)) == (after, UploadState.COMPLETED)
    finally:
        copy.dispose()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"[]",
        b"{}",
        b'{"upload_id":1,"session_id":2,"owner":3,"begun_ms":4}',
        b'{"upload_id":"../x","session_id":"../y","owner":{},"begun_ms":4}',
    ],
)
def test_an_upload_whose_beginning_can_not_be_read_stops_nothing(
    engines: Engines, tmp_path: Path, damage: bytes
) -> None:
    first = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    damaged, good = (asyncio.run(first.send(DATA[:20])) for _ in range(2))
    (first.folder / "_uploads" / damaged[:32] / "begun.json").write_bytes(damage)
    again = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    assert again.failed == 1
    assert asyncio.run(again.uploads.get(access(), good)).durable_offset == 20
    assert (first.folder / "_uploads" / damaged[:32] / "data").read_bytes() == DATA[:20], "it is kept all the same"


def folders(service: UploadsUnderTest) -> list[str]:
    return [path.name for path in (service.folder / "_uploads").iterdir()]


def test_a_beginning_that_the_state_refused_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing bounds what is left, and a start has it all as open, of owners who were never told the ids."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 1)
    engine = open_database(tmp_path / "state.db")
    service = UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings")
    with contextlib.closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            asyncio.run(service.send(DATA))
    engine.dispose()
    assert folders(service) == []


class StateError(sqlite3.OperationalError):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.sqlite_errorname = name


@pytest.mark.parametrize(("is_kept", "error"), [(True, "SQLITE_FULL"), (False, "SQLITE_IOERR_FSYNC")])
def test_a_beginning_that_the_state_may_know_stays(
    engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool, error: str
) -> None:
    """Where a sync failed, what was written may be there after a restart, though nothing shows it before. One that is
    begun anew before that withdraws it; a restart has it as abandoned in time."""
    service = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    add = service.store.add

    def failing(row: UploadRow, limits: OpenLimits) -> None:
        if is_kept:
            add(row, limits)
        raise StateFault("", {}, StateError(error))

    monkeypatch.setattr(service.store, "add", failing)
    with pytest.raises(Unavailable):
        asyncio.run(service.send(DATA))
    assert len(folders(service)) == 1
    again = UploadsUnderTest(DiskFiles(), service.engine, tmp_path / "recordings")
    assert (len(folders(again)), again.store.count_open(), again.failed) == (1, 1, 0)
    again.now_ms += 1_000_000
    assert again.uploads.view(again.store.open()[0]).abandoned, "as any that nobody goes on with"


def refusing(fault: str) -> Callable[..., Any]:
    def refuse(*_: object) -> None:
        raise StateFault("", {}, StateError(fault))

    return refuse


@pytest.mark.parametrize("is_there", [True, False])
def test_a_beginning_that_the_state_may_know_is_withdrawn_before_the_next_and_leaves_no_second(
    engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Else a disk that fails for a while would leave its owner as many open uploads as there were attempts."""
    service = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    for change in ("add", "withdraw"):
        monkeypatch.setattr(service.store, change, refusing("SQLITE_IOERR_FSYNC"))
    for _ in range(3):
        with pytest.raises(Unavailable):
            asyncio.run(service.send(DATA))
        assert len(folders(service)) == 1
    monkeypatch.undo()
    if is_there:
        service.store.put_back(service.uploads._beginnings._untold[0])
    upload_id = asyncio.run(service.send(DATA, session=OTHER_SESSION))
    again = UploadsUnderTest(DiskFiles(), service.engine, tmp_path / "recordings")
    assert [row.upload_id for row in again.store.open()] == [upload_id]
    assert folders(again) == [upload_id[:32]]


def test_an_upload_that_was_begun_and_could_not_be_told_is_withdrawn(
    engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")

    def fail(_writing: Writing) -> int:
        raise StorageError("the disk fails")

    monkeypatch.setattr(Writing, "open", fail)
    with pytest.raises(Unavailable, match="the disk fails"):
        asyncio.run(service.send(DATA))
    assert (folders(service), service.store.count_open()) == ([], 0)
    again = UploadsUnderTest(DiskFiles(), service.engine, tmp_path / "recordings")
    assert (again.store.count_open(), again.failed) == (0, 0)


def test_what_people_leave_among_recordings_stops_nothing(engines: Engines, tmp_path: Path) -> None:
    first = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    recording, _ = asyncio.run(first.record(DATA))
    still_open = asyncio.run(first.send(DATA[:20], session=OTHER_SESSION))
    for folder in (
        "_asides/x.custody.json",
        "y.custody.json",
        f"_uploads/{'0' * 32}",
        f"_uploads/{'1' * 32}/begun.json",
    ):
        (first.folder / folder).mkdir(parents=True)
    for file in (
        "_uploads/notes",
        f"_uploads/{'2' * 32}",
        "_asides/notes",
        "z.custody.json",
        f"_uploads/{'1' * 32}/data",
    ):
        (first.folder / file).touch()
    again = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    assert again.failed == 1
    assert asyncio.run(again.recordings.find(SESSION)) == recording
    assert asyncio.run(again.uploads.get(access(), still_open)).durable_offset == 20


def test_an_upload_s_beginning_names_its_own_key_and_a_real_session() -> None:
    begun = Begun("a" * 64, SESSION, {"kind": "user", "name": "n", "roles": [], "trust_anchor": ""}, 1)
    assert Begun.decode(begun.encode(), "a" * 32) == begun
    with pytest.raises(ValueError):
        Begun.decode(begun.encode(), "b" * 32)
    for session in (SESSION.upper(), "../../etc"):
        members = orjson.loads(begun.encode()) | {"session_id": session}
        with pytest.raises(ValueError):
            Begun.decode(orjson.dumps(members), "a" * 32)


@pytest.mark.parametrize(
    "change",
    [
        {"session_id": OTHER_SESSION},
        {"session_id": "../x"},
        {"upload_id": "x"},
        {"custody_digest": "0" * 64},
        {"parts": []},
        {"parts": [{"bytes": 100, "sha256": "zz"}]},
        {"uploader": {}},
        {"version": 2},
    ],
    ids=str,
)
def test_a_custody_record_that_is_not_the_recording_s_is_not_believed(
    engines: Engines, tmp_path: Path, change: dict[str, object]
) -> None:
    first = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    asyncio.run(first.record(DATA))
    good, _ = asyncio.run(first.record(DATA, session=SESSION[:-1] + "0"))
    record = first.folder / f"{SESSION}.custody.json"
    record.write_bytes(orjson.dumps(orjson.loads(record.read_bytes()) | change))
    again = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    assert asyncio.run(again.recordings.find(SESSION)) is None
    assert asyncio.run(again.recordings.find(good.session_id)) == good


def test_a_custody_record_is_read_as_it_was_written(engines: Engines, tmp_path: Path) -> None:
    service = UploadsUnderTest(DiskFiles(), engines(), tmp_path / "recordings")
    recording, _ = asyncio.run(service.record(DATA, who=NODE))
    data = (service.folder / f"{SESSION}.custody.json").read_bytes()
    custody = Custody.decode(data)
    assert custody.encode() == data
    assert (custody.size, custody.custody_digest, custody.sha256) == (100, recording.custody_digest, recording.sha256)
    assert orjson.loads(data)["bytes"] == 100

"""Uploads and what became of them, kept in the state database. Times are ms since 1970."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Engine, RowMapping, delete, func, insert, select, update

from server.state.database import writing
from server.state.outbox import add as add_to_outbox
from server.state.session_rows import refresh_everywhere
from server.state.tables import recordings, uploads

OPEN = "open"
RECORDING = "recording"
ASIDE = "aside"
ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An upload. `state` is a value of recordings.UploadState."""

    key: str
    upload_id: str
    session_id: str
    storage: str
    handle: str
    state: str
    owner: str
    owner_key: str
    bytes: int
    begun_ms: int
    resumed_ms: int | None
    touched_ms: int
    ended_ms: int | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """What is kept of an upload that has ended; `kind` is RECORDING, ASIDE or ABORTED."""

    key: str
    upload_id: str
    session_id: str
    kind: str
    storage: str
    handle: str
    bytes: int
    parts: int
    custody_digest: str
    sha256: str
    uploader: str
    begun_ms: int
    resumed_ms: int | None
    completed_ms: int
    partial: bool
    other_server: bool


@dataclass(frozen=True, slots=True)
class OpenLimits:
    """How many uploads may be open: of one owner, and in all."""

    of_owner: int
    total: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How an upload ends."""

    state: str
    ended_ms: int
    bytes: int
    partial: bool = False


class TooManyUploads(Exception):
    """As many uploads as may be are open; nothing was added."""


class SqlUploads:
    """Uploads and recordings on an engine of `open_database`. Safe to use from several threads.

    Every method raises StateFault when it can't be done now; a change is durable when its method returns.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check_room(self, owner_key: str, limits: OpenLimits) -> None:
        """Look whether another upload may be begun.

        Raises:
            TooManyUploads: it may not.
        """
        with self._engine.connect() as connection:
            _check_room(connection, owner_key, limits)

    def add(self, row: UploadRow, limits: OpenLimits) -> None:
        """Add an upload that begins.

        Raises:
            TooManyUploads: as many as may be are open.
        """
        with writing(self._engine).begin() as connection:
            _check_room(connection, row.owner_key, limits)
            _insert(connection, row)

    def withdraw(self, row: UploadRow) -> None:
        """Have an upload that nobody was told of not be there, whatever a commit that failed may have left of it."""
        with writing(self._engine).begin() as connection:
            # Added anew where it isn't there: a transaction that changes nothing writes nothing over what was left.
            if _upload(connection, row.key) is None:
                _insert(connection, row)
            connection.execute(delete(uploads).where(uploads.c.key == row.key, uploads.c.state == OPEN))
            refresh_everywhere(connection, [row.session_id])

    def put_back(self, row: UploadRow) -> None:
        """Add an upload that the storage knows and the database doesn't; nothing if it does."""
        with writing(self._engine).begin() as connection:
            if _upload(connection, row.key) is None:
                _insert(connection, row)

    def get(self, key: str) -> UploadRow | None:
        """An upload."""
        with self._engine.connect() as connection:
            return _upload(connection, key)

    def touched(self, key: str, size: int, now_ms: int, *, resumed: bool = False) -> None:
        """Note how far an open upload is durable, and that somebody goes on with it."""
        values = {"bytes": size, "touched_ms": now_ms} | ({"resumed_ms": now_ms} if resumed else {})
        with writing(self._engine).begin() as connection:
            connection.execute(update(uploads).where(uploads.c.key == key, uploads.c.state == OPEN).values(values))

    def end(
        self, key: str, ending: Ending, kept: RecordingRow | None, events: Sequence[Mapping[str, object]]
    ) -> UploadRow | None:
        """End an open upload, keep what became of it, and tell of it, all in one transaction.

        Returns:
            The upload as it is now: one that had ended before stays as it was. None if there is none.
        """
        with writing(self._engine).begin() as connection:
            still_open = (uploads.c.key == key) & (uploads.c.state == OPEN)
            if connection.execute(update(uploads).where(still_open).values(asdict(ending))).rowcount:
                if kept is not None:
                    _keep(connection, kept)
                for event in events:
                    add_to_outbox(connection, event)
            after = _upload(connection, key)
            if after is not None:
                refresh_everywhere(connection, [after.session_id])
            return after

    def put_back_recordings(
        self, rows: Sequence[tuple[UploadRow, RecordingRow]]
    ) -> list[tuple[UploadRow, RecordingRow]]:
        """Add uploads that have ended and what is kept of them, all or none, but for those that are known.

        Returns:
            Those that can't be added as they are: the upload is open, or its session has another recording.
        """
        left = []
        with writing(self._engine).begin() as connection:
            for row, kept in rows:
                known = _upload(connection, row.key)
                if (known is not None and known.state == OPEN) or _has_another_recording(connection, kept):
                    left.append((row, kept))
                    continue
                if known is None:
                    connection.execute(insert(uploads).values(asdict(row)))
                _keep(connection, kept)
            refresh_everywhere(connection, {row.session_id for row, _ in rows})
        return left

    def recording(self, session_id: str, upload_id: str = "") -> RecordingRow | None:
        """A session's recording, or what is kept of one of its uploads."""
        statement = select(recordings).where(recordings.c.session_id == session_id)
        if upload_id:
            statement = statement.where(recordings.c.upload_id == upload_id)
        else:
            statement = statement.where(recordings.c.recording_of == session_id)
        with self._engine.connect() as connection:
            found = connection.execute(statement).mappings().first()
            return _recording(found) if found else None

    def kept_of(self, key: str) -> RecordingRow | None:
        """What is kept of an upload."""
        with self._engine.connect() as connection:
            found = connection.execute(select(recordings).where(recordings.c.key == key)).mappings().first()
            return _recording(found) if found else None

    def recordings_of(self, session_ids: Collection[str]) -> list[RecordingRow]:
        """The recordings, asides and aborted uploads of sessions, oldest first."""
        statement = select(recordings).where(recordings.c.session_id.in_(session_ids))
        with self._engine.connect() as connection:
            found = connection.execute(statement.order_by(recordings.c.completed_ms, recordings.c.key)).mappings()
            return [_recording(row) for row in found]

    def uploads_of(self, session_ids: Collection[str]) -> list[UploadRow]:
        """The uploads of sessions, oldest first."""
        return self._uploads(uploads.c.session_id.in_(session_ids))

    def open(self) -> list[UploadRow]:
        """All uploads that are open, oldest first."""
        return self._uploads(uploads.c.state == OPEN)

    def count_open(self) -> int:
        """How many uploads are open."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).where(uploads.c.state == OPEN)).scalar_one()

    def untouched(self, since_ms: int) -> list[UploadRow]:
        """Open uploads that nobody has begun, gone on with or left since, oldest first."""
        return self._uploads((uploads.c.state == OPEN) & (uploads.c.touched_ms <= since_ms))

    def count_completed(self) -> int:
        """How many recordings are complete, those kept aside among them."""
        statement = select(func.count()).select_from(recordings).where(recordings.c.kind != ABORTED)
        with self._engine.connect() as connection:
            return connection.execute(statement).scalar_one()

    def completed(self) -> list[RecordingRow]:
        """All complete recordings, those kept aside among them, oldest first."""
        statement = select(recordings).where(recordings.c.kind != ABORTED).order_by(recordings.c.completed_ms)
        with self._engine.connect() as connection:
            return [_recording(row) for row in connection.execute(statement).mappings()]

    def ended_in(self, storage: str) -> list[RecordingRow]:
        """What is kept in a storage of uploads that have ended, aborted ones among it."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(recordings).where(recordings.c.storage == storage)).mappings()
            return [_recording(row) for row in rows]

    def unknown(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Of pairs of a session and an upload's key, those of which nothing is kept; without a key of the session's
        recording."""
        keys, sessions = {key for _, key in names}, {session_id for session_id, key in names if not key}
        statement = select(recordings.c.key, recordings.c.recording_of).where(
            recordings.c.key.in_(keys) | recordings.c.recording_of.in_(sessions)
        )
        with self._engine.connect() as connection:
            kept = connection.execute(statement).all()
        known = {row.key for row in kept} | {row.recording_of for row in kept}
        return {name for name in names if (name[1] or name[0]) not in known}

    def _uploads(self, condition: object) -> list[UploadRow]:
        statement = select(uploads).where(condition).order_by(uploads.c.begun_ms, uploads.c.key)  # type: ignore[arg-type]  # an expression
        with self._engine.connect() as connection:
            return [UploadRow(**row) for row in connection.execute(statement).mappings()]


def _check_room(connection: Connection, owner_key: str, limits: OpenLimits) -> None:
    open_ones = select(func.count()).where(uploads.c.state == OPEN)
    if connection.execute(open_ones).scalar_one() >= limits.total:
        raise TooManyUploads
    if connection.execute(open_ones.where(uploads.c.owner_key == owner_key)).scalar_one() >= limits.of_owner:
        raise TooManyUploads


def _upload(connection: Connection, key: str) -> UploadRow | None:
    found = connection.execute(select(uploads).where(uploads.c.key == key)).mappings().first()
    return UploadRow(**found) if found else None


def _insert(connection: Connection, row: UploadRow) -> None:
    connection.execute(insert(uploads).values(asdict(row)))
    refresh_everywhere(connection, [row.session_id])


def _has_another_recording(connection: Connection, row: RecordingRow) -> bool:
    of_session = select(recordings.c.key).where(recordings.c.recording_of == row.session_id)
    found = connection.execute(of_session).scalar_one_or_none() if row.kind == RECORDING else None
    return found not in (None, row.key)


def _keep(connection: Connection, row: RecordingRow) -> None:
    if connection.execute(select(recordings.c.key).where(recordings.c.key == row.key)).first() is None:
        recording_of = row.session_id if row.kind == RECORDING else None
        connection.execute(insert(recordings).values(asdict(row) | {"recording_of": recording_of}))


def _recording(row: RowMapping) -> RecordingRow:
    return RecordingRow(**{name: value for name, value in row.items() if name != "recording_of"})

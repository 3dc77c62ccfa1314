"""Sessions: what lists of them ask for, and what they give."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from extaudit.v1 import recording_pb2
from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client.names import SESSION_KINDS, name_of, value_of
from extaudit_client.recording_rows import Recording, Upload, recording_from, upload_from
from extaudit_client.rows import time_from


@dataclass(frozen=True, slots=True)
class SessionQuery:
    """What sessions must be like; all filters must hold, an empty one always does. Times are aware.

    `from_time` and `to_time`: sessions that lasted at some moment between; `active_at`: at this one. `kinds`: ssh,
    kubernetes, database, application, desktop. `text` is looked for in id, user, participants, server and target.
    `page_size` 0 is the service's default.
    """

    from_time: datetime | None = None
    to_time: datetime | None = None
    kinds: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    participant: str = ""
    server_id: str = ""
    active_at: datetime | None = None
    has_recording: bool | None = None
    has_upload: bool | None = None
    text: str = ""
    session_id: str = ""
    page_size: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """What its events say of a session, and what is kept of it; '' and None: no event tells."""

    session_id: str
    kind: str
    user: str
    participants: tuple[str, ...]
    server_id: str
    target: str
    start_time: datetime | None
    end_time: datetime | None
    recording: Recording | None
    asides: tuple[Recording, ...]
    uploads: tuple[Upload, ...]
    """Those that are open or aborted."""


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of sessions, newest first; `missing` says in words what the service's index of them misses."""

    sessions: tuple[Session, ...]
    next_page_token: str
    complete: bool
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReindexProgress:
    """How far an index has come: sessions found, stored batches of events read, what couldn't be read."""

    sessions: int
    batches: int
    done: bool
    missing: tuple[str, ...]


def list_request(query: SessionQuery, page_token: str) -> pb.ListRecordingsRequest:
    """Write a query as a request.

    Raises:
        ValueError: a kind has no such name, or a time has no zone.
    """
    kinds = [recording_pb2.SessionKind.ValueType(value_of(kind, SESSION_KINDS)) for kind in query.kinds]
    request = pb.ListRecordingsRequest(
        kinds=kinds,
        users=query.users,
        participant=query.participant,
        server_id=query.server_id,
        has_recording=query.has_recording,
        has_upload=query.has_upload,
        text=query.text,
        session_id=query.session_id,
        page_size=query.page_size,
        page_token=page_token,
    )
    times = (
        (request.from_time, query.from_time),
        (request.to_time, query.to_time),
        (request.active_at, query.active_at),
    )
    for message, time in times:
        if time is not None:
            if time.tzinfo is None:
                raise ValueError("a time needs a zone")
            message.FromDatetime(time)
    return request


def page_from(response: pb.ListRecordingsResponse) -> SessionPage:
    """Read a page."""
    return SessionPage(
        tuple(_session(each) for each in response.sessions),
        response.next_page_token,
        response.complete,
        tuple(response.missing),
    )


def progress_from(response: pb.ReindexRecordingsResponse) -> ReindexProgress:
    """Read how far an index has come."""
    return ReindexProgress(response.sessions, response.batches, response.done, tuple(response.missing))


def _session(message: recording_pb2.Session) -> Session:
    return Session(
        session_id=message.session_id,
        kind=name_of(message.kind, SESSION_KINDS),
        user=message.user,
        participants=tuple(message.participants),
        server_id=message.server_id,
        target=message.target,
        start_time=time_from(message.start_time) if message.HasField("start_time") else None,
        end_time=time_from(message.end_time) if message.HasField("end_time") else None,
        recording=recording_from(message.recording) if message.HasField("recording") else None,
        asides=tuple(recording_from(each) for each in message.asides),
        uploads=tuple(upload_from(each) for each in message.uploads),
    )

"""From ListRecordings requests to queries; every wrong field is named, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from extaudit.v1 import recording_pb2
from extaudit.v1 import recording_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from server.errors import InvalidRequest, Violation
from server.grpc_api.recording_requests import session_violations
from server.grpc_api.search_requests import (
    MAX_NAME_CHARACTERS,
    MAX_TOKEN_CHARACTERS,
    MAX_VALUES,
    milliseconds,
    too_long,
    too_many,
    violations_of_time,
)
from server.recordings.sessions.session import SessionKind, SessionQuery

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1000
KINDS: Final[Mapping[int, SessionKind]] = MappingProxyType(
    {
        recording_pb2.SESSION_KIND_UNSPECIFIED: SessionKind.UNKNOWN,
        recording_pb2.SESSION_KIND_SSH: SessionKind.SSH,
        recording_pb2.SESSION_KIND_KUBERNETES: SessionKind.KUBERNETES,
        recording_pb2.SESSION_KIND_DATABASE: SessionKind.DATABASE,
        recording_pb2.SESSION_KIND_APPLICATION: SessionKind.APPLICATION,
        recording_pb2.SESSION_KIND_DESKTOP: SessionKind.DESKTOP,
    }
)
_TIMES: Final = ("from_time", "to_time", "active_at")


def session_query(request: pb.ListRecordingsRequest) -> SessionQuery:
    """The query of a ListRecordings request.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    if violations := _violations(request):
        raise InvalidRequest(violations)
    from_ms, to_ms, active_at_ms = (_optional_time(request, name) for name in _TIMES)
    return SessionQuery(
        from_ms=from_ms,
        to_ms=to_ms,
        kinds=frozenset(KINDS[kind] for kind in request.kinds),
        users=frozenset(request.users),
        participant=request.participant,
        server_id=request.server_id,
        active_at_ms=active_at_ms,
        has_recording=request.has_recording if request.HasField("has_recording") else None,
        has_upload=request.has_upload if request.HasField("has_upload") else None,
        text=request.text,
        session_id=request.session_id,
        page_size=min(request.page_size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE,
        page_token=request.page_token,
    )


def _violations(request: pb.ListRecordingsRequest) -> list[Violation]:
    found = [violation for name in _TIMES for violation in violations_of_time(name, getattr(request, name))]
    if any(kind not in KINDS for kind in request.kinds):
        found.append(Violation("kinds", "must be known kinds"))
    found += too_many("users", len(request.users), MAX_VALUES)
    for name in ("participant", "server_id", "text"):
        found += too_long(name, getattr(request, name), MAX_NAME_CHARACTERS)
    if request.session_id:
        found += session_violations("session_id", request.session_id)
    return found + too_long("page_token", request.page_token, MAX_TOKEN_CHARACTERS)


def _optional_time(request: pb.ListRecordingsRequest, name: str) -> int | None:
    time: Timestamp = getattr(request, name)
    return milliseconds(time) if request.HasField(name) else None  # type: ignore[arg-type]  # one of _TIMES

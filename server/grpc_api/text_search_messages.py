"""SearchRecordings: from requests to queries, and from pages to responses."""

from __future__ import annotations

from typing import Final

from extaudit.v1 import recording_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from server.errors import InvalidRequest, Violation
from server.grpc_api.search_requests import (
    MAX_TOKEN_CHARACTERS,
    MAX_VALUES,
    milliseconds,
    too_long,
    too_many,
    violations_of_time,
)
from server.recordings.text_search.text_query import LEAST_CHARACTERS, MOST_CHARACTERS, TextHit, TextPage, TextQuery

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 1000
_TIMES: Final = ("from_time", "to_time")


def text_query(request: pb.SearchRecordingsRequest) -> TextQuery:
    """The query of a request.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    if violations := _violations(request):
        raise InvalidRequest(violations)
    from_ms, to_ms = (milliseconds(getattr(request, name)) if request.HasField(name) else None for name in _TIMES)
    return TextQuery(
        request.text,
        from_ms,
        to_ms,
        frozenset(request.users),
        min(request.page_size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE,
        request.page_token,
    )


def search_response(page: TextPage) -> pb.SearchRecordingsResponse:
    """A page as a response."""
    return pb.SearchRecordingsResponse(
        hits=map(_hit, page.hits),
        next_page_token=page.next_page_token,
        complete=not page.missing,
        missing=page.missing,
    )


def _violations(request: pb.SearchRecordingsRequest) -> list[Violation]:
    found = [violation for name in _TIMES for violation in violations_of_time(name, getattr(request, name))]
    if not LEAST_CHARACTERS <= len(request.text) <= MOST_CHARACTERS:
        found.append(Violation("text", f"must be {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters"))
    elif not request.text.isprintable():
        found.append(Violation("text", "must have no control characters: lines are searched without theirs"))
    found += too_many("users", len(request.users), MAX_VALUES)
    return found + too_long("page_token", request.page_token, MAX_TOKEN_CHARACTERS)


def _hit(hit: TextHit) -> pb.RecordingHit:
    return pb.RecordingHit(
        session_id=hit.session_id,
        upload_id=hit.upload_id,
        offset_ms=hit.offset_ms,
        line=hit.line,
        user=hit.user,
        start_time=_time(hit.position.started_ms),
    )


def _time(ms: int) -> Timestamp:
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)

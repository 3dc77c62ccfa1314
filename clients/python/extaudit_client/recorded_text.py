"""Text in recordings: what searches ask for, and what they give."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client.rows import time_from


@dataclass(frozen=True, slots=True)
class TextQuery:
    """The text, 3 to 256 characters, and filters that must all hold; an empty one always does. Times are aware.

    `from_time` and `to_time`: recordings that began between. `page_size` 0 is the service's default.
    """

    text: str
    from_time: datetime | None = None
    to_time: datetime | None = None
    users: tuple[str, ...] = ()
    page_size: int = 0


@dataclass(frozen=True, slots=True)
class RecordingHit:
    """One line that has the text: in which session's recording, how many ms after its beginning, and whose it was."""

    session_id: str
    upload_id: str
    offset_ms: int
    line: str
    user: str
    start_time: datetime


@dataclass(frozen=True, slots=True)
class HitPage:
    """One page of hits, newest recordings first; `missing` says in words what the service's index misses."""

    hits: tuple[RecordingHit, ...]
    next_page_token: str
    complete: bool
    missing: tuple[str, ...]


def text_request(query: TextQuery, page_token: str) -> pb.SearchRecordingsRequest:
    """Write a query as a request.

    Raises:
        ValueError: a time has no zone.
    """
    request = pb.SearchRecordingsRequest(
        text=query.text, users=query.users, page_size=query.page_size, page_token=page_token
    )
    for message, time in ((request.from_time, query.from_time), (request.to_time, query.to_time)):
        if time is not None:
            if time.tzinfo is None:
                raise ValueError("a time needs a zone")
            message.FromDatetime(time)
    return request


def hits_from(response: pb.SearchRecordingsResponse) -> HitPage:
    """Read a page."""
    hits = tuple(
        RecordingHit(each.session_id, each.upload_id, each.offset_ms, each.line, each.user, time_from(each.start_time))
        for each in response.hits
    )
    return HitPage(hits, response.next_page_token, response.complete, tuple(response.missing))

"""From requests that follow logs to queries; every wrong field is named, all at once."""

from __future__ import annotations

from typing import Final

from extaudit.v1 import event_watch_pb2 as pb

from server.audit_log.watching.query import Place, WatchQuery
from server.errors import InvalidRequest, Violation
from server.grpc_api.search_requests import (
    MAX_LOGS,
    MAX_NAME_CHARACTERS,
    event_filter,
    filter_violations,
    milliseconds,
    too_long,
    too_many,
    violations_of_time,
)

MAX_SEQUENCE: Final = 2**63 - 1


def watch_query(request: pb.WatchEventsRequest) -> WatchQuery:
    """The query of a WatchEvents request.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    violations = filter_violations(request.filter, "filter.")
    violations += place_violations("after", request.after)
    violations += violations_of_time("received_from", request.received_from)
    violations += too_long("storage", request.storage, MAX_NAME_CHARACTERS)
    if violations:
        raise InvalidRequest(violations)
    start = request.WhichOneof("start")
    return WatchQuery(
        event_filter(request.filter),
        place_of(request.after) if start == "after" else None,
        milliseconds(request.received_from) if start == "received_from" else None,
        request.storage or "active",
    )


def place_violations(name: str, place: pb.LogPlace) -> list[Violation]:
    """What is wrong with a place in itself, whatever logs there are."""
    found = too_many(f"{name}.logs", len(place.logs), MAX_LOGS)
    if any(not 1 <= len(log_id) <= MAX_NAME_CHARACTERS for log_id in place.logs):
        found.append(Violation(f"{name}.logs", f"must be by ids of 1 to {MAX_NAME_CHARACTERS} characters"))
    if any(done > MAX_SEQUENCE for done in place.logs.values()):
        found.append(Violation(f"{name}.logs", f"must be at most {MAX_SEQUENCE}"))
    return found


def place_of(place: pb.LogPlace) -> Place:
    """A place; it has no violations."""
    return dict(place.logs)

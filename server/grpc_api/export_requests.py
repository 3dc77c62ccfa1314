"""From requests for chunks and their events to queries; every wrong field is named, all at once."""

from __future__ import annotations

import re
from typing import Final

from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1 import event_watch_pb2

from server.audit_log.export.chunk import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, ChunkId, ChunkQuery, ExportQuery
from server.errors import InvalidRequest, Violation
from server.grpc_api.listing import page_violations
from server.grpc_api.search_requests import (
    MAX_LOGS,
    MAX_NAME_CHARACTERS,
    MAX_TOKEN_CHARACTERS,
    event_filter,
    filter_violations,
    milliseconds,
    too_long,
    too_many,
    violations_of_time,
)

MAX_SEQUENCE: Final = 2**63 - 1
_LOG_ID: Final = re.compile(r"[0-9a-f]{20}", re.ASCII)


def chunk_query(request: pb.ListEventChunksRequest) -> ChunkQuery:
    """The query of a ListEventChunks request.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    found = [
        *violations_of_time("from_time", request.from_time),
        *violations_of_time("to_time", request.to_time),
        *too_long("storage", request.storage, MAX_NAME_CHARACTERS),
        *too_long("page_token", request.page_token, MAX_TOKEN_CHARACTERS),
        *page_violations(request.page_size),
        *_violations_of_place("after", request.after),
    ]
    if found:
        raise InvalidRequest(found)
    return ChunkQuery(
        storage=request.storage or "followed",
        from_ms=milliseconds(request.from_time) if request.HasField("from_time") else None,
        to_ms=milliseconds(request.to_time) if request.HasField("to_time") else None,
        after=dict(request.after.logs),
        page_size=min(request.page_size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE,
        page_token=request.page_token,
    )


def export_query(request: pb.ExportEventsRequest) -> ExportQuery:
    """The query of an ExportEvents request.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    found = filter_violations(request.filter, "filter.")
    chunk = None
    try:
        chunk = ChunkId.parse(request.chunk_id)
    except ValueError:
        found.append(Violation("chunk_id", "must be the id of a chunk, as ListEventChunks gives it"))
    if request.after_sequence > (chunk.last if chunk else MAX_SEQUENCE):
        found.append(Violation("after_sequence", "must be at most the last sequence of the chunk"))
    if found or chunk is None:
        raise InvalidRequest(found)
    return ExportQuery(chunk, request.after_sequence, event_filter(request.filter))


def _violations_of_place(name: str, place: event_watch_pb2.LogPlace) -> list[Violation]:
    if len(place.logs) > MAX_LOGS:
        return too_many(f"{name}.logs", len(place.logs), MAX_LOGS)
    found = []
    if not all(map(_LOG_ID.fullmatch, place.logs)):
        found.append(Violation(f"{name}.logs", "must have log ids as keys: 20 lower-case hexadecimal digits"))
    if any(sequence > MAX_SEQUENCE for sequence in place.logs.values()):
        found.append(Violation(f"{name}.logs", f"must have sequences of at most {MAX_SEQUENCE}"))
    return found

"""Chunks of stored events: what there is to export, and one of them being read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1 import event_query_pb2 as query_pb

from extaudit_client.calling import Call
from extaudit_client.errors import ExtauditError
from extaudit_client.exported_events import ExportedEvents, Fetch, events_from
from extaudit_client.filters import filter_from
from extaudit_client.patience import SILENCE_SECONDS, patiently
from extaudit_client.retries import Retries
from extaudit_client.rows import time_from
from extaudit_client.searches import MissingPart, Query, missing_from

_PAGE = 10_000
_BUSY = "OVERLOADED"
"""The reason of a refusal because of how much is under way: the next place that is free will do."""


@dataclass(frozen=True, slots=True)
class EventChunk:
    """One stored batch, which never changes: a range of sequences of a log. `bytes` is what its objects take."""

    id: str
    storage: str
    log_id: str
    first_sequence: int
    last_sequence: int
    events: int
    bytes: int
    first_time: datetime
    last_time: datetime


@dataclass(frozen=True, slots=True)
class EventChunks:
    """What there is to export, log by log in the order of sequences.

    What lies beyond `complete_through` (log id → sequence) is in no batch yet. `missing` can't be exported, or, without
    sequences, says where foreign objects couldn't be counted; `foreign_objects` are in the storages and in no batch, so
    that only searches find them; they aren't counted for a caller whom roles show some events only.
    """

    chunks: tuple[EventChunk, ...]
    complete_through: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[MissingPart, ...] = ()
    foreign_objects: int = 0


def to_read(chunks: Iterable[EventChunk], place: Mapping[str, int]) -> list[EventChunk]:
    """What of the chunks lies after a place: each log's in the order of sequences, whatever storages they are in, and
    no range twice."""
    found: list[EventChunk] = []
    through = dict(place)
    for chunk in sorted(chunks, key=lambda chunk: (chunk.log_id, chunk.first_sequence)):
        if chunk.last_sequence > through.get(chunk.log_id, 0):
            through[chunk.log_id] = chunk.last_sequence
            found.append(chunk)
    return found


def chunk_page(query: Query, after: Mapping[str, int], page_token: str) -> Call[pb.ListEventChunksResponse]:
    """One page of the chunks after a place that may hold what a query asks for."""
    asked = filter_from(query)
    request = pb.ListEventChunksRequest(storage=query.storage, page_size=_PAGE, page_token=page_token)
    if asked.HasField("from_time"):
        request.from_time.CopyFrom(asked.from_time)
    if asked.HasField("to_time"):
        request.to_time.CopyFrom(asked.to_time)
    if after:
        request.after.logs.update(after)
    return Call(lambda stubs: stubs.audit_log.ListEventChunks, request, _as_it_is)


def chunks_from(answers: Iterable[pb.ListEventChunksResponse]) -> EventChunks:
    """Put the pages of a list together."""
    chunks: list[EventChunk] = []
    missing: dict[MissingPart, None] = {}
    page = pb.ListEventChunksResponse()
    for page in answers:
        chunks += map(_chunk, page.chunks)
        missing |= dict.fromkeys(map(missing_from, page.missing))
    return EventChunks(tuple(chunks), dict(page.complete_through.logs), tuple(missing), page.foreign_objects)


def _as_it_is(answer: pb.ListEventChunksResponse) -> pb.ListEventChunksResponse:
    return answer


def _chunk(message: pb.EventChunk) -> EventChunk:
    return EventChunk(
        message.id,
        message.storage,
        message.log_id,
        message.first_sequence,
        message.last_sequence,
        message.events,
        message.bytes,
        time_from(message.first_time),
        time_from(message.last_time),
    )


class ExportCall(Protocol):
    """A stream under way: its responses."""

    def __iter__(self) -> Iterator[pb.ExportEventsResponse]:
        """The responses as they come."""

    def cancel(self) -> bool:
        """End the stream."""


class ChunkReader:
    """Reads one chunk's events to its end, going on where it was when the connection breaks."""

    def __init__(
        self,
        open_call: Callable[[pb.ExportEventsRequest], ExportCall],
        fetch: Fetch,
        chunk: EventChunk,
        filters: query_pb.EventFilter,
        retries: Retries,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._open_call = open_call
        self._fetch = fetch
        self._chunk = chunk
        self._filters = filters
        self._retries = retries
        self._silence = silence
        self._through = 0
        self._done = False

    def events(self, after_sequence: int) -> Iterator[ExportedEvents]:
        """The events after a sequence, as they come.

        Raises:
            ExtauditError: the service refused, the stream broke too often, or an answer isn't of this chunk.
        """
        self._through = max(after_sequence, self._chunk.first_sequence - 1)
        failures = 0
        while not self._done:
            before = self._through
            try:
                yield from self._stream()
                failure = ExtauditError("UNAVAILABLE", "", "the service ended the stream before the chunk's end")
            except ExtauditError as error:
                failure = error
            if self._done:
                return
            if self._through > before or failure.reason == _BUSY:
                failures = 0
            failures += 1
            if not self._retries.allow(failure, failures, answered=True):
                raise failure
            self._retries.wait(self._retries.delay(failures, failure.retry_after))

    def _stream(self) -> Iterator[ExportedEvents]:
        request = pb.ExportEventsRequest(chunk_id=self._chunk.id, after_sequence=self._through, filter=self._filters)
        with closing(patiently(self._open_call(request), self._silence)) as answers:
            for answer in answers:
                self._check(answer)
                for events in events_from(answer, self._through, self._fetch):
                    self._through = events.through_sequence
                    yield events
                if answer.done:
                    self._done = True
                    return

    def _check(self, answer: pb.ExportEventsResponse) -> None:
        columns = answer.columns
        named = (columns.storage, columns.log_id)
        if columns.sequences and named != (self._chunk.storage, self._chunk.log_id):
            raise ExtauditError("INTERNAL", "", "the service gave events of another log than the chunk's")
        if answer.through_sequence > self._chunk.last_sequence:
            raise ExtauditError("INTERNAL", "", "the service gave events beyond the chunk's end")
        if answer.done and answer.through_sequence != self._chunk.last_sequence:
            raise ExtauditError("INTERNAL", "", "the service says that a chunk is done before its end")

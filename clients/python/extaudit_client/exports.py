"""Exporting: everything there is, each event once, from stored chunks and from what is in none yet."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final, Protocol

from extaudit_client import event_calls
from extaudit_client.calling import Caller
from extaudit_client.chunks import ChunkReader, EventChunk, EventChunks, chunk_page, chunks_from, to_read
from extaudit_client.errors import ExtauditError
from extaudit_client.exported_events import ExportedEvents, events_of_rows
from extaudit_client.filters import filter_from
from extaudit_client.paging import pages
from extaudit_client.prefetching import prefetched
from extaudit_client.rows import Position
from extaudit_client.searches import MissingPart, Query
from extaudit_client.watching import Told, WatchProgress, watch

_MOST_LOSSES: Final = 12


@dataclass(frozen=True, slots=True)
class WatchedColumns:
    """What came, in columns; `place` (log id → sequence) is how far every log is done with once it is taken.

    `caught_up`: nothing acknowledged was left to look at.
    """

    events: Iterable[ExportedEvents]
    place: Mapping[str, int]
    caught_up: bool
    missing: tuple[MissingPart, ...] = ()


class ExportSource(Protocol):
    """Gives what is exported; Client is one."""

    def chunks(self, query: Query, after: Mapping[str, int]) -> EventChunks:
        """What is stored after a place."""
        ...

    def export_chunk(self, chunk: EventChunk, query: Query, after_sequence: int) -> Iterator[ExportedEvents]:
        """The events of one chunk after a sequence."""
        ...

    def watch_columns(
        self, query: Query, after: Mapping[str, int], told: Told | None = None
    ) -> Generator[WatchedColumns, None, None]:
        """The events after a place, for ever; `told` is told when the stream breaks, and may raise."""
        ...


class Exports:
    """What Client gives of exports."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def chunks(self, query: Query, after: Mapping[str, int]) -> EventChunks:
        """As Client.chunks."""
        return chunks_from(pages(lambda token: self._caller.run(chunk_page(query, after, token)), ""))

    def export_chunk(self, chunk: EventChunk, query: Query, after_sequence: int) -> Iterator[ExportedEvents]:
        """As Client.export_chunk."""
        stub, filters = self._caller.stubs.audit_log, filter_from(query)
        reader = ChunkReader(stub.ExportEvents, self._fetch, chunk, filters, self._caller.retries)
        with self._caller.errors():
            yield from reader.events(after_sequence)

    def watch_columns(
        self, query: Query, after: Mapping[str, int], told: Told | None
    ) -> Generator[WatchedColumns, None, None]:
        """As Client.watch_columns."""
        # What follows a place lies in storages that were active since, so all are those that are followed.
        storage = "all" if query.storage in ("", "followed") else query.storage
        progress = WatchProgress(replace(query, storage=storage), after, None, self._caller.retries)
        with closing(watch(self._caller, progress, told)) as answers:
            for answer in answers:
                events = events_of_rows(answer.rows, self._fetch)
                yield WatchedColumns(events, answer.place, answer.caught_up, answer.missing)

    def _fetch(self, storage: str, log_id: str, sequence: int) -> bytes:
        """The JSON of an event that is too large for an answer."""
        return self._caller.gather(event_calls.get(Position(log_id, sequence), "", storage))[1]


class _Losses:
    """Is told of lost connections, and gives up after some in a row: who doesn't follow waits for an end."""

    def __init__(self) -> None:
        self.in_a_row = 0

    def __call__(self, error: ExtauditError, _seconds: float) -> None:
        self.in_a_row += 1
        if self.in_a_row > _MOST_LOSSES:
            raise error


def exported(
    source: ExportSource,
    query: Query,
    after: Mapping[str, int],
    *,
    parallel: int,
    missing: Callable[[MissingPart], None],
) -> Iterator[ExportedEvents]:
    """Give everything after a place once; what can't be given is told as it is noticed."""
    place = dict(after)
    uncounted: set[tuple[object, ...]] = set()

    def read(chunk: EventChunk) -> Iterator[ExportedEvents]:
        return source.export_chunk(chunk, query, place.get(chunk.log_id, 0))

    def told(events: ExportedEvents) -> ExportedEvents:
        for part in events.missing:
            missing(part)
        return events

    while True:
        listed = source.chunks(query, place)
        for part in listed.missing:
            what = part.reason, part.storage, part.name, part.first_sequence
            if what not in uncounted:  # each list tells it again
                uncounted.add(what)
                missing(part)
        chunks = to_read(listed.chunks, place)
        for chunk, parts in prefetched(chunks, read, parallel):
            for events in parts:
                yield told(events)
            place[chunk.log_id] = chunk.last_sequence
        place |= {log: max(last, place.get(log, 0)) for log, last in listed.complete_through.items()}
        if not chunks:
            break
    losses = _Losses()
    for answer in source.watch_columns(query, place, losses):
        losses.in_a_row = 0
        for part in answer.missing:
            missing(part)
        yield from map(told, answer.events)
        if answer.caught_up:
            return

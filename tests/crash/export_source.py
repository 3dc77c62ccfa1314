"""Logs of events that grow and are cut into chunks between one run of an export and the next, in memory."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from datetime import UTC, datetime

from extaudit_client import EmitterAtPeer, EventChunk, EventChunks, ExportedEvents, Identity, Query, WatchedColumns

_TIME = datetime(2026, 11, 1, tzinfo=UTC)
_EMITTERS = (EmitterAtPeer(Identity("user", "alice", "ca", "1"), "ipv4:127.0.0.1:1"),)
PIECE = 2


class Logs:
    """Log id → its number of events, and where it is cut: the last sequence of each chunk."""

    def __init__(self, events: Mapping[str, int], cuts: Mapping[str, tuple[int, ...]]) -> None:
        self.events = dict(events)
        self.cuts = dict(cuts)

    def all(self) -> list[tuple[str, int, bytes]]:
        """Every event in the order of an export that finds all of them in chunks."""
        return [
            (log_id, number, payload(log_id, number))
            for log_id, last in sorted(self.events.items())
            for number in range(1, last + 1)
        ]

    def chunks(self, query: Query, after: Mapping[str, int]) -> EventChunks:
        found = []
        for log_id, cuts in sorted(self.cuts.items()):
            for first, last in zip([1, *(cut + 1 for cut in cuts)], cuts, strict=False):
                if last > after.get(log_id, 0):
                    size = last - first + 1
                    chunk_id = f"{log_id}/{first}/{last}"
                    found.append(EventChunk(chunk_id, "default", log_id, first, last, size, size, _TIME, _TIME))
        through = {log_id: max(cuts, default=0) for log_id, cuts in self.cuts.items()}
        return EventChunks(tuple(found), through)

    def export_chunk(self, chunk: EventChunk, query: Query, after_sequence: int) -> Iterator[ExportedEvents]:
        for first in range(max(after_sequence + 1, chunk.first_sequence), chunk.last_sequence + 1, PIECE):
            yield events(chunk.log_id, first, min(first + PIECE - 1, chunk.last_sequence))

    def watch_columns(
        self, query: Query, after: Mapping[str, int], told: object
    ) -> Generator[WatchedColumns, None, None]:
        place = dict(after)
        for log_id, last in sorted(self.events.items()):
            while (first := place.get(log_id, 0) + 1) <= last:
                place[log_id] = min(first + PIECE - 1, last)
                yield WatchedColumns([events(log_id, first, place[log_id])], dict(place), caught_up=False)
        yield WatchedColumns([], dict(place), caught_up=True)


def payload(log_id: str, number: int) -> bytes:
    return json.dumps({"event": "a.b", "key": f"{log_id}:{number}"}).encode()


def events(log_id: str, first: int, last: int) -> ExportedEvents:
    numbers = range(first, last + 1)
    payloads = [payload(log_id, number) for number in numbers]
    return ExportedEvents(
        "default",
        log_id,
        sequences=list(numbers),
        times_ms=[1_700_000_000_000 + number for number in numbers],
        types=["a.b" for _ in numbers],
        uids=[f"{log_id}:{number}" for number in numbers],
        session_ids=["" for _ in numbers],
        users=["alice" for _ in numbers],
        json=b"".join(payloads),
        json_sizes=list(map(len, payloads)),
        emitters=_EMITTERS,
        emitter_numbers=[1 for _ in numbers],
        received_ms=[1_700_000_000_500 for _ in numbers],
        through_sequence=last,
    )

"""Candidates: rows that pass the filters, in order, from the tail and from stored objects."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import NamedTuple, Protocol

from server.audit_log.tail import Pinned, TailRow
from server.state.catalogue_rows import CatalogueObject
from server.storage.matching import Matcher
from server.storage.ports import ScanEngine, ScanTimeout, StorageError, StorageTimeout
from server.storage.query import Filters, Order, Position, ScanObject, ScanRequest, ScanRow, UnreadableObject

_FIRST_WINDOW = 16
MOST_EQUAL_ROWS = 1000
"""Rows of one position read at most; their number is in the hands of whoever can put files into the storage."""
_WINDOW_GROWTH = 4
_WINDOW_BYTES = 1 << 30
"""Of objects that are had on this machine at once, about; objects that overlap in time are read together."""
_EARLIEST, _LATEST = -(2**62), 2**62


class TailCandidate(NamedTuple):
    """A matching event of the tail."""

    position: Position
    row: TailRow
    pinned: Pinned


Candidate = TailCandidate | ScanRow
"""A matching event of the tail, or a matching row of a stored object."""


def time_span(filters: Filters, order: Order, beyond: Position | None) -> tuple[int, int]:
    """From (inclusive) and to (exclusive) of the times that rows beyond a position can have."""
    low = filters.from_ms if filters.from_ms is not None else _EARLIEST
    high = filters.to_ms if filters.to_ms is not None else _LATEST
    if beyond is None:
        return low, high
    return (low, min(high, beyond.time_ms + 1)) if order is Order.NEWEST_FIRST else (max(low, beyond.time_ms), high)


def tail_candidates(
    rows: Sequence[tuple[TailRow, Pinned]], matches: Matcher, order: Order, beyond: Position | None, chunk: int
) -> Iterator[TailCandidate]:
    """Matching rows of the tail in order; digests are made only for the rows that are asked for."""
    newest_first = order is Order.NEWEST_FIRST
    low, high = time_span(Filters(), order, beyond)
    keyed = [
        ((e.time_ms, e.uid), row, pinned)
        for row, pinned in rows
        for e in (row.event,)
        if low <= e.time_ms < high and matches(e.time_ms, e.type, e.uid, e.session_id, e.user, e.data)
    ]
    while keyed:
        pick = heapq.nlargest if newest_first else heapq.nsmallest
        edge = pick(chunk, keyed, key=lambda item: item[0])[-1][0]
        ready = [item for item in keyed if (item[0] >= edge if newest_first else item[0] <= edge)]
        keyed = [item for item in keyed if (item[0] < edge if newest_first else item[0] > edge)]
        found = [TailCandidate(row.position, row, pinned) for _, row, pinned in ready]
        found.sort(key=lambda candidate: candidate.position, reverse=newest_first)
        for candidate in found:
            if beyond is None or (candidate.position < beyond if newest_first else candidate.position > beyond):
                yield candidate


class Selection(Protocol):
    """Which rows of an object count."""

    def __call__(self, object_: CatalogueObject) -> Sequence[int] | None:
        """Row numbers, ascending; None for all; an empty sequence for none."""
        ...


@dataclass(slots=True)
class StoredRead:
    """Reads matching rows of stored objects in order, window by window of time, so that a full page stops early.

    Objects are taken by their newest (or oldest) time; each window covers the next of them, and every object that has
    rows in its span is read for it, so the windows' rows follow each other without overlap.
    """

    engine: ScanEngine
    local: Callable[[Collection[CatalogueObject], float], AbstractContextManager[Mapping[str, str | StorageError]]]
    """Has objects on this machine until a deadline; see Storages.local."""
    is_intact: Callable[[CatalogueObject], bool]
    select: Selection
    filters: Filters
    order: Order
    beyond: Position | None
    chunk: int
    deadline: float
    unreadable: list[UnreadableObject] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    unfetched: dict[str, StorageError] = field(default_factory=dict)
    """By key, why an object can't be had."""
    opened: dict[str, CatalogueObject] = field(default_factory=dict)
    """The objects that were looked into, by key: those without a row of a wanted emitter too."""
    finished_to: Position | None = None
    """Every row before this position was given; where to go on when time runs out."""
    crowded: set[str] = field(default_factory=set)
    """Objects with more equal rows than are read."""
    last_given: Position | None = None
    """Where the last row of the scans that are done is; there may be more rows of this position."""
    timed_out: bool = False

    def rows(self, objects: Sequence[CatalogueObject]) -> Iterator[ScanRow]:
        """All matching rows in order, or, where time runs out, the first of them; `timed_out` says which."""
        newest_first = self.order is Order.NEWEST_FIRST
        low, high = time_span(self.filters, self.order, self.beyond)
        waiting = sorted(objects, key=_newest if newest_first else _oldest, reverse=newest_first)
        size = self._first_window(waiting)
        while low < high and (waiting := [item for item in waiting if item.last_ms >= low and item.first_ms < high]):
            start, end = low, high
            size = self._bounded(waiting, size)
            if len(waiting) > size and newest_first:
                start = max(low, min(item.first_ms for item in waiting[:size]))
            elif len(waiting) > size:
                end = min(high, max(item.last_ms for item in waiting[:size]) + 1)
            try:
                yield from self._window(waiting, start, end)
            except ScanTimeout:
                self.timed_out = True
                return
            low, high = (low, start) if newest_first else (end, high)
            self.finished_to = Position(start if newest_first else end, "", "")
            size *= _WINDOW_GROWTH

    def _bounded(self, waiting: Sequence[CatalogueObject], size: int) -> int:
        """At most so many that a window doesn't hold more than the machine has room for."""
        held = accumulate(item.bytes for item in waiting[:size])
        return max(1, sum(1 for each in held if each <= _WINDOW_BYTES))

    def _first_window(self, waiting: Sequence[CatalogueObject]) -> int:
        """Number of objects to begin with: where nothing but time chooses, as many as hold the rows asked for."""
        if replace(self.filters, from_ms=None, to_ms=None) != Filters():
            return _FIRST_WINDOW
        held = accumulate(item.rows for item in waiting[:_FIRST_WINDOW])
        # One more, since of the first a part may lie before the page.
        return next((number + 1 for number, rows in enumerate(held, 1) if rows >= self.chunk), _FIRST_WINDOW)

    def gave_all_at(self, position: Position) -> bool:
        """Whether every row of this position was given, and every row before it."""
        if not self.timed_out:
            return True
        ends = [end for end in (self.finished_to, self.last_given) if end is not None]
        return any(position > end if self.order is Order.NEWEST_FIRST else position < end for end in ends)

    def _is_intact(self, item: CatalogueObject) -> bool:
        if time.monotonic() >= self.deadline:
            raise ScanTimeout
        if not self.is_intact(item):
            self.changed.add(item.key)
        return item.key not in self.changed

    def _window(self, objects: Sequence[CatalogueObject], start: int, end: int) -> Iterator[ScanRow]:
        by_key = {item.key: item for item in objects if item.last_ms >= start and item.first_ms < end}
        with self.local(by_key.values(), self.deadline) as found:
            yield from self._scanned(by_key, found, start, end)

    def _scanned(
        self, by_key: Mapping[str, CatalogueObject], found: Mapping[str, str | StorageError], start: int, end: int
    ) -> Iterator[ScanRow]:
        paths = {key: path for key, path in found.items() if isinstance(path, str)}
        if any(isinstance(error, StorageTimeout) for error in found.values()):
            raise ScanTimeout
        self.unfetched.update({key: error for key, error in found.items() if isinstance(error, StorageError)})
        intact = {key: item for key, item in by_key.items() if key in paths and self._is_intact(item)}
        asked = [
            ScanObject(key, paths[key], rows, item.is_foreign)
            for key, item in intact.items()
            if (rows := self.select(item)) is None or len(rows)
        ]
        self.opened.update(intact)
        from_ms, to_ms = start if start > _EARLIEST else None, end if end < _LATEST else None
        filters = replace(self.filters, from_ms=from_ms, to_ms=to_ms)
        request = ScanRequest(asked, filters, self.order, self.chunk, beyond=self.beyond)
        equal = 0
        position: Position | None = None
        while asked:
            if time.monotonic() >= self.deadline:
                raise ScanTimeout
            result = self.engine.scan(request, deadline=self.deadline)
            self.unreadable += [item for item in result.unreadable if item not in self.unreadable]
            yield from result.rows
            if len(result.rows) < request.limit:
                return
            last = result.rows[-1]
            self.last_given = last.position
            equal = equal if last.position == position else 0
            equal += len(result.rows) if last.position == result.rows[0].position else 0
            position = last.position
            if equal > MOST_EQUAL_ROWS:
                self.crowded.add(last.object_key)
                request = replace(request, after=None, beyond=last.position)
            else:
                request = replace(request, after=(last.position, last.object_key, last.row_number))


def _newest(item: CatalogueObject) -> int:
    return item.last_ms


def _oldest(item: CatalogueObject) -> int:
    return item.first_ms

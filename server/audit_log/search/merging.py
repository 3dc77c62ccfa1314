"""Merging slices of objects into the order of searches, column by column, and seeing which rows are equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np

from server.audit_log.batch_codec import BatchColumns
from server.audit_log.batch_decoding import Numbers, part_of, texts_of
from server.audit_log.search.candidates import MOST_EQUAL_ROWS
from server.storage.query import Order, Position

_MOST_TIED: Final = 2 * MOST_EQUAL_ROWS
_Keyed: TypeAlias = tuple[tuple[str, str], int, int]
"""What orders a row among those of one time, uid and digest, with its part and the row that it is there."""


class Unsuited(Exception):
    """What has to be read row by row."""


@dataclass(frozen=True, slots=True)
class MergedRows:
    """Rows in the order of a search; equal ones follow each other."""

    parts: Sequence[BatchColumns]
    """What the rows are of; of each the rows that may be among these, and others."""
    numbers: Numbers
    """The part that each row is of."""
    rows: Numbers
    """Which row of its part each is."""
    times_ms: Numbers
    firsts: Numbers
    """Which of the rows don't equal the one before, ascending."""

    @property
    def ends(self) -> Numbers:
        """Where the rows end that equal each of `firsts`."""
        return np.append(self.firsts[1:], len(self.rows))


@dataclass(frozen=True, slots=True)
class Span:
    """The first `rows` rows of the times [low, high) in an order, beyond a position.

    Rows at the position's own millisecond come on top of them: only a look at each tells whether it is beyond.
    """

    order: Order
    low: int
    high: int
    beyond: Position | None
    rows: int

    @property
    def newest_first(self) -> bool:
        """Whether later times come first."""
        return self.order is Order.NEWEST_FIRST

    def slice_of(self, columns: BatchColumns) -> BatchColumns:
        """Of rows in order of time those that may be among these, in the order that they have."""
        times = columns.times_ms
        start, end = np.searchsorted(times, [self.low, self.high]).tolist()
        spare = 0 if self.beyond is None else int(np.count_nonzero(times[start:end] == self.beyond.time_ms))
        most = self.rows + spare
        if end - start > most and self.newest_first:
            start = int(np.searchsorted(times, times[end - most]))
        elif end - start > most:
            end = int(np.searchsorted(times, times[start + most - 1], side="right"))
        return part_of(columns, start, end)

    def up_to(self, last_ms: int, columns: BatchColumns) -> BatchColumns:
        """Of rows in order of time those that come no later than a time in the order of the span."""
        times = columns.times_ms
        if self.newest_first:
            return part_of(columns, int(np.searchsorted(times, last_ms)), len(times))
        return part_of(columns, 0, int(np.searchsorted(times, last_ms, side="right")))

    def last_time(self, parts: Sequence[BatchColumns]) -> int | None:
        """The time of the last of these rows; None where the parts have fewer."""
        if sum(len(part.times_ms) for part in parts) < self.rows:
            return None
        times = np.concatenate([part.times_ms for part in parts])
        if self.beyond is not None:
            times = times[times != self.beyond.time_ms]
        if len(times) < self.rows:
            return None
        place = len(times) - self.rows if self.newest_first else self.rows - 1
        return int(np.partition(times, place)[place])


def merged(parts: Sequence[BatchColumns], span: Span) -> MergedRows:
    """The rows of a span, and what more there is of the last one's millisecond.

    Equal rows come in the order of parts, and within one in the order that they have there.

    Raises:
        Unsuited: too many rows are of one millisecond.
    """
    last = span.last_time(parts)
    if last is not None:
        parts = [span.up_to(last, part) for part in parts]
    starts = np.cumsum([0, *(len(part.sequences) for part in parts)])
    times = np.concatenate([part.times_ms for part in parts]) if parts else np.empty(0, np.int64)
    order = np.argsort(-times if span.newest_first else times, kind="stable")
    times, numbers = times[order], np.repeat(np.arange(len(parts)), np.diff(starts))[order]
    rows = order - starts[numbers]
    firsts, given = np.ones(len(rows), np.bool_), 0
    for start, end in _ties(times, span.beyond):
        tied = slice(start, end)
        keyed = sorted(_keyed(parts, numbers[tied], rows[tied]), key=_key, reverse=span.newest_first)
        numbers[tied], rows[tied] = [number for _, number, _ in keyed], [row for _, _, row in keyed]
        firsts[start + 1 : end] = [one[0] != other[0] for one, other in pairwise(keyed)]
        if span.beyond is not None and times[start] == span.beyond.time_ms:
            past = span.beyond[1:]
            given = start + sum(key >= past if span.newest_first else key <= past for key, _, _ in keyed)
    return MergedRows(parts, numbers[given:], rows[given:], times[given:], np.flatnonzero(firsts[given:]))


def _keyed(parts: Sequence[BatchColumns], numbers: Numbers, rows: Numbers) -> Iterator[_Keyed]:
    for number, row in zip(numbers.tolist(), rows.tolist(), strict=True):
        uid, json = parts[number].uids[row].as_py(), texts_of(parts[number].data).text(row)
        yield (uid, sha256(json).hexdigest()), number, row


def _key(keyed: _Keyed) -> tuple[str, str]:
    return keyed[0]


def _ties(times: Numbers, beyond: Position | None) -> Sequence[tuple[int, int]]:
    """First and end (exclusive) of the runs of rows of one time, and of the time that `beyond` has though it is one."""
    if not len(times):
        return ()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(times)) + 1])
    ends = np.append(starts[1:], len(times))
    if (ends - starts).max() > _MOST_TIED:
        raise Unsuited
    counts = ends - starts > 1
    if beyond is not None:
        counts |= times[starts] == beyond.time_ms
    return list(zip(starts[counts].tolist(), ends[counts].tolist(), strict=True))

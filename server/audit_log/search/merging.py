"""Merging slices of objects into the order of searches, column by column, and seeing which rows are equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final

import numpy as np

from server.audit_log.batch_codec import BatchColumns
from server.audit_log.batch_decoding import Numbers, joined, part_of, taken, texts_of
from server.audit_log.search.candidates import MOST_EQUAL_ROWS
from server.storage.query import Order, Position

_MOST_TIED: Final = 2 * MOST_EQUAL_ROWS


class Unsuited(Exception):
    """What has to be read row by row."""


@dataclass(frozen=True, slots=True)
class MergedRows:
    """Rows in the order of a search; equal ones follow each other."""

    columns: BatchColumns
    parts: Numbers
    """The part that each row is of."""
    firsts: Numbers
    """The rows that don't equal the one before, ascending."""


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

    def last_time(self, parts: Sequence[BatchColumns]) -> int | None:
        """The time of the last of these rows; None where the parts have fewer."""
        times = np.concatenate([part.times_ms for part in parts]) if parts else np.empty(0, np.int64)
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
    every = joined(parts)
    picked = np.argsort(-every.times_ms if span.newest_first else every.times_ms, kind="stable")
    last = span.last_time(parts)
    if last is not None:
        times = every.times_ms[picked]
        picked = picked[times >= last if span.newest_first else times <= last]
    columns = taken(every, picked)
    ties = _ties(columns, span.beyond)
    texts = texts_of(columns.data)
    order, firsts, given = np.arange(len(picked)), np.ones(len(picked), np.bool_), 0
    for start, end in ties:
        keys = [(columns.uids[row].as_py(), sha256(texts.text(row)).hexdigest()) for row in range(start, end)]
        rows = sorted(range(len(keys)), key=keys.__getitem__, reverse=span.newest_first)
        order[start:end] = start + np.array(rows)
        firsts[start + 1 : end] = [keys[one] != keys[other] for one, other in pairwise(rows)]
        if span.beyond is not None and columns.times_ms[start] == span.beyond.time_ms:
            past = span.beyond[1:]
            given = start + sum(key >= past if span.newest_first else key <= past for key in keys)
    of_parts = np.repeat(np.arange(len(parts)), [len(part.sequences) for part in parts])[picked]
    if (np.diff(order) < 0).any():
        columns, of_parts = taken(columns, order), of_parts[order]
    rest = part_of(columns, given, len(picked))
    return MergedRows(rest, of_parts[given:], np.flatnonzero(firsts[given:]))


def _ties(columns: BatchColumns, beyond: Position | None) -> Sequence[tuple[int, int]]:
    """First and end (exclusive) of the runs of rows of one time, and of the time that `beyond` has though it is one."""
    times = columns.times_ms
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

"""Event blocks: the accepted events of one message, as a table of offsets into one buffer.

Events are looked at one by one only where someone reads them; on their way to the disk they stay a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby

import numpy as np
from numpy.typing import NDArray

from server.audit_log.columns.hashing import HashKeys, uid_key
from server.audit_log.columns.layout import (
    END,
    INDEX,
    SESSION,
    START,
    STATE,
    TIME_MS,
    TYPE,
    UID,
    UID_KEY,
    USER,
    Bytes,
    Table,
)
from server.audit_log.columns.summaries import shift_offsets, summary
from server.audit_log.event import Event
from server.audit_log.timestamps import DAY_MS

_TEXTS = (TYPE, UID, SESSION, USER)
_MOST_SLACK = 4
"""How many times as large as its events the buffer of a block may be."""


class EventBlock:
    """Events in the order they came. `columns.layout` names the table's columns; nothing of it changes."""

    __slots__ = ("bytes", "data", "days", "first_ms", "last_ms", "table")

    def __init__(self, data: Bytes, table: Table) -> None:
        self.data = data
        self.table = table
        self.bytes, self.first_ms, self.last_ms = summary(table)
        """Bytes of JSON; the earliest and the latest time of an event, in ms since 1970. All 0 without events."""
        self.days = self._days()
        """UTC days since 1970 that the events fall on."""

    def __len__(self) -> int:
        return len(self.table)

    def _days(self) -> frozenset[int]:
        first, last = self.first_ms // DAY_MS, self.last_ms // DAY_MS
        if last > first:
            return frozenset((self.table[:, TIME_MS] // DAY_MS).tolist())
        return frozenset((first,)) if len(self.table) else frozenset()

    def event(self, index: int) -> Event:
        """One event; `index` counts from 0 within the block."""
        return next(self.events([index]))

    def events(self, indices: Sequence[int] | NDArray[np.int64]) -> Iterator[Event]:
        """The events at these indices, which count from 0 within the block."""
        return events_of(self.data, self.table[indices])

    def uid(self, index: int) -> str:
        """The uid of one event."""
        start, length = self.table[index, UID : UID + 2].tolist()
        return str(self.data.data[start : start + length], "ascii")

    def uids(self) -> Iterator[tuple[int, str]]:
        """Of each event its place in its message, from 0, and its uid."""
        data = self.data.data
        for index, start, length in self.table[:, (INDEX, UID, UID + 1)].tolist():
            yield index, str(data[start : start + length], "ascii")

    def index(self, event: int) -> int:
        """The place in its message of one event."""
        return int(self.table[event, INDEX])

    def only(self, rows: NDArray[np.bool_]) -> EventBlock:
        """The block without the events whose mark is false."""
        return EventBlock(self.data, self.table[rows])

    def compacted(self) -> EventBlock:
        """The same events in a buffer of their own, where they keep alive one that is many times as large.

        Else a message of megabytes with one small event that is new, the others being refused or repeated, would stay
        in memory as long as that event, and count only for what it is.
        """
        if len(self.data) <= _MOST_SLACK * self.bytes:
            return self
        pieces, at, table = [], 0, self.table.copy()
        for row in table:
            for column, end in ((START, row[END]), *((text, row[text] + row[text + 1]) for text in _TEXTS)):
                pieces.append(self.data[row[column] : end])
                row[column], at = at, at + len(pieces[-1])
            row[END] = row[START] + len(pieces[-len(_TEXTS) - 1])
        return EventBlock(_joined(pieces), table)


def events_of(data: Bytes, table: Table) -> Iterator[Event]:
    """The events of a table's rows, whose offsets are into one buffer."""
    texts = data.data
    for row in table.tolist():
        type_, uid, session, user = [str(texts[row[at] : row[at] + row[at + 1]], "utf-8") for at in _TEXTS]
        yield Event(row[TIME_MS], type_, uid, session, user, bytes(texts[row[START] : row[END]]))


def join_blocks(blocks: Sequence[EventBlock]) -> EventBlock:
    """One block with the events of all, in order."""
    if len(blocks) == 1:
        return blocks[0]
    # Blocks that were validated together have one buffer.
    buffers = [next(same).data for _, same in groupby(blocks, lambda block: id(block.data))]
    places = dict(zip(map(id, buffers), accumulate(map(len, buffers), initial=0), strict=False))
    table = rows_of(blocks)
    if len(buffers) == 1:
        return EventBlock(buffers[0], table)
    shift_offsets(table, owners(blocks), np.array([places[id(block.data)] for block in blocks]))
    return EventBlock(_joined(buffers), table)


def rows_of(blocks: Sequence[EventBlock]) -> Table:
    """The rows of all blocks' tables, in order; their offsets are into each block's own buffer."""
    return blocks[0].table if len(blocks) == 1 else np.concatenate([block.table for block in blocks])


def owners(blocks: Sequence[EventBlock]) -> Table:
    """For each event of all blocks, in order, the number of its block."""
    return np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])


def _joined(pieces: Sequence[Bytes]) -> Bytes:
    return np.frombuffer(b"".join([piece.data for piece in pieces]), np.uint8)


def settled_block(data: Bytes, table: Table, events: Mapping[int, Event], keys: HashKeys) -> EventBlock:
    """The block of a scan, less what was refused.

    Args:
        data, table: what was scanned, and the table of it.
        events: by index in the table the events that the scan couldn't settle and that are accepted all the same; those
            that are in neither are left out.
        keys: of the emitter.
    """
    if not events:
        return EventBlock(data, np.ascontiguousarray(table[table[:, STATE] == 0])).compacted()
    pieces, at = [data.tobytes()], len(data)
    for index, event in events.items():
        row = table[index]
        row[STATE], row[TIME_MS] = 0, event.time_ms
        for column, text in zip((START, *_TEXTS), (event.data, *_texts(event)), strict=True):
            row[column], row[column + 1] = at, len(text)
            pieces.append(text)
            at += len(text)
        row[END] += row[START]
        row[UID_KEY] = uid_key(event.uid.encode(), keys)
    kept = np.ascontiguousarray(table[table[:, STATE] == 0])
    return EventBlock(np.frombuffer(b"".join(pieces), np.uint8), kept).compacted()


def _texts(event: Event) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in (event.type, event.uid, event.session_id, event.user))

"""Event blocks: the accepted events of one message, as a table of offsets into one buffer.

Events are looked at one by one only where someone reads them; on their way to the disk they stay a block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.audit_log.columns.hashing import HashKeys, uid_key
from server.audit_log.columns.layout import (
    END,
    FINGERPRINT,
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
from server.audit_log.event import Event
from server.audit_log.timestamps import DAY_MS

_TEXTS = (TYPE, UID, SESSION, USER)


@dataclass(frozen=True, slots=True)
class EventBlock:
    """Events in the order they came. `columns.layout` names the table's columns; nothing of it changes."""

    data: Bytes
    table: Table

    def __len__(self) -> int:
        return len(self.table)

    @property
    def bytes(self) -> int:
        """Bytes of JSON."""
        return int((self.table[:, END] - self.table[:, START]).sum())

    @property
    def days(self) -> set[int]:
        """UTC days since 1970 that the events fall on."""
        days = self.table[:, TIME_MS] // DAY_MS
        first = int(days[0]) if len(days) else 0
        return {first} if len(days) and (days == first).all() else set(days.tolist())

    def event(self, index: int) -> Event:
        """One event; `index` counts from 0 within the block."""
        row = self.table[index].tolist()
        data = self.data.data
        type_, uid, session, user = (str(data[row[at] : row[at] + row[at + 1]], "utf-8") for at in _TEXTS)
        return Event(row[TIME_MS], type_, uid, session, user, bytes(data[row[START] : row[END]]))

    def uid(self, index: int) -> str:
        """The uid of one event."""
        start, length = self.table[index, UID : UID + 2].tolist()
        return str(self.data.data[start : start + length], "ascii")

    def index(self, event: int) -> int:
        """The place in its message of one event."""
        return int(self.table[event, INDEX])

    def only(self, rows: NDArray[np.bool_]) -> EventBlock:
        """The block without the events whose mark is false."""
        return EventBlock(self.data, self.table[rows])


def join_blocks(blocks: Sequence[EventBlock]) -> EventBlock:
    """One block with the events of all, in order."""
    tables, at = [], 0
    for block in blocks:
        table = block.table.copy()
        table[:, [START, END, *_TEXTS]] += at
        tables.append(table)
        at += len(block.data)
    return EventBlock(np.concatenate([block.data for block in blocks]), np.concatenate(tables))


def settled_block(data: Bytes, table: Table, events: Mapping[int, Event], keys: HashKeys) -> EventBlock:
    """The block of a scan, less what was refused.

    Args:
        data, table: what was scanned, and the table of it.
        events: by index in the table the events that the scan couldn't settle and that are accepted all the same; those
            that are in neither are left out.
        keys: of the emitter.
    """
    if not events:
        return EventBlock(data, np.ascontiguousarray(table[table[:, STATE] == 0]))
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
    return EventBlock(np.frombuffer(b"".join(pieces), np.uint8), np.ascontiguousarray(table[table[:, STATE] == 0]))


def _texts(event: Event) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in (event.type, event.uid, event.session_id, event.user))


def fingerprint(table: Table, index: int) -> bytes:
    """The 16 bytes of one event's fingerprint."""
    return table[index, FINGERPRINT : FINGERPRINT + 2].tobytes()

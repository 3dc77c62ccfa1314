"""The scan of all events of a message: columns, fingerprints and uid keys into one table."""

from __future__ import annotations

import numpy as np

from server.audit_log.columns.compiling import compiled
from server.audit_log.columns.hashing import HashKeys, hash_span
from server.audit_log.columns.layout import (
    COLUMNS,
    END,
    FINGERPRINT,
    INDEX,
    START,
    STATE,
    UID,
    UID_KEY,
    Bytes,
    Table,
)
from server.audit_log.columns.scanner import ALL_KEYS, MAX_DEPTH, scan_event
from server.audit_log.columns.siphash import Word, Words

_NOBODY = np.frombuffer(b"", np.uint8)


@compiled
def _scan_all(
    data: Bytes,
    spans: Table,
    most_bytes: int,
    newest_ms: int,
    own: Bytes,
    reserved: bool,
    print0: Word,
    print1: Word,
    uid0: Word,
    uid1: Word,
    keys: Table,
    bases: Table,
    scratch: Words,
    table: Table,
) -> int:
    """Fill the table; gives the number of events that need `event.parse_event`."""
    slow = 0
    for index in range(len(spans)):
        start, end = spans[index, 0], spans[index, 1]
        row = table[index]
        fine = end - start <= most_bytes and scan_event(data, start, end, newest_ms, own, reserved, keys, bases, row)
        row[START], row[END], row[INDEX] = start, end, index
        low, high = hash_span(data, start, end, print0, print1, scratch)
        row[FINGERPRINT], row[FINGERPRINT + 1] = np.int64(low), np.int64(high)
        if fine:
            row[STATE] = 0
            low, high = hash_span(data, row[UID], row[UID] + row[UID + 1], uid0, uid1, scratch)
            row[UID_KEY] = np.int64(low)
        else:
            row[STATE] = 1
            slow += 1
    return slow


def scan_events(
    data: Bytes,
    spans: Table,
    keys: HashKeys,
    *,
    largest: int,
    newest_ms: int,
    max_bytes: int,
    own: Bytes = _NOBODY,
    reserved: bool = False,
) -> tuple[Table, int]:
    """The table of the events at `spans` (start and end of each), and how many of them the scan couldn't settle.

    Args:
        data: the buffer.
        spans: shape (events, 2).
        keys: of the emitter.
        largest: bytes of the largest event.
        newest_ms: the latest time that an event may have.
        max_bytes: the largest event.
        own: for a component the server id it may speak for.
        reserved: whether types may begin as those of the service's own events do.
    """
    table = np.empty((len(spans), COLUMNS), np.int64)
    scratch = np.empty(largest // 8 + 32, np.uint64)
    slow = _scan_all(
        data,
        spans,
        max_bytes,
        newest_ms,
        own,
        reserved,
        *keys.fingerprint,
        *keys.uid,
        np.empty((ALL_KEYS, 3), np.int64),
        np.empty(MAX_DEPTH + 2, np.int64),
        scratch,
        table,
    )
    return table, slow

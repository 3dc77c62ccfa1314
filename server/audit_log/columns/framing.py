"""The frames of a block's events, as `journal.frames` says, written one after the other by compiled code."""

from __future__ import annotations

from typing import Final

from server.audit_log.columns.compiling import compiled
from server.audit_log.columns.copying import copy_into
from server.audit_log.columns.crc32 import crc32
from server.audit_log.columns.instructions import copy_from
from server.audit_log.columns.layout import END, FINGERPRINT, START, Bytes, Table

FRAME_HEAD: Final = 16
"""Bytes before a frame's payload: magic, type, length, CRC."""
EVENT_HEAD: Final = 34
"""Bytes of an event's payload before receipt and JSON: sequence, received ms, length of the receipt, fingerprint."""
_MAGIC: Final = 0xFF4AFFFE  # the four bytes FE FF 4A FF, as a little-endian number
_EVENT: Final = 2


@compiled
def _put(out: Bytes, at: int, value: int, size: int) -> int:
    target = out[at : at + size]
    for index in range(size):
        target[index] = value >> 8 * index & 255
    return at + size


@compiled
def write_event_frames(
    out: Bytes,
    table: Table,
    owners: Table,
    addresses: Table,
    receipts: Bytes,
    spans: Table,
    received_ms: Table,
    sequence: int,
) -> int:
    """Write a frame for each event of the table, the first with `sequence`; gives where they end.

    Args:
        out: has room for each event's JSON, receipt and both heads.
        table: the events, each with offsets into the buffer of its own submission.
        owners: for each event the number of its submission.
        addresses: where in memory each submission's buffer begins; the caller holds them.
        receipts, spans: the submissions' receipts, and where each begins and ends.
        received_ms: when each submission was received.
        sequence: of the first event.
    """
    at = 0
    for index in range(len(table)):
        row, owner = table[index], owners[index]
        receipt = receipts[spans[owner, 0] : spans[owner, 1]]
        size = row[END] - row[START]
        length = EVENT_HEAD + len(receipt) + size
        payload = at + FRAME_HEAD
        place = _put(out, payload, sequence + index, 8)
        place = _put(out, place, received_ms[owner], 8)
        place = _put(out, place, len(receipt), 2)
        place = _put(out, place, row[FINGERPRINT], 8)
        place = _put(out, place, row[FINGERPRINT + 1], 8)
        copy_into(out, place, receipt)
        place += len(receipt)
        copy_from(out, place, addresses[owner] + row[START], size)
        place += size
        crc = crc32(out[payload:place], _EVENT << 28 ^ length)
        _put(out, at, _MAGIC, 4)
        _put(out, at + 4, _EVENT, 4)
        _put(out, at + 8, length, 4)
        _put(out, at + 12, crc, 4)
        at = place
    return at

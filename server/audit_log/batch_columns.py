"""From the blocks of a section to the columns of its objects, without an object for each event."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from server.audit_log.batch_codec import BatchColumns
from server.audit_log.columns.gathering import gather_texts, uid_prefixes
from server.audit_log.columns.layout import END, SESSION, START, TIME_MS, TYPE, UID, USER
from server.audit_log.event_block import EventBlock, join_blocks
from server.audit_log.tail import TailBlock
from server.audit_log.timestamps import DAY_MS, utc_date

Rows = NDArray[np.int64]
_PREFIX_WORDS = 5
"""Forty bytes of a uid: all of a UUID."""


def columns_by_date(blocks: Sequence[TailBlock]) -> Iterator[tuple[str, BatchColumns]]:
    """For each UTC date of the events, in order, its columns, their rows in the order of searches."""
    if not blocks:
        return
    joined = join_blocks([item.block for item in blocks])
    sequences = np.concatenate([np.arange(item.first, item.last + 1) for item in blocks])
    rows = _in_order(joined)
    days = joined.table[rows, TIME_MS] // DAY_MS
    for of_day in np.split(rows, np.flatnonzero(np.diff(days)) + 1):
        yield utc_date(int(joined.table[of_day[0], TIME_MS])), _columns(joined, sequences, of_day)


def _in_order(block: EventBlock) -> Rows:
    """The rows by (time, uid, digest), and by sequence where all are equal."""
    times = block.table[:, TIME_MS]
    prefixes = np.empty((_PREFIX_WORDS, len(block)), np.uint64)
    uid_prefixes(block.data, block.table, prefixes)
    rows = np.lexsort((*prefixes[::-1], times))
    alike = np.diff(times[rows]) == 0
    for number in prefixes:
        alike &= np.diff(number[rows]) == 0
    # Where all that was compared is equal the rest of the uid decides, and then the digest.
    starts = np.flatnonzero(alike & ~np.concatenate([[False], alike[:-1]])).tolist()
    ends = np.flatnonzero(alike & ~np.concatenate([alike[1:], [False]])).tolist()
    for start, end in zip(starts, ends, strict=True):
        group = rows[start : end + 2]
        rows[start : end + 2] = sorted(group.tolist(), key=lambda row: _place(block, row))
    return rows


def _place(block: EventBlock, row: int) -> tuple[str, bytes, int]:
    start, end = block.table[row, [START, END]].tolist()
    return block.uid(row), hashlib.sha256(block.data.data[start:end]).digest(), row


def _columns(block: EventBlock, sequences: Rows, rows: Rows) -> BatchColumns:
    table = block.table[rows]

    def texts(column: int) -> pa.Array:
        return _texts(block, table[:, column], table[:, column + 1])

    return BatchColumns(
        sequences[rows],
        table[:, TIME_MS],
        texts(TYPE),
        texts(UID),
        texts(SESSION),
        texts(USER),
        _texts(block, table[:, START], table[:, END] - table[:, START]),
    )


def _texts(block: EventBlock, starts: Rows, lengths: Rows) -> pa.Array:
    starts, lengths = np.ascontiguousarray(starts), np.ascontiguousarray(lengths)
    offsets, out = np.empty(len(starts) + 1, np.int32), np.empty(int(lengths.sum()), np.uint8)
    gather_texts(block.data, starts, lengths, offsets, out)
    return pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(out))

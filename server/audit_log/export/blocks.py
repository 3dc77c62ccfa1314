"""Blocks: the events of a chunk as they leave, column by column, about a MiB at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from server.audit_log.batch_codec import BatchColumns
from server.audit_log.batch_decoding import (
    Numbers,
    Texts,
    blocks,
    joined_json,
    json_sizes,
    part_of,
    taken,
    texts_in,
    texts_of,
)
from server.audit_log.batch_record import ReceiptTable
from server.audit_log.column_matching import matching
from server.audit_log.receipts import Emitter
from server.audit_log.search.gaps import told
from server.audit_log.search.page_reader import OMIT_BYTES
from server.audit_log.search.query import EventFilter, Missing, emitter_test
from server.audit_log.stored_batches import BatchRows
from server.storage.query import CUT_CHARACTERS, Filters

BLOCK_ROWS = 20_000
BLOCK_BYTES = 1024 * 1024
"""JSON of a message of several events."""
MESSAGE_BYTES = 3 * 1024 * 1024
"""Largest message of more than one event."""


@dataclass(frozen=True, slots=True)
class EventBlock:
    """Events with consecutive places in a chunk; entry n of each list is of the nth. May be none."""

    storage: str
    log_id: str
    sequences: Numbers
    times_ms: Numbers
    types: Texts
    uids: Texts
    session_ids: Texts
    users: Texts
    json: bytes | memoryview
    json_sizes: Numbers
    """0 where the JSON is left out, as it is larger than an answer takes."""
    emitters: Sequence[tuple[Emitter, str]]
    """With the addresses they called from."""
    emitter_numbers: Numbers
    """Index in `emitters` plus 1; 0 where it isn't known."""
    received_ms: Numbers
    through: int
    """How far the chunk was looked at."""
    done: bool
    missing: Sequence[Missing] = field(default=())


Convert = Callable[[EventBlock], bytes]
"""Encodes a block; called on a thread."""


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    """One message: a block as it was encoded, its number of events, and how far the chunk was looked at."""

    data: bytes
    events: int
    through: int


class ChunkReader:
    """The rows of one chunk that a caller asked for, block by block; used by one export."""

    def __init__(self, rows: BatchRows, after: int, wanted: EventFilter, convert: Convert, *, sees_all: bool) -> None:
        """Without `sees_all`, for one who may see some events only, the chunk is one block: where one ended would tell
        how large the events are that the caller may not see."""
        self._rows = rows
        self._convert = convert
        self._emitter_wanted = emitter_test(wanted)
        columns = rows.columns
        rest = part_of(columns, int(np.searchsorted(columns.sequences, after, side="right")), len(columns.sequences))
        self._parts = _messages(rest) if sees_all else [rest]

    def __len__(self) -> int:
        """The number of blocks, at least one."""
        return len(self._parts)

    def block(self, number: int, filters: Filters, after: int = 0) -> list[EncodedBlock]:
        """The rows of block `number` with sequences above `after` that pass.

        None where none does, but of the last block, which says what is missing.
        """
        part, is_last = self._parts[number], number == len(self._parts) - 1
        part = part_of(part, int(np.searchsorted(part.sequences, after, side="right")), len(part.sequences))
        passing = self._passing(part, filters)
        if not len(passing.sequences) and not is_last:
            return []
        *before, last = _messages(passing)
        through = self._rows.batch.last if is_last else int(last.sequences[-1])
        missing = told(self._rows.missing, sees_all=filters.condition is None)
        found = [each for piece in before for each in self._encoded(piece, int(piece.sequences[-1]), (), done=False)]
        return found + self._encoded(last, through, missing, done=is_last)

    def _encoded(
        self, part: BatchColumns, through: int, missing: Sequence[Missing], *, done: bool
    ) -> list[EncodedBlock]:
        """`missing` goes out with the last one."""
        block = self._block(part, through, missing if done else (), done=done)
        data, rows = self._convert(block), len(part.sequences)
        if len(data) <= MESSAGE_BYTES or rows < 2:
            return [EncodedBlock(data, rows, through)]
        # Of many emitters with long names, say: they count for no block's size.
        half = rows // 2
        before, after = part_of(part, 0, half), part_of(part, half, rows)
        return [
            *self._encoded(before, int(before.sequences[-1]), (), done=False),
            *self._encoded(after, through, missing, done=done),
        ]

    def _passing(self, part: BatchColumns, filters: Filters) -> BatchColumns:
        receipts, wanted = self._rows.receipts, self._emitter_wanted
        if wanted is not None:
            part = taken(part, np.flatnonzero(_emitted_by(part, receipts, wanted)))
        if filters == Filters() or not len(part.sequences):
            return part
        mask = matching(part, filters)
        return part if mask.all() else taken(part, np.flatnonzero(mask))

    def _block(self, part: BatchColumns, through: int, missing: Sequence[Missing], *, done: bool) -> EventBlock:
        batch = self._rows.batch
        json: bytes | memoryview = joined_json(part)
        sizes, users = json_sizes(part), texts_of(part.users)
        if len(sizes) == 1 and sizes[0] + len(users.data) > OMIT_BYTES:
            # Beside others no event is as large: a block of several ends at BLOCK_BYTES.
            json, sizes = b"", np.zeros(1, np.int64)
            users = texts_in([part.users[0].as_py()[:CUT_CHARACTERS]])
        emitters, numbers, received = _receipts(part, self._rows.receipts)
        return EventBlock(
            batch.storage,
            batch.log_id,
            part.sequences,
            part.times_ms,
            texts_of(part.types),
            texts_of(part.uids),
            texts_of(part.session_ids),
            users,
            json,
            sizes,
            emitters,
            numbers,
            received,
            through,
            done,
            missing,
        )


def _messages(columns: BatchColumns) -> list[BatchColumns]:
    """The rows in parts of about a message, at least one."""
    return list(blocks(columns, 0, BLOCK_ROWS, BLOCK_BYTES)) or [columns]


def _emitted_by(
    part: BatchColumns, receipts: ReceiptTable | None, wanted: Callable[[Emitter], bool]
) -> NDArray[np.bool_]:
    """Which rows are of an emitter that is wanted; where that isn't known, they are not."""
    if receipts is None:
        return np.zeros(len(part.sequences), np.bool_)
    numbers, _ = receipts.lookup(part.sequences)
    # One more, false, where the index of what has no receipt points to: the last.
    return np.array([*(wanted(emitter) for emitter, _ in receipts.emitters), False])[numbers]


def _receipts(part: BatchColumns, receipts: ReceiptTable | None) -> tuple[list[tuple[Emitter, str]], Numbers, Numbers]:
    """The emitters of the rows, for each row the index of its own plus 1, and when it was received."""
    if receipts is None:
        return [], np.zeros(len(part.sequences), np.int64), np.zeros(len(part.sequences), np.int64)
    numbers, received = receipts.lookup(part.sequences)
    # One place more, the first, for what has no receipt.
    used = np.bincount(numbers + 1, minlength=len(receipts.emitters) + 1) > 0
    used[0] = False
    known = [receipts.emitters[number] for number in np.flatnonzero(used[1:]).tolist()]
    return known, np.where(used, np.cumsum(used), 0)[numbers + 1], received

"""Parts of a log, wherever they are now: in the tail, in a stored batch, or lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from server.audit_log.batch_decoding import blocks, events, taken
from server.audit_log.column_matching import matching
from server.audit_log.columns.layout import TIME_MS, Bytes, Table
from server.audit_log.columns.selecting import TypeSelection
from server.audit_log.event import Event
from server.audit_log.event_block import events_of, rows_of
from server.audit_log.receipts import Emitter, Receipt, decode_emitter
from server.audit_log.search.query import EventFilter, Missing, emitter_test
from server.audit_log.stored_batches import BatchRows
from server.audit_log.tail import TailBlock
from server.storage.query import Filters

Row = tuple[int, Event, Receipt]
"""Sequence, event, and its receipt, without an emitter where the batch record can't be read."""

_BLOCK_ROWS = 1_000
_BLOCK_BYTES = 1024 * 1024


class Selection:
    """What can be asked of many rows at once. The rest of the filters is asked of each row that is left."""

    def __init__(self, wanted: EventFilter) -> None:
        self.columns = columns = replace(wanted.filters, text="", fields=(), condition=None)
        self.types = TypeSelection(wanted.filters.types) if wanted.filters.types else None
        self.emitter: Callable[[Emitter], bool] | None = emitter_test(wanted)
        by_type = Filters(from_ms=columns.from_ms, to_ms=columns.to_ms, types=columns.types)
        self.is_cheap = self.types is not None and wanted.filters == by_type
        """Whether types and times alone say what is wanted: then events that aren't cost next to nothing."""


class LogPart(Protocol):
    """What follows a place of a log, without a gap."""

    last: int
    """The last sequence of the part."""

    def missing(self) -> Sequence[Missing]:
        """What of it can't be given."""
        ...

    def rows(self, selection: Selection) -> Iterator[Row]:
        """The rows that may be wanted, in the order of sequences."""
        ...


class LostPart:
    """A range that is nowhere."""

    def __init__(self, lost: Missing) -> None:
        self.last = lost.last_sequence
        self._lost = lost

    def missing(self) -> Sequence[Missing]:
        """The range."""
        return (self._lost,)

    def rows(self, _selection: Selection) -> Iterator[Row]:
        """None."""
        return iter(())


class ForeignPart:
    """Events of a storage that isn't watched."""

    def __init__(self, last: int, diverted: Missing | None = None) -> None:
        """`diverted` where they were to go to one that is."""
        self.last = last
        self._diverted = diverted

    def missing(self) -> Sequence[Missing]:
        """What was to go to a storage that is watched."""
        return () if self._diverted is None else (self._diverted,)

    def rows(self, _selection: Selection) -> Iterator[Row]:
        """None."""
        return iter(())


class StoredPart:
    """The rest of a stored batch."""

    def __init__(self, rows: BatchRows, after: int) -> None:
        self.last = rows.batch.last
        self._rows = rows
        self._after = after

    def missing(self) -> Sequence[Missing]:
        """Objects, receipts, and ranges that aren't before the part."""
        return [part for part in self._rows.missing if not part.last_sequence or part.last_sequence > self._after]

    def rows(self, selection: Selection) -> Iterator[Row]:
        """The rows that may be wanted, in the order of sequences."""
        for block in blocks(self._rows.columns, self._after, _BLOCK_ROWS, _BLOCK_BYTES):
            rows = np.flatnonzero(matching(block, selection.columns))
            for sequence, event in events(taken(block, rows)):
                receipt = self._receipt(sequence)
                if selection.emitter is None or _is_by(receipt, selection.emitter):
                    yield sequence, event, receipt

    def _receipt(self, sequence: int) -> Receipt:
        batch, receipts = self._rows.batch, self._rows.receipts
        with contextlib.suppress(LookupError):
            if receipts is not None:
                return receipts.receipt(sequence)
        return Receipt(batch.storage, batch.log_id, sequence)


class TailPart:
    """Committed events that are still in the tail: blocks whose sequences follow each other."""

    def __init__(self, storage: str, log_id: str, items: Sequence[TailBlock], after: int) -> None:
        self.last = items[-1].last
        self._storage = storage
        self._log_id = log_id
        self._items = items
        self._after = after

    def missing(self) -> Sequence[Missing]:
        """Nothing: what is in the tail can be read."""
        return ()

    def rows(self, selection: Selection) -> Iterator[Row]:
        """The rows that may be wanted, in the order of sequences."""
        for (receipt, received_ms), items in groupby(self._items, lambda item: (item.receipt, item.received_ms)):
            if selection.emitter is not None and not selection.emitter(_emitter(receipt)[0]):
                continue
            for found in self._events(list(items), selection):
                emitter, peer = _emitter(receipt)  # here, since most watches find nothing in most blocks
                for sequence, event in found:
                    yield sequence, event, Receipt(self._storage, self._log_id, sequence, emitter, peer, received_ms)

    def _events(self, items: Sequence[TailBlock], selection: Selection) -> Iterator[Iterable[tuple[int, Event]]]:
        # Those that were validated together have one buffer, and are looked through together.
        for _, same in groupby(items, lambda item: id(item.block.data)):
            alike = list(same)
            data, table = alike[0].block.data, rows_of([item.block for item in alike])
            rows = _rows_of(data, table, selection)
            if not len(rows):
                continue
            sequences = np.concatenate([np.arange(item.first, item.last + 1) for item in alike])
            rows = rows[sequences[rows] > self._after]
            for start in range(0, len(rows), _BLOCK_ROWS):
                some = rows[start : start + _BLOCK_ROWS]
                yield zip(sequences[some].tolist(), events_of(data, table[some]), strict=True)


def _emitter(receipt: bytes) -> tuple[Emitter, str]:
    """Emitter and peer, from a block's receipt."""
    return decode_emitter(orjson.loads(receipt))


def _is_by(receipt: Receipt, wanted: Callable[[Emitter], bool]) -> bool:
    """Whether a wanted emitter emitted it; not where nobody knows, which the part's `missing` tells."""
    return receipt.emitter is not None and wanted(receipt.emitter)


def _rows_of(data: Bytes, table: Table, selection: Selection) -> NDArray[np.int64]:
    """Numbers of the rows whose time and type are wanted."""
    rows = np.arange(len(table)) if selection.types is None else selection.types.rows(data, table)
    low, high = selection.columns.from_ms, selection.columns.to_ms
    if low is not None:
        rows = rows[table[rows, TIME_MS] >= low]
    if high is not None:
        rows = rows[table[rows, TIME_MS] < high]
    return rows

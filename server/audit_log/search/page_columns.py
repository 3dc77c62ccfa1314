"""The rows of a page column by column, for pages of which no row needs a Python object of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple, overload

import numpy as np

from server.audit_log.batch_decoding import Numbers, PickedTexts
from server.audit_log.columns.compiling import frozen
from server.audit_log.columns.layout import Bytes
from server.audit_log.columns.sha256 import DIGEST_BYTES, digests
from server.audit_log.receipts import Emitter, Receipt
from server.audit_log.search.query import FoundEvent
from server.storage.query import Position


@dataclass(frozen=True, slots=True)
class Source:
    """What receipts have in common: the log in its storage, who emitted, and from where; None where it isn't known."""

    storage: str
    log_id: str
    emitter: Emitter | None = None
    peer: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptColumns:
    """Receipts; those of row n are ends[n - 1]..ends[n] (exclusive), of the first from 0."""

    ends: Numbers
    sequences: Numbers
    received_ms: Numbers
    source_numbers: Numbers
    """Indexes in `sources`."""
    sources: Sequence[Source]

    def part(self, start: int, end: int) -> ReceiptColumns:
        """Those of the rows start..end (exclusive), of at least one."""
        first, last = int(self.ends[start - 1]) if start else 0, self.ends[end - 1]
        sequences, received, numbers = (
            each[first:last] for each in (self.sequences, self.received_ms, self.source_numbers)
        )
        return ReceiptColumns(self.ends[start:end] - first, sequences, received, numbers, self.sources)

    def of(self, row: int) -> tuple[Receipt, ...]:
        """The receipts of one row."""
        return tuple(map(self._receipt, range(int(self.ends[row - 1]) if row else 0, int(self.ends[row]))))

    def _receipt(self, number: int) -> Receipt:
        source = self.sources[self.source_numbers[number]]
        sequence, received_ms = int(self.sequences[number]), int(self.received_ms[number])
        return Receipt(source.storage, source.log_id, sequence, source.emitter, source.peer, received_ms)


class WrittenRows(NamedTuple):
    """Rows as they are given, one after the other."""

    data: memoryview
    ends: Numbers
    """Where each ends."""

    def part(self, start: int, end: int) -> WrittenRows:
        """The rows start..end (exclusive), without a copy."""
        first = int(self.ends[start - 1]) if start else 0
        return WrittenRows(self.data[first : self.ends[end - 1]], self.ends[start:end] - first)


@dataclass(frozen=True, eq=False)
class PageColumns(Sequence[FoundEvent]):
    """Rows in the order of the page, none of them without its JSON. As a sequence it makes each row when asked for."""

    times_ms: Numbers
    types: PickedTexts
    uids: PickedTexts
    session_ids: PickedTexts
    users: PickedTexts
    json: PickedTexts
    receipts: ReceiptColumns

    def __len__(self) -> int:
        return len(self.times_ms)

    @overload
    def __getitem__(self, index: int) -> FoundEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[FoundEvent]: ...
    def __getitem__(self, index: int | slice) -> FoundEvent | list[FoundEvent]:
        if isinstance(index, slice):
            return [self._row(row) for row in range(*index.indices(len(self)))]
        return self._row(range(len(self))[index])

    def __iter__(self) -> Iterator[FoundEvent]:
        return map(self._row, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of any sequence that is equal by its items

    def position(self, row: int) -> Position:
        """The place of a row."""
        digest = sha256(self.json.text(row)).hexdigest()
        return Position(int(self.times_ms[row]), self.uids.text(row).decode(), digest)

    @cached_property
    def digests(self) -> Bytes:
        """SHA-256 of each JSON, DIGEST_BYTES each."""
        return digests(frozen(self.json.data), frozen(self.json.starts), frozen(self.json.ends))

    def part(self, start: int, end: int) -> PageColumns:
        """The rows start..end (exclusive), of at least one, without a copy; written, where these are."""
        types, uids, sessions, users, json = (
            PickedTexts(each.starts[start:end], each.ends[start:end], each.data)
            for each in (self.types, self.uids, self.session_ids, self.users, self.json)
        )
        receipts = self.receipts.part(start, end)
        part = PageColumns(self.times_ms[start:end], types, uids, sessions, users, json, receipts)
        if (written := self.__dict__.get("_written")) is not None:
            part.__dict__["_written"] = written.part(start, end)
        return part

    def written(self, write: Callable[[PageColumns], WrittenRows]) -> WrittenRows:
        """What `write` makes of the rows, made once: ahead where the page is read ahead."""
        made: WrittenRows | None = self.__dict__.get("_written")
        if made is None:
            made = self.__dict__["_written"] = write(self)
        return made

    def _row(self, row: int) -> FoundEvent:
        columns = (self.types, self.session_ids, self.users)
        type_, session_id, user = (texts.text(row).decode() for texts in columns)
        data = self.json.text(row)
        return FoundEvent(self.position(row), type_, session_id, user, len(data), data, self.receipts.of(row))


def digests_alone(rows: PageColumns) -> WrittenRows:
    """Writes rows as their digests."""
    return WrittenRows(rows.digests.data, DIGEST_BYTES * np.arange(1, len(rows) + 1))

"""The rows of a page column by column, for pages of which no row needs a Python object of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, overload

import numpy as np

from server.audit_log.batch_decoding import Numbers, RowTexts
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


class WritableRows(Sequence[FoundEvent]):
    """Rows in the order of a page that are given all at once, as they are written."""

    @abstractmethod
    def written(self, write: Callable[[PageColumns], WrittenRows]) -> WrittenRows:
        """What `write` makes of the rows, made once: ahead where the page is read ahead."""

    @abstractmethod
    def part(self, start: int, end: int) -> WritableRows:
        """The rows start..end (exclusive), of at least one, without a copy; written, where these are."""


class Tenant:
    """Whoever needs memory that is used again once nobody does."""


class GivenRows(WritableRows):
    """Rows of which there is only what was written: they are counted and given, and can't be looked at."""

    def __init__(self, written: WrittenRows, tenant: Tenant) -> None:
        """`tenant` is there as long as these rows or parts of them are."""
        self._written = written
        self._tenant = tenant

    def __len__(self) -> int:
        return len(self._written.ends)

    @overload
    def __getitem__(self, index: int) -> FoundEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[FoundEvent]: ...
    def __getitem__(self, index: int | slice) -> FoundEvent | list[FoundEvent]:
        raise TypeError("of these rows there is only what was written")

    def written(self, write: Callable[[PageColumns], WrittenRows]) -> WrittenRows:
        """What was written, whatever `write` is."""
        return self._written

    def part(self, start: int, end: int) -> GivenRows:
        """See WritableRows."""
        return GivenRows(self._written.part(start, end), self._tenant)


@dataclass(frozen=True, eq=False)
class PageColumns(WritableRows):
    """Rows in the order of the page, none of them without its JSON. As a sequence it makes each row when asked for."""

    parts: Sequence[RowTexts]
    """What the rows are of, where it is: it is joined when it is written."""
    numbers: Numbers
    """The part that each row is of."""
    rows: Numbers
    """Which row of its part each is."""
    times_ms: Numbers
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
        texts = self.parts[self.numbers[row]]
        uid, json = texts.uids.text(self.rows[row]), texts.json.text(self.rows[row])
        return Position(int(self.times_ms[row]), uid.decode(), sha256(json).hexdigest())

    def by_part(self) -> Iterator[tuple[RowTexts, Numbers]]:
        """Each part with the numbers of its rows in the page, ascending; those that have some."""
        for number, texts in enumerate(self.parts):
            if len(found := np.flatnonzero(self.numbers == number)):
                yield texts, found

    def part(self, start: int, end: int) -> PageColumns:
        """See WritableRows."""
        numbers, rows, times = (each[start:end] for each in (self.numbers, self.rows, self.times_ms))
        part = PageColumns(self.parts, numbers, rows, times, self.receipts.part(start, end))
        if (written := self.__dict__.get("_written")) is not None:
            part.__dict__["_written"] = written.part(start, end)
        return part

    def written(self, write: Callable[[PageColumns], WrittenRows]) -> WrittenRows:
        """See WritableRows."""
        made: WrittenRows | None = self.__dict__.get("_written")
        if made is None:
            made = self.__dict__["_written"] = write(self)
        return made

    def _row(self, row: int) -> FoundEvent:
        texts, number = self.parts[self.numbers[row]], self.rows[row]
        type_, session_id, user = (each.text(number).decode() for each in (texts.types, texts.session_ids, texts.users))
        data = texts.json.text(number)
        return FoundEvent(self.position(row), type_, session_id, user, len(data), data, self.receipts.of(row))


def digests_of(texts: RowTexts, rows: Numbers) -> Bytes:
    """SHA-256 of the JSON of these rows of a part, DIGEST_BYTES each."""
    offsets, data = texts.json
    starts = offsets - offsets[0]
    return digests(data, starts[:-1][rows], starts[1:][rows])


def digests_alone(rows: PageColumns) -> WrittenRows:
    """Writes rows as their digests."""
    out = np.empty((len(rows), DIGEST_BYTES), np.uint8)
    for texts, found in rows.by_part():
        out[found] = digests_of(texts, rows.rows[found]).reshape(-1, DIGEST_BYTES)
    return WrittenRows(out.reshape(-1).data, DIGEST_BYTES * np.arange(1, len(rows) + 1))

"""Making pages by columns: a page is slices of a few objects, merged and cut. Whatever is rare or odd isn't for it.

It knows neither storages nor state: the service makes pages so, and so does the process that makes them ahead.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import numpy as np

from server.audit_log.batch_codec import BatchColumns
from server.audit_log.batch_decoding import Numbers, RowTexts, Texts, bytes_of, json_sizes, row_texts, taken
from server.audit_log.batch_record import ReceiptTable
from server.audit_log.columns.compiling import compiled
from server.audit_log.search.candidates import MOST_EQUAL_ROWS
from server.audit_log.search.decoded_objects import MOST_BYTES
from server.audit_log.search.merging import MergedRows, Span, Unsuited, merged
from server.audit_log.search.page_columns import PageColumns, ReceiptColumns, Source, WritableRows
from server.audit_log.search.pages_ahead import Asked
from server.state.catalogue_rows import CatalogueObject
from server.storage.query import Position

MOST_OBJECTS: Final = 16
"""Of one run."""
COLUMN_BYTES: Final = 256
"""Of the columns of a row beside its JSON. Where they are longer they count for the size of a page: an answer with as
many rows as a page may have must stay below the 4 MiB that a default client takes."""


@dataclass(frozen=True, slots=True)
class PageBounds:
    """What a page holds: bytes of JSON, those of one row, and how many each further receipt of a row counts for."""

    page: int
    row: int
    receipt: int


class ObjectReading(Protocol):
    """Where the columns of objects and their receipts come from."""

    def columns(self, item: CatalogueObject, deadline: float) -> BatchColumns:
        """The rows of an object, in order of time.

        Raises:
            Unsuited, OddObject, StorageError: it can't be read by columns now.
        """
        ...

    def receipts(self, items: Sequence[CatalogueObject], deadline: float) -> Sequence[ReceiptTable | None]:
        """Of each object those of its batch; None where they can't be read, or there was no time to look."""
        ...


class RunPage(NamedTuple):
    """One page of a run: its rows end there, the next page begins behind `end` (None at the end of the search), and
    these are the objects with rows of its times."""

    cut: int
    end: Position | None
    objects: Sequence[CatalogueObject]


@dataclass(frozen=True, slots=True)
class Run:
    """Pages that follow each other."""

    rows: WritableRows
    """Of all pages."""
    pages: Sequence[RunPage]
    objects: Sequence[CatalogueObject]
    """Those that were read."""
    without_receipts: Collection[CatalogueObject]
    """Objects with rows of which nobody can tell now who emitted them."""
    size: int
    """What it takes in memory, in bytes."""


class PageMaker:
    """Makes runs of pages. Safe to use from several threads if its reading is."""

    def __init__(self, reading: ObjectReading, bounds: PageBounds) -> None:
        self._reading = reading
        self._bounds = bounds

    def run(self, asked: Asked, most: int, deadline: float, *, has_others: bool = False) -> Run:
        """The page that is asked for, and those after it: at most so many. `has_others`: there are further objects,
        behind those that are given.

        Raises:
            Unsuited, OddObject, StorageError: it can't be made by columns now.
        """
        page_rows = asked.span.rows - 1
        span = replace(asked.span, rows=most * page_rows + 1)
        read, size, is_all = self._read(asked, span, deadline)
        items, parts = [item for item, _ in read], [part for _, part in read]
        if is_all and has_others:
            raise Unsuited
        # As many rows as were wanted: slices end there, and may have more.
        is_all = is_all and span.last_time(parts) is None
        found = merged(parts, span)
        cuts = self._cuts(found, page_rows, most, is_all=is_all)
        receipts, unknown = self._receipts(found, found.ends[: cuts[-1]], items, deadline)
        rows = self._page(found, found.firsts[: cuts[-1]], receipts)
        times = found.times_ms[found.firsts]
        pages: list[RunPage] = []
        for start, cut in pairwise([0, *cuts]):
            end = rows.position(cut - 1) if cut < len(times) else None
            first, last = sorted((times[start], times[min(cut, len(times) - 1)]))
            pages.append(RunPage(cut, end, [item for item in items if item.last_ms >= first and item.first_ms <= last]))
        return Run(rows, pages, items, unknown, size)

    def _read(
        self, asked: Asked, span: Span, deadline: float
    ) -> tuple[list[tuple[CatalogueObject, BatchColumns]], int, bool]:
        """The slices that the span's first rows are in, by key of their objects; the bytes of those, and whether there
        are no others."""
        waiting = in_order(asked.objects, span)
        read: list[tuple[CatalogueObject, BatchColumns]] = []
        size = 0
        is_all = True
        for item in waiting:
            last = span.last_time([part for _, part in read])
            if last is not None and (item.last_ms < last if span.newest_first else item.first_ms > last):
                is_all = False
                break
            if item.is_foreign or len(read) == MOST_OBJECTS or time.monotonic() >= deadline:
                raise Unsuited
            columns = self._reading.columns(item, deadline)
            size += bytes_of(columns)
            if size > MOST_BYTES:
                raise Unsuited
            counted = asked.counted.get(item.log_id, 0)
            if item.last > counted:
                columns = taken(columns, np.flatnonzero(columns.sequences <= counted))
            read.append((item, span.slice_of(columns)))
        return sorted(read, key=_key), size, is_all

    def _cuts(self, found: MergedRows, page_size: int, most: int, *, is_all: bool) -> Sequence[int]:
        """Where pages end, of which the first begins with the first of these rows; equal ones count as one.

        Raises:
            Unsuited: there is no page that is known to be whole.
        """
        equal = found.ends - found.firsts
        if not len(equal) or equal.max() > MOST_EQUAL_ROWS:
            raise Unsuited
        sizes = _of_rows(found, found.firsts, [json_sizes(part) for part in found.parts])
        taken = sizes + self._bounds.receipt * (equal - 1)
        cuts = [0]
        while cuts[-1] < len(sizes) and len(cuts) <= most:
            page = slice(cuts[-1], cuts[-1] + page_size)
            before = np.cumsum(taken[page]) - taken[page]
            fits = before + sizes[page] <= self._bounds.page
            fits[0] = True
            end = cuts[-1] + (len(fits) if fits.all() else int(np.argmin(fits)))
            if not is_all and end == len(sizes):
                break  # so many rows are equal that there may be more to this page
            cuts.append(end)
        if len(cuts) == 1:
            raise Unsuited
        return cuts[1:]

    def _page(self, found: MergedRows, chosen: Numbers, receipts: ReceiptColumns) -> PageColumns:
        rows = PageColumns(
            [row_texts(part) for part in found.parts],
            found.numbers[chosen],
            found.rows[chosen],
            found.times_ms[chosen],
            receipts,
        )
        for texts, of_part in rows.by_part():
            if not are_within(texts, rows.rows[of_part], COLUMN_BYTES, self._bounds.row - COLUMN_BYTES):
                raise Unsuited
        return rows

    def _receipts(
        self, found: MergedRows, ends: Numbers, items: Sequence[CatalogueObject], deadline: float
    ) -> tuple[ReceiptColumns, list[CatalogueObject]]:
        """The receipts of the rows up to the last of `ends`, and the objects that have some of which there is none."""
        sequences = _of_rows(found, np.arange(ends[-1]), [part.sequences for part in found.parts])
        parts = found.numbers[: ends[-1]]
        received, numbers = np.zeros(len(sequences), np.int64), np.empty(len(sequences), np.int64)
        sources: list[Source] = []
        unknown: list[CatalogueObject] = []
        used_parts = np.flatnonzero(np.bincount(parts)).tolist()
        tables = self._reading.receipts([items[part] for part in used_parts], deadline)
        for part, table in zip(used_parts, tables, strict=True):
            item, of_part = items[part], parts == part
            emitters = np.full(np.count_nonzero(of_part), -1)
            if table is not None:
                emitters, received[of_part] = table.lookup(sequences[of_part])
            used = np.flatnonzero(np.bincount(emitters + 1)) - 1
            numbers[of_part] = len(sources) + np.searchsorted(used, emitters)
            known = [table.emitters[number] if table and number >= 0 else (None, "") for number in used.tolist()]
            sources += [Source(item.storage, item.log_id, *each) for each in known]
            unknown += [item] if used[0] < 0 else []
        return ReceiptColumns(ends, sequences, received, numbers, sources), unknown


@compiled
def are_within(texts: RowTexts, rows: Numbers, most_beside: int, most_json: int) -> bool:
    """Whether the JSON of no row is longer, nor its other texts together."""
    for row in rows:
        beside = _length(texts.types, row) + _length(texts.uids, row)
        beside += _length(texts.session_ids, row) + _length(texts.users, row)
        if beside > most_beside or _length(texts.json, row) > most_json:
            return False
    return True


@compiled
def _length(texts: Texts, row: int) -> int:
    return int(texts.offsets[row + 1] - texts.offsets[row])


def _of_rows(found: MergedRows, chosen: Numbers, columns: Sequence[Numbers]) -> Numbers:
    """The values of the chosen rows, out of a column for each part."""
    starts = np.cumsum([0, *map(len, columns)])
    return np.concatenate(columns)[starts[found.numbers[chosen]] + found.rows[chosen]]


def in_order(objects: Sequence[CatalogueObject], span: Span) -> Sequence[CatalogueObject]:
    """Objects in the order in which a span needs them."""
    return sorted(objects, key=_newest if span.newest_first else _oldest, reverse=span.newest_first)


def _newest(item: CatalogueObject) -> int:
    return item.last_ms


def _oldest(item: CatalogueObject) -> int:
    return item.first_ms


def _key(read: tuple[CatalogueObject, BatchColumns]) -> str:
    return read[0].key

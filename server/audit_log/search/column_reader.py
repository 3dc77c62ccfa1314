"""Reading a page by columns: where nothing but time chooses, a page is slices of a few objects, merged and cut.

It makes the pages that are made row by row, for much less, or none at all: whatever is rare or odd is left to that way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import inf
from typing import Final, NamedTuple

import numpy as np

from server.audit_log.batch_codec import BatchColumns
from server.audit_log.batch_decoding import Numbers, bytes_of, json_sizes, picked, taken
from server.audit_log.batch_record import ReceiptTable
from server.audit_log.cuts import Cut
from server.audit_log.search.candidates import MOST_EQUAL_ROWS, time_span
from server.audit_log.search.decoded_objects import MOST_BYTES, DecodedObjects, OddObject
from server.audit_log.search.merging import MergedRows, Span, Unsuited, merged
from server.audit_log.search.origins import Origins, OriginUnknown
from server.audit_log.search.page_columns import PageColumns, ReceiptColumns, Source, WrittenRows
from server.audit_log.search.pages_ahead import Asked, Made, PagesAhead
from server.audit_log.search.query import SearchQuery, Watermark
from server.audit_log.storages import Storages
from server.state.catalogue import CatalogueObject
from server.storage.ports import StorageError
from server.storage.query import Filters, Position

_MOST_OBJECTS: Final = 16
_MOST_AHEAD: Final = 4
"""Pages that are read ahead at once: what doesn't depend on the number of rows is done once for them."""
_MOST_COLUMN_BYTES: Final = 1024
"""Of the columns of a row beside its JSON. Where they are longer they count for the size of a page."""


class ColumnPage(NamedTuple):
    """A page, where the next one begins (None at the end of the search), and the objects that it was made of."""

    rows: PageColumns
    end: Position | None
    objects: Sequence[CatalogueObject]
    without_receipts: Collection[CatalogueObject]
    """Objects with rows of which nobody can tell now who emitted them."""
    prepare_next: Callable[[], None] | None = None
    """Reads the next page ahead; None where there is none."""


@dataclass(frozen=True, slots=True)
class PageBounds:
    """What a page holds: bytes of JSON, those of one row, and how many each further receipt of a row counts for."""

    page: int
    row: int
    receipt: int


class ColumnReader:
    """Reads pages by columns. Safe to use from several threads."""

    def __init__(
        self,
        storages: Storages,
        origins: Origins,
        is_intact: Callable[[CatalogueObject], bool],
        bounds: PageBounds,
        write: Callable[[PageColumns], WrittenRows],
    ) -> None:
        """`write` is what becomes of a page that is read ahead; see PageColumns.written."""
        self._storages = storages
        self._origins = origins
        self._is_intact = is_intact
        self._bounds = bounds
        self._write = write
        self._decoded = DecodedObjects()
        self._ahead: PagesAhead[ColumnPage] = PagesAhead()

    def page(
        self,
        query: SearchQuery,
        watermark: Watermark,
        start: Position | None,
        objects: Sequence[CatalogueObject],
        deadline: float,
    ) -> ColumnPage | None:
        """The page beyond `start` of what the objects hold; None where it has to be read row by row."""
        if query.emitters or query.emitter_kinds or replace(query.filters, from_ms=None, to_ms=None) != Filters():
            return None
        low, high = time_span(query.filters, query.order, start)
        asked = _asked(Span(query.order, low, high, start, query.page_size + 1), watermark.logs, objects)
        page = self._ahead.take(asked, deadline)
        try:
            if page is None or not all(map(self._is_intact, page.objects)):
                page = self._made(asked, deadline)[0].page
        except (Unsuited, OddObject, StorageError):
            return None
        return page

    def _following(self, asked: Asked, end: Position) -> Asked:
        """What is asked for the page after one that ends there."""
        span = asked.span
        low, high = time_span(Filters(span.low, span.high), span.order, end)
        return _asked(replace(span, low=low, high=high, beyond=end), asked.counted, asked.objects)

    def _reading(self, asked: Asked, end: Position | None, most: int) -> Callable[[], None] | None:
        """Reads so many pages after one of what was asked; None where there is none."""
        if end is None:
            return None
        following = self._following(asked, end)
        if any(self._storages.of(storage).compares_digests for storage in {item.storage for item in following.objects}):
            return None  # what has to be fetched is fetched for those alone who ask for it
        return partial(self._ahead.read, following, partial(self._made_ahead, following, most))

    def _made_ahead(self, asked: Asked, most: int) -> Sequence[Made[ColumnPage]]:
        """Pages that follow each other, written; none where they have to be made when they are asked for."""
        while most:
            with contextlib.suppress(Unsuited, OddObject, StorageError):
                made = self._made(asked, inf, most)
                if not made[0].page.without_receipts:  # somebody may have put back what tells of them by then
                    return made
            most //= 2  # fewer may do
        return ()

    def _made(self, asked: Asked, deadline: float, most: int = 0) -> Sequence[Made[ColumnPage]]:
        """The page, or ahead of its being asked for, written, and with those after it: `most`."""
        span = replace(asked.span, rows=(most or 1) * (asked.span.rows - 1) + 1)
        read, size, is_all = self._read(asked, span, deadline)
        items, parts = [item for item, _ in read], [part for _, part in read]
        # As many rows as were wanted: slices end there, and may have more.
        is_all = is_all and span.last_time(parts) is None
        found = merged(parts, span)
        cuts = self._cuts(found, asked.span.rows - 1, most or 1, is_all=is_all)
        rows = found.rows[found.firsts]
        receipts, unknown = self._receipts(found, found.ends[: cuts[-1]], items, deadline)
        run = self._page(found.columns, rows[: cuts[-1]], receipts)
        size += run.written(self._write).data.nbytes if most else 0
        times = found.columns.times_ms[rows]
        made: list[Made[ColumnPage]] = []
        for start, cut in pairwise([0, *cuts]):
            end = run.position(cut - 1) if cut < len(rows) else None
            ends = sorted((times[start], times[min(cut, len(rows) - 1)]))
            objects = [item for item in items if item.last_ms >= ends[0] and item.first_ms <= ends[1]]
            page = ColumnPage(run.part(start, cut), end, objects if most else items, unknown)
            # All are parts of the same memory, which the last one keeps: they are taken, and make room, in order.
            made.append(Made(asked, page, size if cut == cuts[-1] else 0))
            if end is not None:
                asked = self._following(asked, end)
        last = made[-1]
        prepare = self._reading(last.asked, last.page.end, min(2 * most or 1, _MOST_AHEAD))
        return [replace(each, page=each.page._replace(prepare_next=prepare)) for each in made]

    def _read(
        self, asked: Asked, span: Span, deadline: float
    ) -> tuple[list[tuple[CatalogueObject, BatchColumns]], int, bool]:
        """The slices that the span's first rows are in, by key of their objects; the bytes of those, and whether there
        are no others."""
        waiting = sorted(asked.objects, key=_newest if span.newest_first else _oldest, reverse=span.newest_first)
        read: list[tuple[CatalogueObject, BatchColumns]] = []
        size = 0
        is_all = True
        for item in waiting:
            last = span.last_time([part for _, part in read])
            if last is not None and (item.last_ms < last if span.newest_first else item.first_ms > last):
                is_all = False
                break
            if item.is_foreign or len(read) == _MOST_OBJECTS or time.monotonic() >= deadline:
                raise Unsuited
            columns = self._columns(item, deadline)
            size += bytes_of(columns)
            if size > MOST_BYTES:
                raise Unsuited
            counted = asked.counted.get(item.log_id, 0)
            if item.last > counted:
                columns = taken(columns, np.flatnonzero(columns.sequences <= counted))
            read.append((item, span.slice_of(columns)))
        return sorted(read, key=_key), size, is_all

    def _columns(self, item: CatalogueObject, deadline: float) -> BatchColumns:
        with self._storages.local([item], deadline) as found:
            path = found[item.key]
            if isinstance(path, StorageError) or not self._is_intact(item):
                raise Unsuited
            return self._decoded.columns(item, path)

    def _cuts(self, found: MergedRows, page_size: int, most: int, *, is_all: bool) -> Sequence[int]:
        """Where pages end, of which the first begins with the first of these rows; equal ones count as one.

        Raises:
            Unsuited: there is no page that is known to be whole.
        """
        equal = found.ends - found.firsts
        if not len(equal) or equal.max() > MOST_EQUAL_ROWS:
            raise Unsuited
        sizes = json_sizes(found.columns)[found.rows[found.firsts]]
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

    def _page(self, columns: BatchColumns, rows: Numbers, receipts: ReceiptColumns) -> PageColumns:
        page = PageColumns(
            columns.times_ms[rows],
            picked(columns.types, rows),
            picked(columns.uids, rows),
            picked(columns.session_ids, rows),
            picked(columns.users, rows),
            picked(columns.data, rows),
            receipts,
        )
        beside = page.types.lengths + page.uids.lengths + page.session_ids.lengths + page.users.lengths
        if beside.max() > _MOST_COLUMN_BYTES or page.json.lengths.max() > self._bounds.row - _MOST_COLUMN_BYTES:
            raise Unsuited
        return page

    def _receipts(
        self, found: MergedRows, ends: Numbers, items: Sequence[CatalogueObject], deadline: float
    ) -> tuple[ReceiptColumns, list[CatalogueObject]]:
        """The receipts of the rows up to the last of `ends`, and the objects that have some of which there is none."""
        sequences, parts = found.columns.sequences[found.rows[: ends[-1]]], found.parts[: ends[-1]]
        received, numbers = np.zeros(len(sequences), np.int64), np.empty(len(sequences), np.int64)
        sources: list[Source] = []
        unknown: list[CatalogueObject] = []
        used_parts: list[int] = np.unique(parts).tolist()
        self._origins.begin_receipts([items[part] for part in used_parts])
        for part in used_parts:
            item, of_part = items[part], parts == part
            emitters, table = np.full(np.count_nonzero(of_part), -1), self._table(item, deadline)
            if table is not None:
                emitters, received[of_part] = table.lookup(sequences[of_part])
            used = np.unique(emitters)
            numbers[of_part] = len(sources) + np.searchsorted(used, emitters)
            known = [table.emitters[number] if table and number >= 0 else (None, "") for number in used.tolist()]
            sources += [Source(item.storage, item.log_id, *each) for each in known]
            unknown += [item] if used[0] < 0 else []
        return ReceiptColumns(ends, sequences, received, numbers, sources), unknown

    def _table(self, item: CatalogueObject, deadline: float) -> ReceiptTable | None:
        """The receipts of an object's batch; None where they can't be read, or there was no time to look."""
        if time.monotonic() >= deadline:
            return None
        with contextlib.suppress(OriginUnknown):
            return self._origins.receipts(Cut(item.log_id, item.first, item.last, item.storage))
        return None


def _asked(span: Span, counted: Mapping[str, int], objects: Sequence[CatalogueObject]) -> Asked:
    return Asked(span, counted, [item for item in objects if item.last_ms >= span.low and item.first_ms < span.high])


def _newest(item: CatalogueObject) -> int:
    return item.last_ms


def _oldest(item: CatalogueObject) -> int:
    return item.first_ms


def _key(read: tuple[CatalogueObject, BatchColumns]) -> str:
    return read[0].key

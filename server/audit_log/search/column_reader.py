"""Reading a page by columns: where nothing but time chooses, and nothing is odd. The pages that follow are read ahead.

It gives the pages that are made row by row, for much less, or none at all: the rest is left to that way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Final, NamedTuple, Protocol

from server.audit_log.batch_codec import BatchColumns
from server.audit_log.batch_record import ReceiptTable
from server.audit_log.cuts import Cut
from server.audit_log.search.candidates import time_span
from server.audit_log.search.decoded_objects import DecodedObjects, OddObject
from server.audit_log.search.merging import Span, Unsuited
from server.audit_log.search.origins import Origins, OriginUnknown
from server.audit_log.search.page_columns import GivenRows, PageColumns, WritableRows, WrittenRows
from server.audit_log.search.page_making import PageBounds, PageMaker, Run
from server.audit_log.search.pages_ahead import Asked, Made, PagesAhead
from server.audit_log.search.query import SearchQuery, Watermark
from server.audit_log.storages import Storages
from server.state.catalogue_rows import CatalogueObject
from server.storage.ports import StorageError
from server.storage.query import Filters, Position

_MOST_AHEAD: Final = 4
"""Pages that are read ahead at once: what doesn't depend on the number of rows is done once for them."""
_LONG_WALK: Final = 64
"""Pages of a walk that are made here before it is worth it to begin what makes others elsewhere: that takes as long."""


class ColumnPage(NamedTuple):
    """A page, where the next one begins (None at the end of the search), and the objects that it was made of."""

    rows: WritableRows
    end: Position | None
    objects: Sequence[CatalogueObject]
    without_receipts: Collection[CatalogueObject]
    """Objects with rows of which nobody can tell now who emitted them."""
    prepare_next: _ReadingAhead | None = None
    """Reads the next page ahead; None where there is none, or it is being read."""


@dataclass(frozen=True, slots=True)
class _ReadingAhead:
    """Reads the pages ahead that follow a run."""

    following: Asked
    ahead: PagesAhead[ColumnPage]
    make: Callable[[], Sequence[Made[ColumnPage]]]

    def __call__(self, is_alone: Callable[[], bool] = bool) -> None:
        """Read them, and those after them while `is_alone` and either whoever walks through them has to wait, or they
        are made elsewhere and few are waiting."""
        last, is_waited_for = self.ahead.read(self.following, self.make)
        while last is not None and last.prepare_next is not None and is_alone():
            if not is_waited_for and (isinstance(last.rows, PageColumns) or self.ahead.has_enough):
                return
            last, is_waited_for = self.ahead.read(last.prepare_next.following, last.prepare_next.make)


class MakingElsewhere(Protocol):
    """Makes runs of pages without this process's interpreter."""

    def run(self, asked: Asked, most: int, reading: StoredReading) -> Run | None:
        """Pages that are written; None where they have to be made here."""
        ...

    def begin(self) -> None:
        """Have it get ready to make some, if it isn't: nobody waits for it."""
        ...


class StoredReading:
    """The columns and receipts of stored objects. Safe to use from several threads."""

    def __init__(self, storages: Storages, origins: Origins, is_intact: Callable[[CatalogueObject], bool]) -> None:
        self._storages = storages
        self._origins = origins
        self.is_intact = is_intact
        self._decoded = DecodedObjects()

    def columns(self, item: CatalogueObject, deadline: float) -> BatchColumns:
        """See ObjectReading."""
        with self._storages.local([item], deadline) as found:
            path = found[item.key]
            if isinstance(path, StorageError) or not self.is_intact(item):
                raise Unsuited
            return self._decoded.columns(item, path)

    def receipts(self, items: Sequence[CatalogueObject], deadline: float) -> Sequence[ReceiptTable | None]:
        """See ObjectReading."""
        self._origins.begin_receipts(items)
        return [self._table(item, deadline) for item in items]

    def path(self, item: CatalogueObject) -> str:
        """Where an object of a storage on this machine is."""
        return self._storages.path_of(item)

    def _table(self, item: CatalogueObject, deadline: float) -> ReceiptTable | None:
        if time.monotonic() >= deadline:
            return None
        with contextlib.suppress(OriginUnknown):
            return self._origins.receipts(Cut(item.log_id, item.first, item.last, item.storage))
        return None


class ColumnReader:
    """Reads pages by columns. Safe to use from several threads."""

    def __init__(
        self,
        storages: Storages,
        origins: Origins,
        is_intact: Callable[[CatalogueObject], bool],
        bounds: PageBounds,
        write: Callable[[PageColumns], WrittenRows],
        elsewhere: MakingElsewhere | None = None,
    ) -> None:
        """`write` is what becomes of a page that is read ahead; see PageColumns.written. `elsewhere` does the same."""
        self._storages = storages
        self._is_intact = is_intact
        self._write = write
        self._elsewhere = elsewhere
        self._reading = StoredReading(storages, origins, is_intact)
        self._maker = PageMaker(self._reading, bounds)
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
                run = self._maker.run(asked, 1, deadline)
                page = self._pages(asked, run, before=0)[0].page._replace(objects=run.objects)
        except (Unsuited, OddObject, StorageError):
            return None
        return page._replace(prepare_next=self._next_to_read(page))

    def _next_to_read(self, page: ColumnPage) -> _ReadingAhead | None:
        """What is to be read ahead behind what was; None where it is being read, or enough waits."""
        step = page.prepare_next
        while step is not None and (found := self._ahead.found(step.following.span)) is not None:
            step = found.prepare_next if isinstance(found.rows, GivenRows) else None
        return step if step is page.prepare_next or not self._ahead.has_enough else None

    def _reading_ahead(self, asked: Asked, end: Position | None, before: int) -> _ReadingAhead | None:
        """Reads the pages that follow one of what was asked, behind so many of the walk; None where there is none."""
        if end is None:
            return None
        following = _following(asked, end)
        if any(self._storages.of(storage).compares_digests for storage in {item.storage for item in following.objects}):
            return None  # what has to be fetched is fetched for those alone who ask for it
        return _ReadingAhead(following, self._ahead, partial(self._made_ahead, following, before))

    def _made_ahead(self, asked: Asked, before: int) -> Sequence[Made[ColumnPage]]:
        """Pages that follow each other, written; none where they have to be made when they are asked for. As many as
        there were before in the walk, within bounds."""
        most = min(before, _MOST_AHEAD)
        if self._elsewhere is None:
            return self._made_here(asked, most, before)
        run = self._elsewhere.run(asked, most, self._reading)
        if run is not None:
            return self._pages(asked, run, before)
        made = self._made_here(asked, most, before)
        # Beginning it takes a processor, which whoever walks now would wait for: it is for the rest of a long walk, and
        # for the next one.
        if before >= _LONG_WALK or (most == _MOST_AHEAD and made and made[-1].page.end is None):
            self._elsewhere.begin()
        return made

    def _made_here(self, asked: Asked, most: int, before: int) -> Sequence[Made[ColumnPage]]:
        while most:
            with contextlib.suppress(Unsuited, OddObject, StorageError):
                run = self._maker.run(asked, most, inf)
                if not run.without_receipts:  # somebody may have put back what tells of them by then
                    size = run.size + run.rows.written(self._write).data.nbytes
                    return self._pages(asked, replace(run, size=size), before)
            most //= 2  # fewer may do
        return ()

    def _pages(self, asked: Asked, run: Run, before: int) -> Sequence[Made[ColumnPage]]:
        """The pages of a run behind so many of the walk; behind them others are read ahead."""
        made: list[Made[ColumnPage]] = []
        start = 0
        for cut, end, objects in run.pages:
            page = ColumnPage(run.rows.part(start, cut), end, objects, run.without_receipts)
            # All are parts of the same memory, which the last one keeps: they are taken, and make room, in order.
            made.append(Made(asked, page, run.size if cut == len(run.rows) else 0))
            start = cut
            if end is not None:
                asked = _following(asked, end)
        last = made[-1]
        prepare = self._reading_ahead(last.asked, last.page.end, before + len(made))
        return [replace(each, page=each.page._replace(prepare_next=prepare)) for each in made]


def _following(asked: Asked, end: Position) -> Asked:
    """What is asked for the page after one that ends there."""
    span = asked.span
    low, high = time_span(Filters(span.low, span.high), span.order, end)
    return _asked(replace(span, low=low, high=high, beyond=end), asked.counted, asked.objects)


def _asked(span: Span, counted: Mapping[str, int], objects: Sequence[CatalogueObject]) -> Asked:
    return Asked(span, counted, [item for item in objects if item.last_ms >= span.low and item.first_ms < span.high])

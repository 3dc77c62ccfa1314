"""Reading one page of a plan: merge tail and objects, collapse equal rows, stop when the page is full."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from operator import attrgetter

import orjson

from server.audit_log.batch_record import tail_receipt
from server.audit_log.event import stored_event
from server.audit_log.foreign import RECORD_GONE
from server.audit_log.receipts import Receipt, decode_emitter
from server.audit_log.search.candidates import (
    MOST_EQUAL_ROWS,
    Candidate,
    StoredRead,
    TailCandidate,
    tail_candidates,
    time_span,
)
from server.audit_log.search.column_reader import ColumnReader
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.search.origins import NO_ORIGIN, ObjectOrigin, Origins, RowSelection
from server.audit_log.search.page_making import COLUMN_BYTES, PageBounds
from server.audit_log.search.query import (
    Cost,
    FoundEvent,
    Missing,
    MissingReason,
    PrepareNext,
    SearchQuery,
    Watermark,
    emitter_test,
    reason_of,
)
from server.audit_log.search.stored_sizes import StoredSizes
from server.audit_log.storages import Storages
from server.audit_log.tail import Pinned, TailRow
from server.errors import DeadlineExceeded
from server.state.catalogue_rows import CatalogueObject
from server.storage.matching import compile_filters
from server.storage.ports import ScanEngine, StorageError, StorageTimeout
from server.storage.query import CUT_CHARACTERS, Filters, Order, Position

PAGE_BYTES = 1536 * 1024
"""JSON of a page of several rows; see MAX_PAGE_SIZE."""
OMIT_BYTES = 3 * 1024 * 1024
"""Largest JSON, user and names of foreign objects in a row: the rest of it fits into a default client's 4 MiB."""
RECEIPT_BYTES = 256
"""What a further receipt of a row counts for the size of a page."""
PAGE_BOUNDS = PageBounds(PAGE_BYTES, OMIT_BYTES, RECEIPT_BYTES)
_POSITION = attrgetter("position")
_AHEAD = 2
"""Rows read beyond the page: one shows that there is another page, one more that the first is whole."""


@dataclass(slots=True)
class Plan:
    """What one page reads."""

    query: SearchQuery
    start: Position | None
    query_id: str
    watermark: Watermark
    tail: list[tuple[TailRow, Pinned]]
    objects: list[CatalogueObject]
    missing: list[Missing] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """By storage, what failed though the page can be read without it."""
    late: set[str] = field(default_factory=set)
    """Storages whose objects hadn't come when the time ran out."""
    of_others: list[Missing] = field(default_factory=list)
    """Of `missing`, what is so because of others."""
    untold: Sequence[Missing] = ()
    """Of `missing`, what is so because a storage wasn't waited for any longer."""
    faults: Mapping[str, Missing] = field(default_factory=dict)
    """By key, what a look found wrong with objects: an engine elsewhere may not have read them as they were stored."""
    engine: str = "scan"
    """What chose the objects."""
    reason: str = ""
    queries: int = 0
    query_bytes: int = 0
    reach: Position | None = None
    """Where the page ends at the latest, as nothing is known of the objects beyond; None: at the end of the search."""


@dataclass(slots=True)
class Page:
    """What was read."""

    rows: Sequence[FoundEvent] = ()
    end: Position | None = None
    """Where the next page begins; None at the end of the search."""
    missing: list[Missing] = field(default_factory=list)
    cost: Cost = field(default_factory=Cost)
    prepare_next: PrepareNext | None = None


class PageReader:
    """Reads one page; used once."""

    def __init__(
        self,
        storages: Storages,
        engine: ScanEngine,
        origins: Origins,
        digests: ObjectDigests,
        sizes: StoredSizes,
        plan: Plan,
        deadline: float,
        *,
        only: Position | None = None,
        columns: ColumnReader | None = None,
    ) -> None:
        """With `only`, rows of other positions are left out, and its JSON is given whatever its size.

        `columns` makes the pages that it can make."""
        self._storages = storages
        self._engine = engine
        self._origins = origins
        self._sizes = sizes
        self._known_origins: dict[str, ObjectOrigin] = {}
        self._plan = plan
        self._deadline = deadline
        self._only = only
        self._columns = columns
        self._page = Page()
        query = plan.query
        self._wanted = emitter_test(query)
        self._selection = RowSelection(origins, plan.watermark, self._wanted)
        self._stored = StoredRead(
            engine,
            # No method of the reader: both would refer to each other, and keep the page until cycles are looked for.
            partial(_local, storages, plan.late, origins.begin_receipts if self._wanted is not None else None),
            digests.is_intact,
            self._selection,
            _within(query.filters, query.order, plan.reach),
            query.order,
            plan.start,
            query.page_size + _AHEAD,
            deadline,
        )

    def read(self) -> Page:
        """Read the page.

        Raises:
            DeadlineExceeded: time ran out before anything could be answered.
        """
        objects = self._readable_objects()
        if not self._read_columns(objects):
            self._read_rows(objects)
        self._account(objects)
        return self._page

    def _read_columns(self, objects: Sequence[CatalogueObject]) -> bool:
        """Read the page by columns; False where it has to be read row by row."""
        plan, query = self._plan, self._plan.query
        if self._columns is None or self._only is not None or plan.reach is not None:
            return False
        found = self._columns.page(query, plan.watermark, plan.start, objects, self._deadline)
        if found is None or any(_is_within(row.event.time_ms, found.end, query.order) for row, _ in plan.tail):
            return False
        self._page.cost.journal_events = len(plan.tail)
        self._page.rows, self._page.end, self._page.prepare_next = found.rows, found.end, found.prepare_next
        self._stored.opened.update({item.key: item for item in found.objects})
        self._selection.unknown.update(item.key for item in found.without_receipts)
        return True

    def _read_rows(self, objects: Sequence[CatalogueObject]) -> None:
        page, query = self._page, self._plan.query
        rows: list[FoundEvent] = []
        groups: list[list[Candidate]] = []
        page.rows = rows
        sources: tuple[Iterator[Candidate], Iterator[Candidate]] = self._tail(), self._stored.rows(objects)
        merged = heapq.merge(*sources, key=_POSITION, reverse=query.order is Order.NEWEST_FIRST)
        used = 0
        foreign = {item.key for item in objects if item.is_foreign}
        for place, equal in groupby(merged, _POSITION):
            group = list(equal)  # whole, as the row after it has been seen
            if self._is_beyond_reach(place):
                break
            if self._only is not None and place != self._only:
                continue
            if self._stored.timed_out and len(rows) < query.page_size and not self._stored.gave_all_at(place):
                break
            size = _size(group[0])
            if rows and (len(rows) == query.page_size or used + size > PAGE_BYTES):
                page.end = rows[-1].position
                break
            row = self._found(group, names := _name_bytes(group, foreign) if foreign else 0)
            rows.append(row)
            groups.append(group)
            used += size + _columns_bytes(row, len(group)) + names
        self._add_receipts(rows, groups)
        if self._stored.timed_out and page.end is None:
            page.end = self._place_reached()
            page.missing.append(self._time_limit())
        elif page.end is None:
            page.end = self._plan.reach

    def _is_beyond_reach(self, place: Position) -> bool:
        reach = self._plan.reach
        if reach is None:
            return False
        return place < reach if self._plan.query.order is Order.NEWEST_FIRST else place > reach

    def _tail(self) -> Iterator[TailCandidate]:
        plan, wanted = self._plan, self._wanted
        rows = plan.tail
        self._page.cost.journal_events = len(rows)
        if wanted is not None:
            emitters = {
                receipt: wanted(decode_emitter(orjson.loads(receipt))[0]) for receipt in {r.receipt for r, _ in rows}
            }
            rows = [item for item in rows if emitters[item[0].receipt]]
        query = plan.query
        return tail_candidates(rows, compile_filters(query.filters), query.order, plan.start, query.page_size + _AHEAD)

    def _readable_objects(self) -> list[CatalogueObject]:
        """The plan's objects, less those known to be unreadable or found changed, which are named as missing."""
        readable = []
        wrong = self._sizes.wrong(self._plan.objects)
        for item in self._plan.objects:
            if item.foreign_note is not None and item.rows == 0:
                self._miss(MissingReason.OBJECT_UNREADABLE, item, item.foreign_note)
                continue
            if item.key in wrong:
                self._miss_size(item, wrong[item.key])
                continue
            if item.foreign_note is not None:
                of_ours = item.foreign_note == RECORD_GONE
                reason = MissingReason.RECEIPTS_UNREADABLE if of_ours else MissingReason.ROWS_UNREADABLE
                self._miss(reason, item, item.foreign_note)
            readable.append(item)
        return readable

    def _miss_size(self, item: CatalogueObject, size: int | None) -> None:
        if size is None:
            self._miss(MissingReason.OBJECT_MISSING, item, "the object isn't there")
        else:
            text = f"is {size} bytes and was {item.bytes} when it was stored"
            self._miss(MissingReason.OBJECT_CHANGED, item, text)

    def _found(self, group: list[Candidate], names: int) -> FoundEvent:
        first = group[0]
        row = first.row.event if isinstance(first, TailCandidate) else first
        size, user = _size(first), row.user
        data = self._data(first) if self._only is not None or size <= OMIT_BYTES else None
        if data is not None and self._has_cut_user(first):
            user = stored_event(data).user
        if size + len(user.encode()) + names > OMIT_BYTES:
            user, data = user[:CUT_CHARACTERS], data if self._only is not None else None
        return FoundEvent(first.position, row.type, row.session_id, user, size, data, ())

    def _has_cut_user(self, candidate: Candidate) -> bool:
        """Whether the engine may have cut a user that the JSON has whole, as that of ours does."""
        if isinstance(candidate, TailCandidate) or len(candidate.user) != CUT_CHARACTERS:
            return False
        return not self._stored.opened[candidate.object_key].is_foreign

    def _add_receipts(self, rows: list[FoundEvent], groups: Sequence[Sequence[Candidate]]) -> None:
        """Give rows the receipts of their candidates, at the end: of all objects they are on their way at once."""
        keys = {each.object_key for group in groups for each in group if not isinstance(each, TailCandidate)}
        self._origins.begin_receipts(self._stored.opened[key] for key in keys)
        for number, group in enumerate(groups):
            rows[number] = rows[number]._replace(receipts=tuple(map(self._receipt, group)))

    def _data(self, candidate: Candidate) -> bytes | None:
        if isinstance(candidate, TailCandidate):
            return candidate.row.event.data
        if candidate.data is not None:
            return candidate.data
        item = self._stored.opened[candidate.object_key]
        try:
            with self._storages.one_local(item) as path:
                return self._engine.fetch(path, candidate.row_number)
        except StorageError:
            self._miss(MissingReason.OBJECT_UNREADABLE, item, "a row's JSON can't be read")
            return None

    def _receipt(self, candidate: Candidate) -> Receipt:
        if isinstance(candidate, TailCandidate):
            section = candidate.pinned.section
            return tail_receipt(candidate.row, section.storage, section.log_id)
        key = candidate.object_key
        origin = self._known_origins.get(key)
        if origin is None:
            item = self._stored.opened[key]
            if item.is_foreign:
                return Receipt(item.storage, foreign_object=item.name)
            # What is asked of a storage that doesn't answer takes minutes; one such question is enough.
            is_late = time.monotonic() >= self._deadline
            origin = self._known_origins[key] = NO_ORIGIN if is_late else self._origins.of(item)
        sequence = origin.sequence(candidate.row_number)
        receipt = origin.receipt(sequence)
        if receipt is None:
            self._selection.unknown.add(key)
            item = self._stored.opened[key]
            return Receipt(item.storage, item.log_id, sequence)
        return receipt

    def _place_reached(self) -> Position:
        """The furthest place before which every row was given."""
        rows, finished = self._page.rows, self._stored.finished_to
        reached = [place for place in (rows[-1].position if rows else None, finished) if place is not None]
        if not reached:
            raise DeadlineExceeded("the time for the call ran out before anything could be answered")
        return min(reached) if self._plan.query.order is Order.NEWEST_FIRST else max(reached)

    def _account(self, objects: Iterable[CatalogueObject]) -> None:
        page, by_key = self._page, {item.key: item for item in objects}
        page.cost.queries = self._plan.queries
        if self._plan.query.filters.condition is None:
            page.cost.query_bytes = self._plan.query_bytes
        for unreadable in self._stored.unreadable:
            reason = MissingReason.OBJECT_MISSING if unreadable.missing else MissingReason.OBJECT_UNREADABLE
            self._miss(reason, by_key[unreadable.key], unreadable.description)
        for key, error in sorted(self._stored.unfetched.items()):
            self._miss(reason_of(error), by_key[key], str(error))
        for key in sorted(self._stored.changed):
            self._miss(MissingReason.OBJECT_CHANGED, by_key[key], "its bytes aren't those that were stored")
        for key in sorted(self._stored.crowded):
            text = f"holds more than {MOST_EQUAL_ROWS} equal rows; not all their receipts are shown"
            self._miss(MissingReason.RECEIPTS_UNREADABLE, by_key[key], text)
        for key in sorted(self._selection.unknown):
            item = by_key[key]
            reason, text = self._origins.without_receipts(item.log_id, item.first)
            self._miss(reason, item, text)
        for item in objects:
            if item.key in self._stored.opened:
                page.cost.objects += 1
                page.cost.rows += item.rows
                page.cost.bytes += item.bytes

    def _miss(self, reason: MissingReason, item: CatalogueObject, description: str) -> None:
        self._page.missing.append(Missing(reason, item.storage, item.name, description))

    def _time_limit(self) -> Missing:
        storage = self._plan.query.storage
        named = self._storages.active if storage in ("", "active") else storage
        return Missing(MissingReason.TIME_LIMIT, named, "", "time ran out; the next page goes on")


@contextmanager
def _local(
    storages: Storages,
    late: set[str],
    begin_receipts: Callable[[Collection[CatalogueObject]], None] | None,
    objects: Collection[CatalogueObject],
    deadline: float,
) -> Iterator[Mapping[str, str | StorageError]]:
    """Has objects on this machine; `late` learns of the storages that didn't give theirs in time. Where emitters
    choose rows, the receipts of all are on their way as well."""
    if begin_receipts is not None:
        begin_receipts(objects)
    with storages.local(objects, deadline) as found:
        late |= {item.storage for item in objects if isinstance(found[item.key], StorageTimeout)}
        yield found


def _is_within(time_ms: int, end: Position | None, order: Order) -> bool:
    """Whether rows of this time may be before the end of a page."""
    if end is None:
        return True
    return time_ms >= end.time_ms if order is Order.NEWEST_FIRST else time_ms <= end.time_ms


def _within(filters: Filters, order: Order, reach: Position | None) -> Filters:
    """The filters for rows up to `reach`."""
    if reach is None:
        return filters
    low, high = time_span(filters, order, None)
    if order is Order.NEWEST_FIRST:
        return replace(filters, from_ms=max(low, reach.time_ms))
    return replace(filters, to_ms=min(high, reach.time_ms))


def _size(candidate: Candidate) -> int:
    """Bytes of the JSON."""
    return len(candidate.row.event.data) if isinstance(candidate, TailCandidate) else candidate.size


def _columns_bytes(row: FoundEvent, receipts: int) -> int:
    """What a row takes beside its JSON, about; small columns count for nothing: COLUMN_BYTES."""
    columns = len("".join((row.user, row.session_id, row.type, row.position.uid)).encode())
    return (columns if columns > COLUMN_BYTES else 0) + RECEIPT_BYTES * (receipts - 1)


def _name_bytes(group: Sequence[Candidate], foreign: Collection[str]) -> int:
    """What the names of foreign objects take, which come with each row."""
    keys = (each.object_key for each in group if not isinstance(each, TailCandidate))
    return sum(len(key.encode()) for key in keys if key in foreign)

"""The search use case: one page, complete or saying what is missing, with the receipt of every row."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from rbac.identities import Identity
from server.audit_log.bucket_looks import Folders, Looked
from server.audit_log.foreign_looks import ForeignLooks
from server.audit_log.missing_ranges import lost_range
from server.audit_log.retention import Retention
from server.audit_log.search.candidates import time_span
from server.audit_log.search.column_reader import ColumnReader, MakingElsewhere
from server.audit_log.search.counted import counts, may_hold
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.search.elsewhere import Elsewhere
from server.audit_log.search.gaps import each_once, told
from server.audit_log.search.narrowing import Narrowing
from server.audit_log.search.not_given import cant_be_read, no_such_event
from server.audit_log.search.origins import Origins, OriginUnknown
from server.audit_log.search.outcomes import Outcome, Outcomes
from server.audit_log.search.page_columns import PageColumns, WrittenRows, digests_alone
from server.audit_log.search.page_reader import PAGE_BOUNDS, PageReader, Plan
from server.audit_log.search.query import (
    MAX_PAGE_SIZE,
    WALKERS_PAGE_SIZE,
    EventSelector,
    FoundEvent,
    Missing,
    MissingReason,
    SearchPage,
    SearchQuery,
    Watermark,
    reason_of,
)
from server.audit_log.search.stored_sizes import StoredSizes
from server.audit_log.search.tokens import PageStart, PageTokens
from server.audit_log.storages import Storages
from server.audit_log.tail import Tail
from server.errors import FailedPrecondition, PermissionDenied, Unavailable
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueObject
from server.storage.matching import compile_filters
from server.storage.ports import ConditionUnsupported, ObjectArchived, ScanEngine, StorageError
from server.storage.query import Filters, Order, Position, ScanObject, ScanRequest
from server.storage.value_tests import RowCondition

_SAYS_NOTHING_OF_ONE = frozenset({MissingReason.JOURNAL_HOLE, MissingReason.OTHER_STORAGE, MissingReason.EXPIRED})
"""What can be missing from an answer though an event that isn't found isn't there."""


def _reason_of(error: OriginUnknown) -> MissingReason:
    cause = error.__cause__
    return reason_of(cause) if isinstance(cause, StorageError) else MissingReason.OBJECT_CHANGED


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise Unavailable("the storage can't be read now") from error
    except ConditionUnsupported as error:
        hidden = "an engine can't put the conditions of the roles into its query"
        raise PermissionDenied("access denied", hidden=hidden, kind="event", verb="list") from error


class Search:
    """Searches storages: tail, own batches, foreign objects. Blocking; safe to use from several threads."""

    def __init__(
        self,
        storages: Storages,
        engine: ScanEngine,
        tail: Tail,
        catalogue: Catalogue,
        tokens: PageTokens,
        digests: ObjectDigests | None = None,
        elsewhere: Elsewhere | None = None,
        narrowing: Narrowing | None = None,
        outcomes: Outcomes | None = None,
        foreign: ForeignLooks | None = None,
        retention: Retention | None = None,
        write: Callable[[PageColumns], WrittenRows] = digests_alone,
        making_elsewhere: MakingElsewhere | None = None,
    ) -> None:
        """`digests` where others find out about changed objects too; `elsewhere` knows what was active when;
        `narrowing` knows of engines beside scan; `outcomes` counts for the alerts; `foreign` looks for what others did
        to the storages; `write` makes what is given of a page, and where one is read ahead it is made ahead as well, by
        `making_elsewhere` where many are."""
        self._storages = storages
        self._engine = engine
        self._tail = tail
        self._catalogue = catalogue
        self._tokens = tokens
        self._origins = Origins(storages, catalogue)
        self._digests = digests or ObjectDigests(storages)
        self._sizes = StoredSizes(storages)
        self._elsewhere = elsewhere or Elsewhere()
        self._narrowing = narrowing or Narrowing(storages)
        self._outcomes = outcomes or Outcomes()
        self._columns = ColumnReader(
            storages, self._origins, self._digests.is_intact, PAGE_BOUNDS, write, making_elsewhere
        )
        self._retention = retention or Retention(storages, catalogue)
        self.foreign = foreign or ForeignLooks(storages, catalogue, tail.pending)

    def page(self, caller: Identity, query: SearchQuery, deadline: float) -> SearchPage:
        """One page, read before `deadline` (of time.monotonic).

        Raises:
            InvalidRequest: the page token is wrong.
            NotFound: there is no such storage.
            FailedPrecondition: the engine can't read the storage, or can't be asked this.
            ResourceExhausted: the caller's budget of the engine is used up.
            DeadlineExceeded: time ran out before anything could be answered.
            Unavailable: the storage can't be read now.
            PermissionDenied: the engine can't put the query's condition into its own.
        """
        chosen = self._storages.chosen(query.storage)
        with _reading(), self._outcomes.counting(chosen) as outcome:
            return self._page(caller, query, deadline, outcome)

    def _page(self, caller: Identity, query: SearchQuery, deadline: float, outcome: Outcome) -> SearchPage:
        chosen = self._storages.chosen(query.storage)
        self._narrowing.check(query, chosen)
        start = self._tokens.decode(query.page_token, query, caller) if query.page_token else None
        plan = self._plan(query, start, chosen, deadline)
        outcome.asks(plan.objects)
        outcome.late = plan.late
        outcome.passes_over(plan.of_others)
        outcome.waits(plan.untold)
        unknown = {*self._catalogue.storages(), *self._tail.storages()}.difference(self._storages.ids())
        holds = partial(self._holds, query)
        plan.missing += self._elsewhere.missing(query.storage, chosen, query.filters, unknown, holds)
        self._narrowing.narrow(caller, query, plan, deadline, self._stored_ms)
        page = self._reader(plan, deadline).read()
        encode = self._tokens.encode
        token = "" if page.end is None else encode(PageStart(page.end, plan.watermark, plan.query_id), query, caller)
        missing = each_once([*plan.missing, *page.missing], outcome.is_of_others)
        outcome.faults.update(plan.failures)
        outcome.lacks(missing)
        return SearchPage(
            page.rows,
            token,
            plan.engine,
            page.cost,
            plan.watermark,
            told(missing, sees_all=query.filters.condition is None),
            plan.query_id,
            plan.reason,
            page.prepare_next if start is not None or query.page_size >= WALKERS_PAGE_SIZE else None,
        )

    def _holds(self, query: SearchQuery, storage: str) -> bool:
        """Whether a storage has, or is to have, events of the times that are asked for."""
        low, high = time_span(query.filters, query.order, None)
        blocks = (block for pin in self._tail.pin() if pin.section.storage == storage for block in pin.blocks)
        if any(each.block.first_ms < high and each.block.last_ms >= low for each in blocks):
            return True
        return any(not item.is_foreign for item in self._catalogue.objects(storage, low, high))

    def _stored_ms(self, item: CatalogueObject) -> int:
        batch = self._catalogue.batch(item.log_id, item.first)
        return batch.confirmed_ms if batch is not None else 0

    def get(
        self, caller: Identity, selector: EventSelector, deadline: float, *, condition: RowCondition | None = None
    ) -> FoundEvent:
        """One event with its receipts and, whatever its size, its JSON; only if it meets `condition`.

        Raises:
            NotFound: there is none.
            FailedPrecondition: several have this uid, and no digest chooses.
            Unavailable: it is there and can't be read now.
            PermissionDenied: the engine can't put `condition` into its query.
        """
        with _reading(), self._outcomes.counting(self._storages.chosen(selector.storage)) as outcome:
            return self._get(caller, selector, deadline, condition, outcome)

    def _get(
        self,
        caller: Identity,
        selector: EventSelector,
        deadline: float,
        condition: RowCondition | None,
        outcome: Outcome,
    ) -> FoundEvent:
        if selector.log_id:
            place = self._at(selector, condition, outcome)
        else:
            place = self._named(caller, selector, deadline, condition, outcome)
        filters = Filters(place.time_ms, place.time_ms + 1, uids=frozenset({place.uid}))
        chosen = self._storages.chosen(selector.storage)
        asked = SearchQuery(filters, storage=selector.storage)
        plan = self._plan(asked, None, chosen, deadline, in_every_folder=True)  # it may be in that of another date
        outcome.asks(plan.objects)
        rows = self._reader(plan, deadline, only=place).read().rows
        if not rows or rows[0].data is None:
            raise Unavailable("the event can't be read now")
        return rows[0]

    def _reader(self, plan: Plan, deadline: float, *, only: Position | None = None) -> PageReader:
        parts = self._storages, self._engine, self._origins, self._digests, self._sizes
        return PageReader(*parts, plan, deadline, only=only, columns=self._columns)

    def _at(self, selector: EventSelector, condition: RowCondition | None, outcome: Outcome) -> Position:
        """The place of the event at a log's sequence."""
        chosen = self._storages.chosen(selector.storage)
        log_id, sequence = selector.log_id, selector.sequence
        pins = (pin for pin in self._tail.pin() if selector.storage == "all" or pin.section.storage in chosen)
        for row in (row for pin in pins if pin.section.log_id == log_id for row in pin.rows()):
            if row.sequence == sequence:
                if not compile_filters(Filters(condition=condition))(*row.event[:6]):
                    raise no_such_event(condition, is_there=True)
                return row.position
        unreadable: list[OriginUnknown] = []
        for item in (item for storage in chosen for item in self._catalogue.objects(storage)):
            if item.log_id != log_id or not item.first <= sequence <= item.last:
                continue
            if self._retention.of(item.storage).has_expired(item):
                continue
            try:
                row_number = self._row_of(item, sequence)
            except OriginUnknown as error:  # the event may be in another object of its batch
                unreadable.append(error)
                outcome.excuses(item.storage, item.name, _reason_of(error))
                continue
            if row_number is not None:
                return self._place_of_row(item, row_number, condition)
        if unreadable:
            raise cant_be_read(is_archived=any(isinstance(each.__cause__, ObjectArchived) for each in unreadable))
        batch = self._catalogue.batch_holding(log_id, sequence)
        if selector.storage == "all" and batch is not None and batch.storage not in self._storages.ids():
            raise cant_be_read(unknown=batch.storage)
        raise no_such_event(condition, is_there=False)

    def _row_of(self, item: CatalogueObject, sequence: int) -> int | None:
        if not self._digests.is_intact(item):
            raise OriginUnknown(item.name)
        return self._origins.row_of(item, sequence)

    def _place_of_row(self, item: CatalogueObject, row_number: int, condition: RowCondition | None) -> Position:
        with self._storages.one_local(item) as path:
            objects, filters = [ScanObject(item.key, path, [row_number])], Filters(condition=condition)
            found = self._engine.scan(ScanRequest(objects, filters, Order.NEWEST_FIRST, 1, inline_bytes=0))
        if found.rows:
            return found.rows[0].position
        raise cant_be_read() if found.unreadable else no_such_event(condition, is_there=True)

    def _named(
        self,
        caller: Identity,
        selector: EventSelector,
        deadline: float,
        condition: RowCondition | None,
        outcome: Outcome,
    ) -> Position:
        """The place of the one event that has this uid and, where one is given, this digest."""
        places, missing = self._places(caller, selector, deadline, condition, outcome)
        if len(places) == 1:
            return places[0]
        if places:
            message = f"{len(places)} events have this uid; give the digest or the position"
            raise FailedPrecondition(message, reason="AMBIGUOUS_UID", uid=selector.uid, count=str(len(places)))
        if reasons := {item.reason for item in missing} - _SAYS_NOTHING_OF_ONE:
            raise cant_be_read(is_archived=MissingReason.OBJECT_ARCHIVED in reasons)
        for item in missing:  # of all storages nothing is elsewhere but in those that nobody knows
            if selector.storage == "all" and item.reason is MissingReason.OTHER_STORAGE:
                raise cant_be_read(unknown=item.storage)
        # Looked for again even if there is none, so that time tells as little as it can.
        is_there = condition is not None and bool(self._places(caller, selector, deadline, None, outcome)[0])
        raise no_such_event(condition, is_there=is_there)

    def _places(
        self,
        caller: Identity,
        selector: EventSelector,
        deadline: float,
        condition: RowCondition | None,
        outcome: Outcome,
    ) -> tuple[list[Position], list[Missing]]:
        """The places of events that have this uid and digest, and what is missing from the answer."""
        filters = Filters(uids=frozenset({selector.uid}), condition=condition)
        query = SearchQuery(filters, storage=selector.storage, page_size=MAX_PAGE_SIZE)
        places: list[Position] = []
        missing: list[Missing] = []
        while True:
            page = self._page(caller, query, deadline, outcome)
            places += [row.position for row in page.rows if selector.digest in ("", row.position.digest)]
            missing += page.missing
            if not page.next_page_token or len(places) >= MAX_PAGE_SIZE:
                return places, missing
            query = replace(query, page_token=page.next_page_token)

    def may_wait(self, storage: str) -> bool:
        """Whether a search of this storage may have to wait for another service.

        Raises:
            NotFound: there is no such storage.
        """
        return any(self._storages.of(each).compares_digests for each in self._storages.chosen(storage))

    def _plan(
        self,
        query: SearchQuery,
        start: PageStart | None,
        chosen: frozenset[str],
        deadline: float,
        *,
        in_every_folder: bool = False,
    ) -> Plan:
        confirmed = self._catalogue.confirmed()
        pins, ends = self._tail.pin_with_ends()
        # The tail is pinned first: what leaves it from here on is in the catalogue, and left out there by name.
        looked = self.foreign.refresh(query.filters.from_ms, query.filters.to_ms, chosen, deadline)
        watermark = start.watermark if start is not None else query.watermark or self._watermark(confirmed, ends)
        pinned = {(pin.section.log_id, pin.section.first) for pin in pins}
        filters, position = query.filters, start.position if start is not None else None
        from_ms, to_ms = time_span(filters, query.order, position)
        folders = Folders.of(None, None) if in_every_folder else Folders.of(filters.from_ms, filters.to_ms)
        objects = [
            item
            for storage in sorted(chosen)
            for item in self._catalogue.objects(storage, from_ms, to_ms)
            if counts(item, watermark) and (item.log_id, item.first) not in pinned and may_hold(item, filters)
            if not item.is_foreign or self._is_looked_for(storage, item.name, folders)
        ]
        expired = self._expired(objects, looked)
        objects = [item for item in objects if item.key not in expired]
        logs = watermark.logs
        tail = [
            (row, pin)
            for pin in pins
            if query.storage == "all" or pin.section.storage in chosen
            for row in pin.rows(from_ms, to_ms)
            if row.sequence <= logs.get(pin.section.log_id, 0)
        ]
        query_id = start.query_id if start is not None else str(uuid.uuid4())
        plan = Plan(query, position, query_id, watermark, tail, objects)
        plan.of_others = list(looked.of_others)
        plan.late |= looked.late.keys()
        plan.untold = [gap for gaps in looked.late.values() for gap in gaps]
        plan.missing += [*looked.gaps, *looked.of_others, *self._holes()]
        plan.faults = {item.key: fault for item in objects if (fault := looked.faults.get((item.storage, item.name)))}
        plan.missing += plan.faults.values()
        plan.missing += self._told_expired(chosen, set(expired.values()), filters)
        if start is not None or query.watermark is not None:
            departed = [item for each in chosen for item in self._departed(each, watermark, (from_ms, to_ms), folders)]
            plan.missing += departed
            plan.of_others += departed
        return plan

    def _is_looked_for(self, storage: str, name: str, folders: Folders) -> bool:
        """Whether looks at these folders tell of an object of others. In a bucket one elsewhere would be in an answer
        only if another search had come upon it, and stay there once it is removed."""
        return not self._storages.of(storage).keeps_versions or folders.hold(name)

    def _expired(self, objects: Sequence[CatalogueObject], looked: Looked) -> dict[str, str]:
        """The storage of each object that has expired, by key. With what S3 deleted a little before we counted."""
        kept = {storage: self._retention.of(storage) for storage in {item.storage for item in objects}}
        early = {key for key, fault in looked.faults.items() if fault.reason is MissingReason.EXPIRED}
        return {
            item.key: item.storage
            for item in objects
            if kept[item.storage].has_expired(item) or (item.storage, item.name) in early
        }

    def _told_expired(self, chosen: Collection[str], holding: Collection[str], filters: Filters) -> list[Missing]:
        """What an answer says of storages of whose objects some have expired: to a caller who may not see every event
        by the times asked for alone, since when there were events would tell of the others."""
        if filters.condition is not None:
            holding = [each for each in chosen if self._retention.of(each).begins_after(filters.from_ms)]
        return [self._retention.of(storage).told() for storage in sorted(holding)]

    def _departed(self, storage: str, watermark: Watermark, times: tuple[int, int], folders: Folders) -> list[Missing]:
        """The foreign objects that an earlier answer counted and that can't be counted any more."""
        gone = self._catalogue.departed(storage, *times, watermark.catalogue_revision)
        now = {item.name: self._catalogue.object(storage, item.name) for item in gone}
        return [
            Missing(MissingReason.OBJECT_CHANGED, storage, name, "was replaced or removed since it was counted")
            for name, item in now.items()
            if self._is_looked_for(storage, name, folders) and (item is None or not counts(item, watermark))
        ]

    def _watermark(self, confirmed: Mapping[str, int], ends: Mapping[str, int]) -> Watermark:
        """What this answer counts: what was confirmed before the tail was pinned, as what stands before that in the log
        and isn't confirmed is pinned then, and what the tail has or had. The catalogue may have moved on since."""
        logs = {log_id: max(confirmed.get(log_id, 0), ends.get(log_id, 0)) for log_id in {*confirmed, *ends}}
        return Watermark(logs, self._catalogue.revision)

    def _holes(self) -> list[Missing]:
        active, unread = self._storages.active, self._storages.unread
        return [lost_range(active, *hole, unread) for hole in self._catalogue.holes()]

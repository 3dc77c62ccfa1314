"""Narrowing: which engine a search has its objects found by, and the plan without those that hold no matching row."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

from rbac.identities import Identity
from server.audit_log.search.candidates import time_span
from server.audit_log.search.page_reader import Plan
from server.audit_log.search.query import Missing, MissingReason, SearchQuery
from server.audit_log.storages import Storages
from server.errors import DeadlineExceeded, FailedPrecondition, ResourceExhausted, Unavailable
from server.state.catalogue_rows import CatalogueObject
from server.storage.finding import (
    FinderBusy,
    FinderFailed,
    FinderUnsuited,
    Finding,
    FindRequest,
    FoundObject,
    ObjectFinder,
    Place,
)
from server.storage.ports import EventStorage, ScanTimeout, StorageError, StoredObject
from server.storage.query import Filters, Order, Position

ATHENA: Final = "athena"
_KEPT_FINDINGS: Final = 64
_AUTO_SHARE: Final = 0.6
"""Of the time left that `auto` gives an engine, so that there is some to scan in where no answer comes."""
_LISTERS: Final = 8
_CLOCKS_MS: Final = 5_000
"""How far the clock of a storage may be ahead of ours, and its objects still count as those that were stored."""

Finders = Callable[[str], ObjectFinder | None]
"""The finder of a storage; None where it has none."""


StoredMs = Callable[[CatalogueObject], int]
"""When an object was known to be in its storage, in ms since 1970: what was written later was written by others."""


def at_no_time(item: CatalogueObject) -> int:
    """Where that isn't known, so that every object is taken for a later one."""
    return 0


def no_finders(storage_id: str) -> ObjectFinder | None:
    """Where no storage has one."""
    return None


@dataclass(slots=True)
class _Known:
    """What was found for one search, in the order of the finder, over all its pages."""

    revision: int
    """Objects that the catalogue learnt of later weren't looked at."""
    objects: dict[str, FoundObject] = field(default_factory=dict)
    last: Place | None = None
    ended: bool = False
    dates: tuple[str, str] = ("", "")
    missing: list[Missing] | None = None
    unsure: set[str] = field(default_factory=set)
    """Objects that the finder may have read otherwise than they were stored, or not at all: they are scanned."""

    def add(self, finding: Finding, asked: FindRequest) -> None:
        self.objects.update({each.name: each for each in finding.objects})
        self.dates = finding.first_date, finding.last_date
        self.ended = len(finding.objects) < asked.limit
        if finding.objects:
            end = finding.objects[-1]
            self.last = (end.last_ms if asked.order is Order.NEWEST_FIRST else end.first_ms), end.name

    def reach_ms(self, order: Order) -> int | None:
        """Every matching row of this time or later (or, oldest first, before it) is in a known object; None: of any."""
        if self.ended or self.last is None:
            return None
        return self.last[0] + 1 if order is Order.NEWEST_FIRST else self.last[0]


class Narrowing:
    """Chooses the engine of a page and leaves out of its plan what an engine says holds nothing.

    An engine is asked once for all pages of a search. Safe to use from several threads.
    """

    def __init__(
        self, storages: Storages, finders: Finders = no_finders, *, scan_bytes: int = 0, limit: int = 10_000
    ) -> None:
        """`auto` scans where the objects have at most `scan_bytes`; `limit` objects are asked for at once."""
        self._storages = storages
        self.finders = finders
        self._scan_bytes = scan_bytes
        self._limit = limit
        self._lock = threading.Lock()
        self._findings: OrderedDict[tuple[str, str, str], _Known] = OrderedDict()
        self._listers: Executor = ThreadPoolExecutor(_LISTERS, "listing")

    def check(self, query: SearchQuery, chosen: Collection[str]) -> None:
        """Refuse an engine that can't read what is chosen.

        Raises:
            FailedPrecondition: naming the storages.
        """
        without = ", ".join(sorted(storage for storage in chosen if self.finders(storage) is None))
        if query.engine == ATHENA and without:
            raise _unavailable(f"engine athena can't read storage {without}", without)

    def narrow(
        self, caller: Identity, query: SearchQuery, plan: Plan, deadline: float, stored_ms: StoredMs = at_no_time
    ) -> None:
        """Choose the engine of a plan, and have its objects found where that isn't scan.

        Raises:
            FailedPrecondition, Unavailable, ResourceExhausted, DeadlineExceeded: athena was asked for, and can't.
        """
        plan.reason = self._why_scan(query, plan)
        if plan.reason:
            return
        by_storage: dict[str, list[CatalogueObject]] = {}
        for item in plan.objects:
            if not item.is_foreign and self.finders(item.storage) is not None:
                by_storage.setdefault(item.storage, []).append(item)
        wanted = query.engine == ATHENA
        until = deadline if wanted else min(deadline, time.monotonic() + (deadline - time.monotonic()) * _AUTO_SHARE)
        try:
            known = {
                storage: self._known(caller, query, plan, storage, items, until, stored_ms)
                for storage, items in by_storage.items()
            }
        except (FinderUnsuited, FinderFailed, FinderBusy, ScanTimeout, StorageError) as error:
            if wanted:
                raise _refusal(error, ", ".join(sorted(by_storage))) from error
            plan.reason = f"athena is passed over: {_words(error)}"
            if isinstance(error, FinderFailed | StorageError):
                plan.failures = dict.fromkeys(by_storage, plan.reason)
            return
        plan.engine = ATHENA
        plan.reason = "it was asked for" if wanted else "the objects are more than are scanned"
        self._apply(query, plan, known)

    def _why_scan(self, query: SearchQuery, plan: Plan) -> str:
        """Why a page is scanned, without asking another engine; '' where one is to be asked."""
        if query.engine == ATHENA:
            return ""
        if query.engine == "scan":
            return "it was asked for"
        sizes = [item.bytes for item in plan.objects if not item.is_foreign and self.finders(item.storage)]
        if not sizes:
            return "nothing else reads what is searched"
        if replace(query.filters, from_ms=None, to_ms=None, condition=None) == Filters():
            return "nothing but time and emitters chooses, which no index knows"
        if sum(sizes) <= self._scan_bytes:
            return f"the {len(sizes)} objects have no more than {self._scan_bytes} bytes"
        return ""

    def _known(
        self,
        caller: Identity,
        query: SearchQuery,
        plan: Plan,
        storage: str,
        items: list[CatalogueObject],
        deadline: float,
        stored_ms: StoredMs,
    ) -> _Known:
        key = (plan.query_id, storage, repr(query.filters))
        with self._lock:
            known = self._findings.get(key)
        if known is None:
            known = _Known(max(item.revision for item in items))
        low, high = time_span(query.filters, query.order, plan.start)
        if query.order is Order.NEWEST_FIRST and plan.start is not None and not plan.start.uid:
            high = plan.start.time_ms  # a page that ended before a millisecond, and not within it
        while not known.ended and not _covers(known, query.order, low, high):
            self._find_more(known, caller, query, plan, storage, items, deadline)
        if known.missing is None:
            dropped = [item for item in items if item.name not in known.objects]
            known.missing, known.unsure = self._departed(storage, dropped, stored_ms)
        with self._lock:
            self._findings[key] = known
            self._findings.move_to_end(key)
            while len(self._findings) > _KEPT_FINDINGS:
                self._findings.popitem(last=False)
        return known

    def _find_more(
        self,
        known: _Known,
        caller: Identity,
        query: SearchQuery,
        plan: Plan,
        storage: str,
        items: list[CatalogueObject],
        deadline: float,
    ) -> None:
        finder = self.finders(storage)
        if finder is None:
            raise FinderUnsuited("the storage has no such engine any more")
        dates = [item.date for item in items]
        request = FindRequest(
            query.filters, min(dates), max(dates), query.order, caller.key, limit=self._limit, after=known.last
        )
        finding = finder.find(request, deadline)
        known.add(finding, request)
        plan.queries += 1
        plan.query_bytes += finding.bytes

    def _departed(
        self, storage: str, items: list[CatalogueObject], stored_ms: StoredMs
    ) -> tuple[list[Missing], set[str]]:
        """What of objects in which nothing was found isn't there as it was, which an engine doesn't miss; and the names
        of those that it may not have read as they were stored."""
        by_date: dict[str, list[CatalogueObject]] = {}
        for item in items:
            by_date.setdefault(item.date, []).append(item)
        of = self._storages.of(storage)
        found: list[Missing] = []
        unsure: set[str] = set()
        for (date, dropped), listing in zip(
            by_date.items(), self._listers.map(lambda day: _listed(of, day), by_date), strict=True
        ):
            if isinstance(listing, StorageError):
                text = f"whether its objects are there can't be told: {listing}"
                found.append(Missing(MissingReason.OBJECT_UNREADABLE, storage, date, text))
                continue
            for item in dropped:
                there = listing.get(item.name)
                if there is None:
                    found.append(Missing(MissingReason.OBJECT_MISSING, storage, item.name, "the object isn't there"))
                elif there.size != item.bytes:
                    text = f"is {there.size} bytes and was {item.bytes} when it was stored"
                    found.append(Missing(MissingReason.OBJECT_CHANGED, storage, item.name, text))
                elif there.problem or there.is_of_parts or there.revision // 1_000_000 > stored_ms(item) + _CLOCKS_MS:
                    unsure.add(item.name)
        return found, unsure

    def _apply(self, query: SearchQuery, plan: Plan, known: Mapping[str, _Known]) -> None:
        objects = []
        unseen: dict[str, set[str]] = {}
        for item in plan.objects:
            of = known.get(item.storage)
            is_unsure = item.is_foreign or item.name in of.unsure or item.key in plan.faults if of is not None else True
            if of is None or is_unsure or item.revision > of.revision:
                objects.append(item)
            elif not of.dates[0] <= item.date <= of.dates[1]:
                unseen.setdefault(item.storage, set()).add(item.date)
            elif (found := of.objects.get(item.name)) is not None:
                objects.append(replace(item, first_ms=found.first_ms, last_ms=found.last_ms))
        plan.objects = objects
        for storage, dates in sorted(unseen.items()):
            first, last = known[storage].dates
            text = f"{len(dates)} dates lie outside those that Athena's table has, {first} to {last}; scan reads them"
            name = f"{min(dates)} to {max(dates)}"
            plan.missing.append(Missing(MissingReason.OUTSIDE_TABLE, storage, name, text))
        newest_first = query.order is Order.NEWEST_FIRST
        for of in known.values():
            plan.missing += of.missing or ()
            reach = of.reach_ms(query.order)
            if reach is not None:
                place = Position(reach, "", "")
                nearest = max if newest_first else min
                plan.reach = place if plan.reach is None else nearest(plan.reach, place)


def _covers(known: _Known, order: Order, low: int, high: int) -> bool:
    """Whether what is known is enough for some of a span of time."""
    reach = known.reach_ms(order)
    if reach is None:
        return known.ended
    return reach < high if order is Order.NEWEST_FIRST else reach > low


def _listed(storage: EventStorage, date: str) -> Mapping[str, StoredObject] | StorageError:
    try:
        return {each.name: each for each in storage.list_date(date)}
    except StorageError as error:
        return error


def _unavailable(message: str, storage: str) -> FailedPrecondition:
    return FailedPrecondition(message, reason="ENGINE_UNAVAILABLE", engine=ATHENA, storage=storage)


def _refusal(error: Exception, storage: str) -> Exception:
    if isinstance(error, FinderUnsuited):
        return _unavailable(f"engine athena can't answer this: {error}", storage)
    if isinstance(error, FinderBusy):
        return ResourceExhausted(str(error), reason="QUERY_BUDGET_SPENT", retry_after=error.retry_after)
    if isinstance(error, ScanTimeout):
        return DeadlineExceeded("the time for the call ran out before Athena gave an answer")
    return Unavailable(f"engine athena gave no answer: {error}", engine=ATHENA, storage=storage)


def _words(error: Exception) -> str:
    return "it gave no answer in time" if isinstance(error, ScanTimeout) else str(error)

"""Looks into a storage that others can write to: each date once for all searches that need it, and only so often."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from server.audit_log.bucket_dates import BucketDates, DateLook
from server.audit_log.search.query import Missing, MissingReason
from server.audit_log.timestamps import DAY_MS, utc_date
from server.observability.alerts.alerts import Alerts
from server.state.catalogue import Catalogue
from server.storage.ports import EventStorage, StorageError

FRESH_SECONDS: Final = 60.0
"""How old a look at one of the last dates may be."""
OLD_FRESH_SECONDS: Final = 600.0
"""How old one at an earlier date may be: a search of years would list a thousand of them each minute."""
_LAST_DAYS_MS: Final = 2 * DAY_MS
_FAILED_SECONDS: Final = 10.0
"""How long a look that failed counts, so that not every search waits for a bucket that doesn't answer."""
_MOST_SECONDS: Final = 10.0
"""How long a search waits for looks, and never longer than half of its time: the rest is for reading."""
_FEW_DAYS: Final = 62
_PATIENCE_SECONDS: Final = 600.0
"""How long the dates of a bucket are waited for where nobody waits for an answer."""
_MOST_LOOKS: Final = 100
"""At one date until all that is new there was read: each has some seconds for it."""
MOST_DATES: Final = 20_000
"""Of a storage that one search looks at, the last ones: whoever can write there makes as many as they like."""
MISSING: Final = "object-missing"
CHANGED: Final = "object-changed"
ARCHIVED: Final = "object-archived"
_TOLD: Final = frozenset({MissingReason.OBJECT_MISSING, MissingReason.OBJECT_CHANGED})


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old a look may be, in seconds."""

    last_dates: float = FRESH_SECONDS
    earlier_dates: float = OLD_FRESH_SECONDS


@dataclass(slots=True)
class Looked:
    """What looks came to."""

    faults: dict[tuple[str, str], Missing] = field(default_factory=dict)
    """By storage and name, what is wrong with objects of ours."""
    gaps: list[Missing] = field(default_factory=list)
    """What isn't known of whole dates."""
    of_others: list[Missing] = field(default_factory=list)
    """What of others' objects isn't searched."""
    late: dict[str, list[Missing]] = field(default_factory=dict)
    """By storage, which of the gaps are there because there was no time."""


@dataclass(frozen=True, slots=True)
class _Begun:
    work: Future[Any]
    at: float


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of dates that a look at [from_ms, to_ms) goes through."""

    low: str
    high: str

    @classmethod
    def of(cls, from_ms: int | None, to_ms: int | None) -> Folders:
        """Those of a range of times; None is no bound."""
        return cls("" if from_ms is None else utc_date(from_ms), "~" if to_ms is None else utc_date(to_ms - 1))

    def hold(self, name: str) -> bool:
        """Whether an object of this name, or a date, is in one of them."""
        return self.low <= name.partition("/")[0] <= self.high


class BucketLooks:
    """The looks into one storage. Safe to use from several threads."""

    def __init__(
        self,
        storage: EventStorage,
        catalogue: Catalogue,
        dates: BucketDates,
        threads: Executor,
        alerts: Alerts,
        freshness: Freshness,
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._dates = dates
        self._threads = threads
        self._alerts = alerts
        self._freshness = freshness
        self._lock = threading.Lock()
        self._begun = OrderedDict[str, _Begun]()
        """By date, in the order in which they began: of those that ended about as many as one search looks at."""
        """By date; '' for which dates there are."""
        self._faulty: dict[str, Mapping[str, Missing]] = {}
        self._archived: dict[str, Sequence[Missing]] = {}

    def refresh(self, from_ms: int | None, to_ms: int | None, deadline: float | None, looked: Looked) -> None:
        """Look at the dates of [from_ms, to_ms), and add to `looked` what that came to. What can't be looked at in time
        is a gap. Events of others are found in the folder of their date."""
        now = time.monotonic()
        until = now + (_MOST_SECONDS if deadline is None else min(_MOST_SECONDS, (deadline - now) / 2))
        begun = {date: self._begin(date, self._look_at) for date in self._wanted(from_ms, to_ms, until, looked)}
        for date, work in begun.items():
            try:
                look: DateLook = work.result(max(0.0, until - time.monotonic()))
            except (TimeoutError, StorageError) as error:
                self._tell_gap(looked, date, error)
                continue
            looked.faults.update({(self._storage.storage_id, name): each for name, each in look.faults.items()})
            looked.of_others += look.of_others

    def refresh_all(self, go_on: Callable[[], object], looked: Looked) -> None:
        """The same of every date, for whoever has the time: again where a look hadn't enough for all that is new.
        `go_on` is called every second; what it raises ends it."""
        dates = self._wanted(None, None, time.monotonic() + _PATIENCE_SECONDS, looked)
        begun = {date: self._begin(date, self._look_at) for date in dates}
        for date, work in begun.items():
            look: DateLook | None = None
            try:
                for _ in range(_MOST_LOOKS):
                    look = _awaited(work, go_on)
                    if look.is_finished:
                        break
                    work = self._begin(date, self._look_at)
            except StorageError as error:
                self._tell_gap(looked, date, error)
            if look is not None:
                looked.of_others += look.of_others

    def look(self, date: str) -> DateLook:
        """Look at one date, unless somebody does or did so just now.

        Raises:
            StorageError: it can't be listed now.
        """
        look: DateLook = self._begin(date, self._look_at).result()
        return look

    def has_alert(self, name: str) -> bool:
        """Whether an alert stands as an object of this name was found gone or changed."""
        with self._lock:
            fault = self._faulty.get(name.partition("/")[0], {}).get(name)
        return fault is not None

    def _wanted(self, from_ms: int | None, to_ms: int | None, until: float, looked: Looked) -> Iterator[str]:
        """The dates of a range: each of a short one, of others those that there are."""
        if from_ms is not None and to_ms is not None and to_ms - from_ms <= _FEW_DAYS * DAY_MS:
            yield from (utc_date(day * DAY_MS) for day in range(from_ms // DAY_MS, (to_ms - 1) // DAY_MS + 1))
            return
        dates = set(self._catalogue.dates(self._storage.storage_id))
        try:
            dates.update(self._begin("", lambda _: self._storage.dates()).result(max(0.0, until - time.monotonic())))
        except (TimeoutError, StorageError) as error:
            self._tell_gap(looked, "", error)
        folders = Folders.of(from_ms, to_ms)
        reached = sorted((date for date in dates if folders.hold(date)), reverse=True)
        if len(reached) > MOST_DATES:
            text = f"there are {len(reached)} dates; at those up to {reached[MOST_DATES]} nobody has looked"
            looked.gaps.append(Missing(MissingReason.OBJECT_UNREADABLE, self._storage.storage_id, "", text))
        yield from reached[:MOST_DATES]

    def _begin(self, date: str, work: Callable[[str], Any]) -> Future[Any]:
        """The look at a date that is under way, or fresh enough; else one that begins now."""
        now = time.monotonic()
        with self._lock:
            begun = self._begun.get(date)
            if begun is None or (begun.work.done() and now - begun.at >= self._lasts(date, begun.work)):
                begun = self._begun[date] = _Begun(self._threads.submit(work, date), now)
                self._begun.move_to_end(date)
                self._forget_some()
        return begun.work

    def _forget_some(self) -> None:
        """Let go of the oldest looks, two for each that begins: callers may ask for any dates. Never of one that is
        under way, or another would begin beside it."""
        if len(self._begun) > MOST_DATES:
            for date in [*islice(self._begun, 2)]:
                if self._begun[date].work.done():
                    del self._begun[date]

    def _lasts(self, date: str, work: Future[Any]) -> float:
        if work.exception() is not None:
            return min(_FAILED_SECONDS, self._freshness.last_dates)
        if isinstance(look := work.result(), DateLook):
            if not look.is_finished:
                return 0.0
            if look.has_failed:
                return min(_FAILED_SECONDS, self._freshness.last_dates)
        is_last = not date or date >= utc_date(time.time_ns() // 1_000_000 - _LAST_DAYS_MS)
        return self._freshness.last_dates if is_last else self._freshness.earlier_dates

    def _look_at(self, date: str) -> DateLook:
        look = self._dates.look(date)
        with self._lock:
            # What isn't listed isn't well again, nor what can't be read: who can write there can also put more there
            # than is listed, and what only they can read.
            before = self._faulty.pop(date, {})
            if look.is_whole:
                unread = MissingReason.OBJECT_UNREADABLE
                before = {name: each for name, each in before.items() if _reason(look.faults.get(name)) is unread}
            told = {name: each for name, each in look.faults.items() if each.reason in _TOLD}
            if faults := {**before, **told}:
                self._faulty[date] = faults
            self._archived.pop(date, None)
            if look.archived:
                self._archived[date] = look.archived
            found = [each for of in self._faulty.values() for each in of.values()]
            self._tell(MISSING, [each for each in found if each.reason is MissingReason.OBJECT_MISSING])
            self._tell(CHANGED, [each for each in found if each.reason is MissingReason.OBJECT_CHANGED])
            self._tell(ARCHIVED, [each for of in self._archived.values() for each in of])
        return look

    def _tell(self, name: str, faults: list[Missing]) -> None:
        if not faults:
            self._alerts.clear_standing(self._storage.storage_id, name)
            return
        first = min(faults, key=lambda each: each.name)
        others = f", and {len(faults) - 1} others are like that" if len(faults) > 1 else ""
        self._alerts.raise_standing(self._storage.storage_id, name, f"{first.name}: {first.description}{others}")

    def _tell_gap(self, looked: Looked, date: str, error: Exception) -> None:
        why = str(error) if isinstance(error, StorageError) else "there was no time for it"
        text = f"whether its objects are there, and which others put there, can't be told: {why}"
        gap = Missing(MissingReason.OBJECT_UNREADABLE, self._storage.storage_id, date, text)
        looked.gaps.append(gap)
        if not isinstance(error, StorageError):
            looked.late.setdefault(gap.storage, []).append(gap)


def _reason(fault: Missing | None) -> MissingReason | None:
    return None if fault is None else fault.reason


def _awaited(work: Future[Any], go_on: Callable[[], object]) -> DateLook:
    while True:
        go_on()
        try:
            look: DateLook = work.result(1.0)
        except TimeoutError:
            if work.done() and work.exception() is not None:  # else it ended after the second
                raise
        except CancelledError:
            raise StorageError("the service is stopping") from None
        else:
            return look

"""Whether reading events went well, storage by storage, for the alerts: only the service's own failures count."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from server.audit_log.search.query import Missing, MissingReason
from server.errors import DeadlineExceeded, Unavailable
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.state.catalogue_rows import CatalogueObject
from server.storage.ports import StorageError

_FAULTS: Final = frozenset(
    {
        MissingReason.OBJECT_MISSING,
        MissingReason.OBJECT_CHANGED,
        MissingReason.OBJECT_UNREADABLE,
        MissingReason.RECEIPTS_UNREADABLE,
    }
)
"""What an answer lacks because a storage failed. A hole of the journal is none of a storage; a range elsewhere wasn't
asked for; time that ran out is its own matter."""
HasOwnAlert = Callable[[str, str], bool]
"""Whether a standing alert tells that an object, by storage and name, is gone or changed."""
PATIENCE_SECONDS: Final = 10.0
"""How long a storage may take to give objects before time that runs out is its failure, and not its caller's."""


def _has_none(_storage: str, _name: str) -> bool:
    return False


@dataclass(slots=True)
class Outcome:
    """How one reading went."""

    asked: set[str] = field(default_factory=set)
    """Storages that stored objects were wanted from."""
    faults: dict[str, str] = field(default_factory=dict)
    """By storage, what failed last."""
    late: set[str] = field(default_factory=set)
    """Storages whose objects hadn't come when the time ran out."""
    ran_out: bool = False
    """Whether it did."""
    has_own_alert: HasOwnAlert = _has_none
    excused: set[str] = field(default_factory=set)
    """Storages of which something couldn't be read that has an alert of its own."""
    _foreign: set[tuple[str, str]] = field(default_factory=set)
    _awaited: set[tuple[str, str]] = field(default_factory=set)

    def asks(self, objects: Iterable[CatalogueObject]) -> None:
        """These objects are wanted."""
        for item in objects:
            self.asked.add(item.storage)
            if item.is_foreign:
                self._foreign.add((item.storage, item.name))

    def passes_over(self, missing: Iterable[Missing]) -> None:
        """The answer may lack this, and it is no failure of ours."""
        self._foreign.update((each.storage, each.name) for each in missing)

    def waits(self, missing: Iterable[Missing]) -> None:
        """The answer lacks this for want of time, which is the storage's failure where it had enough."""
        self._awaited.update((each.storage, each.name) for each in missing)

    def is_of_others(self, missing: Missing) -> bool:
        """Whether what is missing is something that others put there."""
        return (missing.storage, missing.name) in self._foreign

    def lacks(self, missing: Iterable[Missing]) -> None:
        """The answer lacks this. What others put into a storage may be unreadable without a failure of ours."""
        for each in missing:
            self.ran_out = self.ran_out or each.reason is MissingReason.TIME_LIMIT
            is_fault = each.reason in _FAULTS and (each.storage, each.name) not in self._awaited
            if is_fault and not self.is_of_others(each) and not self.excuses(each.storage, each.name, each.reason):
                self.faults[each.storage] = f"{each.name}: {each.description}"

    def excuses(self, storage: str, name: str, reason: MissingReason) -> bool:
        """Whether an object that can't be read is one that others removed or changed, which an alert tells already. A
        storage that can't be asked for it fails all the same."""
        if is_excused := reason is not MissingReason.OBJECT_UNREADABLE and self.has_own_alert(storage, name):
            self.excused.add(storage)
        return is_excused


class Outcomes:
    """Counts readings. Safe to use from several threads."""

    def __init__(
        self,
        alerts: Alerts | None = None,
        clock: Callable[[], float] = time.monotonic,
        has_own_alert: HasOwnAlert = _has_none,
    ) -> None:
        self._alerts = alerts or Alerts()
        self._clock = clock
        self._has_own_alert = has_own_alert

    @contextmanager
    def counting(self, chosen: Collection[str]) -> Iterator[Outcome]:
        """Count what the block does with the `chosen` storages; what ends with another error counts as nothing."""
        outcome, begun = Outcome(has_own_alert=self._has_own_alert), self._clock()
        try:
            yield outcome
        except DeadlineExceeded:
            self._count_late(outcome, begun)
            raise
        except (StorageError, Unavailable) as error:
            named = error.metadata.get("storage", "") if isinstance(error, Unavailable) else ""
            failed = outcome.faults or {*(outcome.asked or chosen)} - outcome.excused
            for storage in {named}.intersection(chosen) if named else failed:
                self._alerts.failed(storage, AlertKind.EVENT_SEARCH, outcome.faults.get(storage, str(error)))
            raise
        self._count_late(outcome, begun)
        for storage, fault in outcome.faults.items():
            self._alerts.failed(storage, AlertKind.EVENT_SEARCH, fault)
        if not outcome.ran_out:
            for storage in outcome.asked - outcome.faults.keys() - outcome.late:
                self._alerts.succeeded(storage, AlertKind.EVENT_SEARCH)

    def _count_late(self, outcome: Outcome, begun: float) -> None:
        seconds = self._clock() - begun
        if seconds >= PATIENCE_SECONDS:
            for storage in outcome.late - outcome.faults.keys():
                text = f"its objects didn't come in {seconds:.0f} seconds"
                self._alerts.failed(storage, AlertKind.EVENT_SEARCH, text)

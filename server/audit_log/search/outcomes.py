"""Whether reading events went well, storage by storage, for the alerts: only the service's own failures count."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from server.audit_log.search.query import Missing, MissingReason
from server.errors import Unavailable
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.state.catalogue import CatalogueObject
from server.storage.ports import StorageError

_FAULTS: Final = frozenset(
    {
        MissingReason.OBJECT_MISSING,
        MissingReason.OBJECT_CHANGED,
        MissingReason.OBJECT_UNREADABLE,
        MissingReason.RECEIPTS_UNREADABLE,
    }
)
"""What an answer lacks because a storage failed. Time that ran out is the caller's as often as not; a hole of the
journal is none of a storage; a range elsewhere wasn't asked for."""


@dataclass(slots=True)
class Outcome:
    """How one reading went."""

    asked: set[str] = field(default_factory=set)
    """Storages that stored objects were wanted from."""
    faults: dict[str, str] = field(default_factory=dict)
    """By storage, what failed last."""
    _foreign: set[tuple[str, str]] = field(default_factory=set)

    def asks(self, objects: Iterable[CatalogueObject]) -> None:
        """These objects are wanted."""
        for item in objects:
            self.asked.add(item.storage)
            if item.is_foreign:
                self._foreign.add((item.storage, item.name))

    def passes_over(self, missing: Iterable[Missing]) -> None:
        """The answer may lack this, and it is no failure of ours."""
        self._foreign.update((each.storage, each.name) for each in missing)

    def lacks(self, missing: Iterable[Missing]) -> None:
        """The answer lacks this. What others put into a storage may be unreadable without a failure of ours."""
        for each in missing:
            if each.reason in _FAULTS and (each.storage, each.name) not in self._foreign:
                self.faults[each.storage] = f"{each.name}: {each.description}"


class Outcomes:
    """Counts readings. Safe to use from several threads."""

    def __init__(self, alerts: Alerts | None = None) -> None:
        self._alerts = alerts or Alerts()

    @contextmanager
    def counting(self, chosen: Collection[str]) -> Iterator[Outcome]:
        """Count what the block does with the `chosen` storages; what ends with another error counts as nothing."""
        outcome = Outcome()
        try:
            yield outcome
        except (StorageError, Unavailable) as error:
            named = error.metadata.get("storage", "") if isinstance(error, Unavailable) else ""
            for storage in [named] if named in chosen else outcome.faults or outcome.asked or chosen:
                self._alerts.failed(storage, AlertKind.EVENT_SEARCH, outcome.faults.get(storage, str(error)))
            raise
        for storage in outcome.asked | outcome.faults.keys():
            if storage in outcome.faults:
                self._alerts.failed(storage, AlertKind.EVENT_SEARCH, outcome.faults[storage])
            else:
                self._alerts.succeeded(storage, AlertKind.EVENT_SEARCH)

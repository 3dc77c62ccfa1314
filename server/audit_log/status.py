"""The state of the service, put together from its parts, and what of it is wrong."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from server.audit_log.access import Access
from server.audit_log.deliveries_by_storage import DeliveriesByStorage
from server.audit_log.gate import IntakeGate
from server.audit_log.journal.journal import Journal
from server.audit_log.journal.recovery import Recovery
from server.audit_log.state_of_service import (
    AlertState,
    CertificateState,
    JournalHole,
    JournalState,
    Problem,
    ServiceState,
    StorageState,
    TokenIssuerState,
    WaitingRecordings,
)
from server.audit_log.storages import DEFAULT, Storages, UnknownStorage
from server.audit_log.tail import Tail
from server.observability.alerts.alerts import Alert, Alerts
from server.observability.alerts.kinds import AlertKind
from server.state.catalogue import Catalogue
from server.storage.ports import StorageError

PROBLEMS = {
    "journal_closed": "the journal is closed after a failed write or sync; look at the disk and restart the service",
    "journal_failing": "the journal can't be written; look at the disk, its inodes and the quota of the user",
    "journal_full": "the journal has reached its quota; look at why batches are not delivered",
    "disk_floor": "the disk has less free space than journal.disk_floor_bytes; make room",
    "outbox_waiting": "changes are made whose audit events can't be journalled; they wait in the state database",
    "delivery_failing": "batches can't be delivered and stay in the journal; see the storage's last error",
}

_NAMELESS = {
    "aws_credentials": "AWS gives no credentials for an External Audit Storage; "
    "whoever has external_audit_storage:read sees why"
}
"""Warnings that may have names of AWS, as they are shown to callers who aren't told where the storage is."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the state tells of parts outside the audit log."""

    certificates: Callable[[], Sequence[CertificateState]]
    policy: Callable[[], tuple[str, tuple[str, ...]]]
    """Digest, and the names of the roles."""
    warnings: Callable[[], Sequence[Problem]]
    """What is wrong and doesn't keep the service from serving."""
    outbox_failing: Callable[[], bool]
    """Whether the service's own events can't be brought to the journal."""
    token_issuers: Callable[[], Sequence[TokenIssuerState]] = tuple
    alerts: Alerts = field(default_factory=Alerts)
    waiting_recordings: Callable[[], Mapping[str, WaitingRecordings]] = dict
    """By storage."""
    configuration: Callable[[], str] = str
    """Digest of the configuration in force."""


class Status:
    """Tells the state of the service. Lives on the event loop."""

    def __init__(
        self,
        version: str,
        journal: Journal,
        tail: Tail,
        gate: IntakeGate,
        catalogue: Catalogue,
        storages: Storages,
        deliveries: DeliveriesByStorage,
        recovery: Recovery,
        surroundings: Surroundings,
    ) -> None:
        self.version = version
        self._started_ms = _now_ms()
        self._journal = journal
        self._tail = tail
        self._gate = gate
        self._catalogue = catalogue
        self._storages = storages
        self._deliveries = deliveries
        self._recovery = recovery
        self._surroundings = surroundings
        self.journal_bytes = 0
        self.free_bytes = 0

    def observe(self, journal_bytes: int, free_bytes: int) -> None:
        """Take in how large the journal is and how much the disk has left."""
        self.journal_bytes, self.free_bytes = journal_bytes, free_bytes

    def problems(self) -> tuple[Problem, ...]:
        """What keeps the service from serving as it should, worst first."""
        names = [
            "journal_closed" if self._journal.closed else "",
            "journal_failing" if self._journal.failing and not self._journal.closed else "",
            self._gate.problem,
            "outbox_waiting" if self._surroundings.outbox_failing() else "",
            "delivery_failing" if self._deliveries.is_failing() or self._storages_lost() else "",
        ]
        return tuple(Problem(name, PROBLEMS[name]) for name in names if name)

    def warnings(self) -> Sequence[Problem]:
        """What is wrong and doesn't keep the service from serving."""
        return self._surroundings.warnings()

    def alerts(self) -> Sequence[Alert]:
        """Those that are raised, oldest first."""
        return self._surroundings.alerts.listed()

    def waiting_recordings(self) -> Mapping[str, WaitingRecordings]:
        """Recordings that couldn't be brought to their storages yet, by storage."""
        return self._surroundings.waiting_recordings()

    def storage_ids(self) -> Sequence[str]:
        """The known storages."""
        return self._storages.ids()

    def certificates(self) -> Sequence[CertificateState]:
        """Every certificate in force with its end."""
        return self._surroundings.certificates()

    async def state(self, access: Access, *, show_location: bool) -> ServiceState:
        """The whole state; without the storage's place unless `show_location`."""
        problems = self.problems()
        digest, roles = self._surroundings.policy()
        return ServiceState(
            self.version,
            self._started_ms,
            serving=not problems,
            problems=(*problems, *_warnings_shown(self.warnings(), show_location=show_location)),
            journal=self.journal_state(),
            storages=self._storage_states(show_location=show_location),
            certificates=tuple(self.certificates()),
            policy_digest=digest,
            roles=roles,
            token_issuers=tuple(self._surroundings.token_issuers()),
            configuration_digest=self._surroundings.configuration(),
            alerts=self._alert_states(show_location=show_location),
            answered_ms=_now_ms(),
        )

    @property
    def policy_digest(self) -> str:
        """The policy in force."""
        return self._surroundings.policy()[0]

    @property
    def batches_waiting(self) -> int:
        """Batches that are cut and not yet delivered."""
        return self._tail.cut_sections

    def delivery_errors(self) -> dict[str, str]:
        """Of each storage whose batches can't be delivered now why, in our own words."""
        return {**self._deliveries.errors(), **{each: str(UnknownStorage(each)) for each in self._storages_lost()}}

    def _storages_lost(self) -> set[str]:
        """The storages that events wait for and that nothing is known of."""
        known = self._storages.ids()
        return {pin.section.storage for pin in self._tail.pin() if pin.length and pin.section.storage not in known}

    def last_deliveries_ms(self) -> dict[str, int]:
        """When a batch was last confirmed in each storage that has one."""
        times = {each: self._catalogue.last_confirmed_ms(each) for each in self._storages.ids()}
        return {each: time for each, time in times.items() if time is not None}

    def journal_state(self) -> JournalState:
        """The journal's part."""
        oldest = self._tail.oldest_received_ms
        return JournalState(
            self._journal.log_id,
            self._journal.next_sequence,
            self._tail.events,
            self.journal_bytes,
            self._gate.quota_bytes,
            max(0, _now_ms() - oldest) if oldest is not None else 0,
            self._recovery.torn_tail_bytes,
            self.free_bytes,
            tuple(JournalHole(*hole) for hole in self._catalogue.holes()),
        )

    def _storage_states(self, *, show_location: bool) -> tuple[StorageState, ...]:
        errors = self.delivery_errors()
        known = dict.fromkeys((*self._storages.ids(), *self._catalogue.storages(), *errors))
        return tuple(self._storage_state(each, errors.get(each, ""), show_location=show_location) for each in known)

    def _storage_state(self, storage_id: str, error: str, *, show_location: bool) -> StorageState:
        objects = self._catalogue.objects(storage_id)
        failure = self._surroundings.alerts.last_failure(storage_id, AlertKind.EVENT_EMIT)
        shown = partial(_error_shown, storage_id, show_location=show_location)
        sections = self._tail.of_storage(storage_id)
        received = [time for section in sections if (time := section.oldest_received_ms) is not None]
        return StorageState(
            storage_id,
            active=storage_id == self._storages.active,
            objects=len(objects),
            foreign_objects=sum(item.is_foreign for item in objects),
            rows=sum(item.rows for item in objects),
            bytes=sum(item.bytes for item in objects),
            last_delivery_ms=self._catalogue.last_confirmed_ms(storage_id),
            last_delivery_error=shown(error),
            location=self._location(storage_id) if show_location else "",
            pending_events=sum(section.events for section in sections),
            pending_bytes=sum(section.bytes for section in sections),
            oldest_age_ms=max(0, _now_ms() - min(received)) if received else 0,
            last_failure_ms=failure.at_ms if failure is not None else None,
            last_failure=shown(failure.error) if failure is not None else "",
            recordings=self.waiting_recordings().get(storage_id, WaitingRecordings()),
        )

    def _alert_states(self, *, show_location: bool) -> tuple[AlertState, ...]:
        return tuple(
            AlertState(
                each.id,
                each.storage_id,
                each.severity.value,
                each.since_ms,
                each.text if _may_name(each.storage_id, show_location=show_location) else each.message,
                each.remedy,
            )
            for each in self.alerts()
        )

    def _location(self, storage_id: str) -> str:
        with contextlib.suppress(StorageError):  # of one that nothing is known of
            return self._storages.of(storage_id).location()
        return ""


def _warnings_shown(warnings: Iterable[Problem], *, show_location: bool) -> Iterable[Problem]:
    """Without `show_location` as they are without names, each once."""
    if show_location:
        return warnings
    return dict.fromkeys(Problem(each.name, _NAMELESS.get(each.name, each.description)) for each in warnings)


def _may_name(storage_id: str, *, show_location: bool) -> bool:
    """Whether an error of a storage may be shown: those of external ones may have names of AWS."""
    return show_location or storage_id == DEFAULT


def _error_shown(storage_id: str, error: str, *, show_location: bool) -> str:
    if not error or _may_name(storage_id, show_location=show_location):
        return error
    return "deliveries fail; whoever has external_audit_storage:read sees why"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

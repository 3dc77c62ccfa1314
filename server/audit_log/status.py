"""The state of the service, put together from its parts, and what of it is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.audit_log.access import Access
from server.audit_log.deliveries import Deliveries
from server.audit_log.gate import IntakeGate
from server.audit_log.journal.journal import Journal
from server.audit_log.journal.recovery import Recovery
from server.audit_log.state_of_service import (
    CertificateState,
    JournalHole,
    JournalState,
    Problem,
    ServiceState,
    StorageState,
    TokenIssuerState,
)
from server.audit_log.tail import Tail
from server.state.catalogue import Catalogue
from server.storage.ports import EventStorage

PROBLEMS = {
    "journal_closed": "the journal is closed after a failed write or sync; look at the disk and restart the service",
    "journal_failing": "the journal can't be written; look at the disk, its inodes and the quota of the user",
    "journal_full": "the journal has reached its quota; look at why batches are not delivered",
    "disk_floor": "the disk has less free space than journal.disk_floor_bytes; make room",
    "outbox_waiting": "changes are made whose audit events can't be journalled; they wait in the state database",
    "delivery_failing": "batches can't be delivered and stay in the journal; see the storage's last error",
}


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
        storage: EventStorage,
        deliveries: Deliveries,
        recovery: Recovery,
        surroundings: Surroundings,
    ) -> None:
        self.version = version
        self._started_ms = _now_ms()
        self._journal = journal
        self._tail = tail
        self._gate = gate
        self._catalogue = catalogue
        self._storage = storage
        self._deliveries = deliveries
        self._recovery = recovery
        self._surroundings = surroundings
        self.holes = tuple(JournalHole(*hole) for hole in catalogue.holes())
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
            "delivery_failing" if self._deliveries.last_error else "",
        ]
        return tuple(Problem(name, PROBLEMS[name]) for name in names if name)

    def warnings(self) -> Sequence[Problem]:
        """What is wrong and doesn't keep the service from serving."""
        return self._surroundings.warnings()

    async def state(self, access: Access, *, show_location: bool) -> ServiceState:
        """The whole state; without the storage's place unless `show_location`."""
        problems = self.problems()
        digest, roles = self._surroundings.policy()
        return ServiceState(
            self.version,
            self._started_ms,
            serving=not problems,
            problems=(*problems, *self.warnings()),
            journal=self.journal_state(),
            storages=(self._storage_state(show_location=show_location),),
            certificates=tuple(self._surroundings.certificates()),
            policy_digest=digest,
            roles=roles,
            token_issuers=tuple(self._surroundings.token_issuers()),
            configuration_digest=self._surroundings.configuration(),
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

    @property
    def storage_id(self) -> str:
        """The active storage."""
        return self._storage.storage_id

    @property
    def last_delivery_ms(self) -> int | None:
        """When a batch was last confirmed in it."""
        return self._catalogue.last_confirmed_ms(self._storage.storage_id)

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
            self.holes,
        )

    def _storage_state(self, *, show_location: bool) -> StorageState:
        storage_id = self._storage.storage_id
        objects = self._catalogue.objects(storage_id)
        return StorageState(
            storage_id,
            active=True,
            objects=len(objects),
            foreign_objects=sum(item.is_foreign for item in objects),
            rows=sum(item.rows for item in objects),
            bytes=sum(item.bytes for item in objects),
            last_delivery_ms=self.last_delivery_ms,
            last_delivery_error=self._deliveries.last_error,
            location=self._storage.location() if show_location else "",
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

"""The state of the service."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from extaudit.v1 import alert_pb2
from extaudit.v1 import status_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from extaudit_client.rows import time_from
from extaudit_client.storage_rows import ExternalAuditStorage, storage_from


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong now: a stable short name, and words with the remedy."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class JournalHole:
    """A range of sequences lost to damage."""

    log_id: str
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """What is acknowledged and not yet in a confirmed batch; `oldest_age` is in seconds."""

    log_id: str
    next_sequence: int
    pending_events: int
    bytes: int
    quota_bytes: int
    oldest_age: float
    torn_tail_bytes: int
    holes: tuple[JournalHole, ...]
    free_disk_bytes: int


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """One storage; `location` is empty for callers who may not know it. `pending_…` is in the journal, on its way
    there; `waiting_…` are recordings that are complete and couldn't be brought there yet. Ages are in seconds.
    `last_delivery_error` is empty when the last delivery went well, `last_failure` stays."""

    id: str
    active: bool
    objects: int
    foreign_objects: int
    rows: int
    bytes: int
    last_delivery_time: datetime | None
    last_delivery_error: str
    location: str
    pending_events: int = 0
    pending_bytes: int = 0
    oldest_pending_age: float = 0.0
    last_failure_time: datetime | None = None
    last_failure: str = ""
    waiting_recordings: int = 0
    waiting_recording_bytes: int = 0
    oldest_recording_age: float = 0.0


class AlertSeverity(enum.Enum):
    """How soon somebody should look."""

    UNKNOWN = "unknown"
    """The service is newer than this client."""
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that is raised: something of a storage fails so often, or is so wrong, that somebody has to look."""

    id: str
    storage: str
    severity: AlertSeverity
    raise_time: datetime
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """One certificate that the service uses (`server`, `public`) or trusts (`host_ca`, `user_ca`)."""

    use: str
    subject: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class TokenIssuerStatus:
    """One issuer whose tokens are accepted; `key_ids` is empty when none of its keys counts."""

    issuer: str
    key_ids: tuple[str, ...]
    fetch_time: datetime | None
    last_error: str


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the service; `problems` come worst first, `storages` with the active one first."""

    version: str
    start_time: datetime
    serving: bool
    problems: tuple[Problem, ...]
    journal: JournalStatus
    storages: tuple[StorageStatus, ...]
    certificates: tuple[CertificateStatus, ...]
    policy_digest: str
    roles: tuple[str, ...]
    token_issuers: tuple[TokenIssuerStatus, ...] = ()
    configuration_digest: str = ""
    answer_time: datetime | None = None
    """The time by the service's clock; None from services that don't tell it."""
    cluster: ExternalAuditStorage | None = None
    """The external audit storage in force; None where there is none, or for callers who may not know it."""
    draft: ExternalAuditStorage | None = None
    """The draft of one, likewise."""
    alerts: tuple[Alert, ...] = ()
    """The oldest first."""


def status_from(response: pb.GetStatusResponse) -> Status:
    """Read an answer."""
    return Status(
        version=response.version,
        start_time=time_from(response.start_time),
        serving=response.serving,
        problems=tuple(Problem(p.name, p.description) for p in response.problems),
        journal=_journal(response.journal),
        storages=tuple(_storage(storage) for storage in response.storages),
        certificates=tuple(
            CertificateStatus(c.use, c.subject, time_from(c.expire_time)) for c in response.certificates
        ),
        policy_digest=response.policy_digest,
        configuration_digest=response.configuration_digest,
        answer_time=time_from(response.answer_time) if response.HasField("answer_time") else None,
        roles=tuple(response.roles),
        cluster=storage_from(response.cluster) if response.HasField("cluster") else None,
        draft=storage_from(response.draft) if response.HasField("draft") else None,
        token_issuers=tuple(_token_issuer(issuer) for issuer in response.token_issuers),
        alerts=tuple(_alert(alert) for alert in response.alerts),
    )


def _token_issuer(message: pb.TokenIssuerStatus) -> TokenIssuerStatus:
    fetched = time_from(message.fetch_time) if message.HasField("fetch_time") else None
    return TokenIssuerStatus(message.issuer, tuple(message.key_ids), fetched, message.last_error)


_SEVERITIES = {
    alert_pb2.ALERT_SEVERITY_MEDIUM: AlertSeverity.MEDIUM,
    alert_pb2.ALERT_SEVERITY_HIGH: AlertSeverity.HIGH,
}


def _alert(message: alert_pb2.Alert) -> Alert:
    severity = _SEVERITIES.get(message.severity, AlertSeverity.UNKNOWN)
    raised = time_from(message.raise_time)
    return Alert(message.id, message.storage, severity, raised, message.message, message.remedy)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _journal(message: pb.JournalStatus) -> JournalStatus:
    return JournalStatus(
        log_id=message.log_id,
        next_sequence=message.next_sequence,
        pending_events=message.pending_events,
        bytes=message.bytes,
        quota_bytes=message.quota_bytes,
        oldest_age=_seconds(message.oldest_age),
        torn_tail_bytes=message.torn_tail_bytes,
        holes=tuple(JournalHole(h.log_id, h.first_sequence, h.last_sequence) for h in message.holes),
        free_disk_bytes=message.free_disk_bytes,
    )


def _storage(message: pb.StorageStatus) -> StorageStatus:
    delivered = time_from(message.last_delivery_time) if message.HasField("last_delivery_time") else None
    return StorageStatus(
        id=message.id,
        active=message.active,
        objects=message.objects,
        foreign_objects=message.foreign_objects,
        rows=message.rows,
        bytes=message.bytes,
        last_delivery_time=delivered,
        last_delivery_error=message.last_delivery_error,
        location=message.location,
        pending_events=message.pending_events,
        pending_bytes=message.pending_bytes,
        oldest_pending_age=_seconds(message.oldest_pending_age),
        last_failure_time=time_from(message.last_failure_time) if message.HasField("last_failure_time") else None,
        last_failure=message.last_failure,
        waiting_recordings=message.waiting_recordings,
        waiting_recording_bytes=message.waiting_recording_bytes,
        oldest_recording_age=_seconds(message.oldest_recording_age),
    )

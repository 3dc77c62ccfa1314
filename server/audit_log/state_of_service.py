"""The state of the service as GetStatus tells it, in the use case's own types. Times are ms since 1970."""

from __future__ import annotations

from dataclasses import dataclass, field


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
class JournalState:
    """The journal: what is acknowledged and not yet confirmed in the storage."""

    log_id: str
    next_sequence: int
    pending_events: int
    bytes: int
    quota_bytes: int
    oldest_age_ms: int
    torn_tail_bytes: int
    free_disk_bytes: int
    holes: tuple[JournalHole, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitingRecordings:
    """Recordings that are complete and couldn't be brought to a storage yet."""

    recordings: int = 0
    bytes: int = 0
    oldest_age_ms: int = 0


@dataclass(frozen=True, slots=True)
class AlertState:
    """An alert that is raised; `message` is what its reader may see."""

    id: str
    storage: str
    severity: str
    """`MEDIUM` or `HIGH`."""
    raised_ms: int
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class StorageState:
    """One storage and what the catalogue knows of it."""

    id: str
    active: bool
    objects: int
    foreign_objects: int
    rows: int
    bytes: int
    last_delivery_ms: int | None
    last_delivery_error: str
    location: str
    pending_events: int = 0
    """In the journal, on their way to it."""
    pending_bytes: int = 0
    """Of their JSON."""
    oldest_age_ms: int = 0
    """How long the oldest of them waits."""
    last_failure_ms: int | None = None
    """When a delivery last failed since the start."""
    last_failure: str = ""
    recordings: WaitingRecordings = WaitingRecordings()


@dataclass(frozen=True, slots=True)
class CertificateState:
    """A certificate in use: `server`, `public` (the public listener's), `host_ca` or `user_ca`."""

    use: str
    subject: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class TokenIssuerState:
    """An issuer whose tokens are accepted, and its keys."""

    issuer: str
    key_ids: tuple[str, ...]
    fetched_ms: int | None
    last_error: str


@dataclass(frozen=True, slots=True)
class ServiceState:
    """Everything GetStatus tells."""

    version: str
    started_ms: int
    serving: bool
    problems: tuple[Problem, ...]
    journal: JournalState
    storages: tuple[StorageState, ...]
    certificates: tuple[CertificateState, ...] = field(default=())
    policy_digest: str = ""
    roles: tuple[str, ...] = ()
    token_issuers: tuple[TokenIssuerState, ...] = ()
    configuration_digest: str = ""
    alerts: tuple[AlertState, ...] = ()
    answered_ms: int = 0
    """The time, by the service's clock."""

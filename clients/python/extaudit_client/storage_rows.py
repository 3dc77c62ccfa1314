"""External audit storages, their tests and their history, as answers show them and requests name them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from extaudit.v1 import external_audit_storage_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from extaudit_client.names import OBJECT_LOCK_MODES, PROMOTION_KINDS, STORAGE_STAGES, name_of, value_of
from extaudit_client.rows import Identity, identity_from, time_from


@dataclass(frozen=True, slots=True)
class StorageSpec:
    """The nine fields that say where an external audit storage is."""

    integration_name: str
    region: str
    session_recordings_uri: str
    audit_events_long_term_uri: str
    athena_results_uri: str
    athena_workgroup: str
    glue_database: str
    glue_table: str
    policy_name: str


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """How its infrastructure is set up; what is empty or 0 in a request is the service's default.

    `object_lock_mode` is governance, compliance or none; `retention_days` 0 keeps everything.
    """

    object_lock_mode: str = ""
    object_lock_days: int = 0
    kms_key_arn: str = ""
    retention_days: int = 0
    results_days: int = 0
    scan_limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionTest:
    """A connection test that ended."""

    id: str
    passed: bool
    test_time: datetime
    tester: Identity
    role_arn: str


@dataclass(frozen=True, slots=True)
class ExternalAuditStorage:
    """A draft, or the storage in force; `stage` is draft or cluster.

    `last_test` is the latest of exactly this revision and of the integration as it is, None where there is none.
    """

    stage: str
    spec: StorageSpec
    options: StorageOptions
    description: str
    revision: str
    storage_id: str
    account_id: str
    drafter: Identity
    draft_time: datetime
    promoter: Identity | None
    promote_time: datetime | None
    last_test: ConnectionTest | None


@dataclass(frozen=True, slots=True)
class Promotion:
    """A row of the history; `kind` is promote, disable or role_change, `storage_id` the storage active from then on."""

    number: int
    kind: str
    promote_time: datetime
    promoter: Identity
    storage_id: str
    spec: StorageSpec
    options: StorageOptions
    description: str
    role_arn: str
    drafter: Identity | None
    draft_time: datetime | None
    test: ConnectionTest | None
    forced: bool
    reason: str


def spec_message(spec: StorageSpec) -> pb.ExternalAuditStorageSpec:
    """Write the nine fields."""
    return pb.ExternalAuditStorageSpec(**asdict(spec))


def options_message(options: StorageOptions) -> pb.ExternalAuditStorageOptions:
    """Write the options.

    Raises:
        ValueError: the mode isn't known, or a number is none that a message can hold.
    """
    members: dict[str, Any] = asdict(options)
    members["object_lock_mode"] = value_of(options.object_lock_mode, OBJECT_LOCK_MODES)
    return pb.ExternalAuditStorageOptions(**members)


def storage_from(message: pb.ExternalAuditStorage) -> ExternalAuditStorage:
    """Read a draft, or the storage in force."""
    return ExternalAuditStorage(
        name_of(message.stage, STORAGE_STAGES),
        _spec(message.spec),
        _options(message.options),
        message.description,
        message.revision,
        message.storage_id,
        message.account_id,
        identity_from(message.drafter),
        time_from(message.draft_time),
        identity_from(message.promoter) if message.HasField("promoter") else None,
        _time(message, "promote_time"),
        test_from(message.last_test) if message.HasField("last_test") else None,
    )


def test_from(message: pb.ConnectionTestSummary) -> ConnectionTest:
    """Read a connection test as it is kept."""
    tester = identity_from(message.tester)
    return ConnectionTest(message.id, message.passed, time_from(message.test_time), tester, message.role_arn)


def promotion_from(message: pb.Promotion) -> Promotion:
    """Read a row of the history."""
    return Promotion(
        message.number,
        name_of(message.kind, PROMOTION_KINDS),
        time_from(message.promote_time),
        identity_from(message.promoter),
        message.storage_id,
        _spec(message.spec),
        _options(message.options),
        message.description,
        message.role_arn,
        identity_from(message.drafter) if message.HasField("drafter") else None,
        _time(message, "draft_time"),
        test_from(message.test) if message.HasField("test") else None,
        message.forced,
        message.reason,
    )


def _spec(message: pb.ExternalAuditStorageSpec) -> StorageSpec:
    return StorageSpec(**{name: getattr(message, name) for name in StorageSpec.__slots__})


def _options(message: pb.ExternalAuditStorageOptions) -> StorageOptions:
    members = {name: getattr(message, name) for name in StorageOptions.__slots__}
    return StorageOptions(**members | {"object_lock_mode": name_of(message.object_lock_mode, OBJECT_LOCK_MODES)})


def _time(message: Any, field: str) -> datetime | None:
    at: Timestamp = getattr(message, field)
    return time_from(at) if message.HasField(field) else None

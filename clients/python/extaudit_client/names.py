"""Short names of proto enum values: `MISSING_REASON_TIME_LIMIT` is `time_limit`, the unspecified one is empty."""

from __future__ import annotations

from typing import Any

from extaudit.v1 import access_service_pb2 as access_pb
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import connection_check_pb2, event_pb2, external_audit_storage_pb2, integration_pb2, recording_pb2
from extaudit.v1 import event_query_pb2 as query_pb

IDENTITY_KINDS = (event_pb2.IdentityKind, "IDENTITY_KIND_", "")
ENGINES = (pb.SearchEngine, "SEARCH_ENGINE_", "")
ORDERS = (pb.SearchOrder, "SEARCH_ORDER_", "_FIRST")
MISSING_REASONS = (query_pb.MissingReason, "MISSING_REASON_", "")

ACCESS_DECISIONS = (access_pb.AccessDecision, "ACCESS_DECISION_", "")
ACCESS_BASES = (access_pb.AccessBasis, "ACCESS_BASIS_", "")

UPLOAD_STATES = (recording_pb2.UploadState, "UPLOAD_STATE_", "")
SESSION_KINDS = (recording_pb2.SessionKind, "SESSION_KIND_", "")

SIGNING_KEY_STATES = (integration_pb2.SigningKeyState, "SIGNING_KEY_STATE_", "")

STORAGE_STAGES = (external_audit_storage_pb2.ExternalAuditStorageStage, "EXTERNAL_AUDIT_STORAGE_STAGE_", "")
PROMOTION_KINDS = (external_audit_storage_pb2.PromotionKind, "PROMOTION_KIND_", "")
CHECK_OUTCOMES = (connection_check_pb2.ConnectionCheckOutcome, "CONNECTION_CHECK_OUTCOME_", "")
OBJECT_LOCK_MODES = (external_audit_storage_pb2.ObjectLockMode, "OBJECT_LOCK_MODE_", "")

Names = tuple[Any, str, str]


def name_of(value: int, names: Names) -> str:
    """Give the short name; the number as text when the server knows a value that this client doesn't."""
    enum, prefix, suffix = names
    if value == 0:
        return ""
    if value not in enum.values():
        return str(value)
    return str(enum.Name(value)).removeprefix(prefix).removesuffix(suffix).lower()


def value_of(name: str, names: Names) -> int:
    """Give the value of a short name.

    Raises:
        ValueError: there is no such name.
    """
    enum, prefix, suffix = names
    if not name:
        return 0
    full = f"{prefix}{name.upper()}{suffix}"
    if full not in enum.keys():  # noqa: SIM118 (an enum wrapper is no mapping)
        raise ValueError(f"{name!r} is not one of {', '.join(known(names))}")
    return int(enum.Value(full))


def known(names: Names) -> list[str]:
    """Give every short name but the unspecified one."""
    return [name_of(value, names) for value in names[0].values() if value]


def stage_value(name: str) -> external_audit_storage_pb2.ExternalAuditStorageStage.ValueType:
    """Give the value of a stage, `draft` or `cluster`.

    Raises:
        ValueError: there is no such stage.
    """
    return value_of(name, STORAGE_STAGES)  # type: ignore[return-value]  # enum values are plain numbers when they run

"""Python client of extaudit: emit audit events and find them again, keep recordings, ask how the service is."""

from extaudit_client.access import AccessCheck, DecidingRule, Hypothesis, Role, RoleRule
from extaudit_client.async_client import AsyncClient
from extaudit_client.async_emitter import AsyncEmitter
from extaudit_client.async_integrations import AsyncIntegrations
from extaudit_client.async_recordings import AsyncRecordings
from extaudit_client.async_storages import AsyncStorages
from extaudit_client.chunks import EventChunk, EventChunks
from extaudit_client.client import Client
from extaudit_client.connection import Connection
from extaudit_client.connection_checks import ConnectionCheck, ConnectionTestEnd
from extaudit_client.diversions import Diversion, DivertedSequences, WaitingUpload
from extaudit_client.emitter import Emitter
from extaudit_client.emitter_state import EmitterStats, Trouble
from extaudit_client.emitting import Acknowledgement, EmittedEvent, Refusal, Repetition
from extaudit_client.errors import (
    AlreadyExists,
    AmbiguousUid,
    CertificateExpired,
    ConnectionFailed,
    DataLoss,
    Exhausted,
    ExtauditError,
    IncompleteAnswer,
    InvalidPageToken,
    InvalidRequest,
    Locked,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    RateLimited,
    RecordingMismatch,
    ServiceFault,
    StaleRevision,
    TimedOut,
    TokenExpired,
    Unauthenticated,
    Unavailable,
    Unsupported,
    UploadNotOpen,
    UploadTakenUp,
    Violation,
)
from extaudit_client.exported_events import EmitterAtPeer, ExportedEvents
from extaudit_client.exports import ExportSource, WatchedColumns
from extaudit_client.infrastructure import (
    AwsTag,
    BucketPlan,
    ColumnPlan,
    GlueTablePlan,
    InfrastructurePlan,
    LifecycleRulePlan,
    RolePolicyPlan,
    WorkgroupPlan,
)
from extaudit_client.integration_rows import Integration, WebIdentity
from extaudit_client.integrations import Integrations
from extaudit_client.locks import Lock
from extaudit_client.prefetching import prefetched
from extaudit_client.recorded_events import RecordedEvent, RecordingDamage, RecordingSummary
from extaudit_client.recorded_text import HitPage, RecordingHit, TextQuery
from extaudit_client.recording_rows import Recording, Upload
from extaudit_client.recordings import Recordings
from extaudit_client.retries import Retries
from extaudit_client.rows import EventRow, Identity, Position, Receipt
from extaudit_client.searches import FieldEquality, MissingPart, Page, Query, SearchCost, Watermark
from extaudit_client.sessions import ReindexProgress, Session, SessionPage, SessionQuery
from extaudit_client.signing_keys import SigningKey
from extaudit_client.spool.dead_letters import RefusedEvent
from extaudit_client.spool.errors import SpoolClosed, SpoolError, SpoolFailed, SpoolFull, SpoolInUse
from extaudit_client.statuses import Status
from extaudit_client.storage_rows import (
    ConnectionTest,
    ExternalAuditStorage,
    Promotion,
    StorageOptions,
    StorageSpec,
)
from extaudit_client.storages import Storages
from extaudit_client.uploading import Uploaded
from extaudit_client.watching import WatchedEvents

__all__ = [
    "AccessCheck",
    "Acknowledgement",
    "AlreadyExists",
    "AmbiguousUid",
    "AsyncClient",
    "AsyncEmitter",
    "AsyncIntegrations",
    "AsyncRecordings",
    "AsyncStorages",
    "AwsTag",
    "BucketPlan",
    "CertificateExpired",
    "Client",
    "ColumnPlan",
    "Connection",
    "ConnectionCheck",
    "ConnectionFailed",
    "ConnectionTest",
    "ConnectionTestEnd",
    "DataLoss",
    "DecidingRule",
    "Diversion",
    "DivertedSequences",
    "EmittedEvent",
    "Emitter",
    "EmitterAtPeer",
    "EmitterStats",
    "EventChunk",
    "EventChunks",
    "EventRow",
    "Exhausted",
    "ExportSource",
    "ExportedEvents",
    "ExtauditError",
    "ExternalAuditStorage",
    "FieldEquality",
    "GlueTablePlan",
    "HitPage",
    "Hypothesis",
    "Identity",
    "IncompleteAnswer",
    "InfrastructurePlan",
    "Integration",
    "Integrations",
    "InvalidPageToken",
    "InvalidRequest",
    "LifecycleRulePlan",
    "Lock",
    "Locked",
    "MissingPart",
    "NotFound",
    "Page",
    "PermissionDenied",
    "Position",
    "PreconditionFailed",
    "Promotion",
    "Query",
    "RateLimited",
    "Receipt",
    "RecordedEvent",
    "Recording",
    "RecordingDamage",
    "RecordingHit",
    "RecordingMismatch",
    "RecordingSummary",
    "Recordings",
    "Refusal",
    "RefusedEvent",
    "ReindexProgress",
    "Repetition",
    "Retries",
    "Role",
    "RolePolicyPlan",
    "RoleRule",
    "SearchCost",
    "ServiceFault",
    "Session",
    "SessionPage",
    "SessionQuery",
    "SigningKey",
    "SpoolClosed",
    "SpoolError",
    "SpoolFailed",
    "SpoolFull",
    "SpoolInUse",
    "StaleRevision",
    "Status",
    "StorageOptions",
    "StorageSpec",
    "Storages",
    "TextQuery",
    "TimedOut",
    "TokenExpired",
    "Trouble",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "Upload",
    "UploadNotOpen",
    "UploadTakenUp",
    "Uploaded",
    "Violation",
    "WaitingUpload",
    "WatchedColumns",
    "WatchedEvents",
    "Watermark",
    "WebIdentity",
    "WorkgroupPlan",
    "prefetched",
]

"""What each gRPC method needs: one row per method, and a method without a row is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

Alternative = tuple[str, tuple[str, ...]]
"""A kind and the verbs on it that are all needed."""


@dataclass(frozen=True, slots=True)
class Permission:
    """Who may call a method; exactly one of the three is set.

    `alternatives`: whoever holds at least one of them, and all of `also`; which ones are held may widen the answer.
    `any_role`: every identity all of whose roles are loaded.
    `anyone`: every peer that passes TLS, whether or not its certificate gives an identity.
    """

    alternatives: tuple[Alternative, ...] = ()
    any_role: bool = False
    anyone: bool = False
    also: tuple[Alternative, ...] = ()
    """What is needed on other kinds beside one of the alternatives, all of it."""
    wider: tuple[Alternative, ...] = ()
    """What isn't needed, and lets whoever holds it do more with the method."""
    by_object: bool = False
    """The method shows or touches only objects that the caller's conditions admit. The others ask before there is an
    object, and a condition on one then allows nothing. Needs exactly one alternative."""

    def __post_init__(self) -> None:
        if bool(self.alternatives) + self.any_role + self.anyone != 1:
            raise ValueError("a permission is either alternatives, any role or anyone")
        if not all(kind and verbs for kind, verbs in self.named):
            raise ValueError("an alternative needs a kind and at least one verb")
        if (self.also or self.wider) and (self.by_object or not self.alternatives):
            raise ValueError("what is needed beside alternatives, or widens them, needs some, and no object")
        if self.by_object and len(self.alternatives) != 1:
            raise ValueError("a permission by object has one alternative")

    @property
    def named(self) -> tuple[Alternative, ...]:
        """Every right that the method asks about."""
        return (*self.alternatives, *self.also, *self.wider)

    def __str__(self) -> str:
        """The rights that are needed, such as `event:list or event:read, and integration:read`."""
        needs = " or ".join(_text(each) for each in self.alternatives)
        return ", and ".join([needs, *(_text(each) for each in self.also)])


def _text(alternative: Alternative) -> str:
    kind, verbs = alternative
    return f"{kind}:{'+'.join(verbs)}"


EMIT_EVENTS: Final[Alternative] = ("event", ("create",))
SEARCH_EVENTS: Final[Alternative] = ("event", ("list",))
CREATE_SESSIONS: Final[Alternative] = ("session", ("create",))
UPDATE_SESSIONS: Final[Alternative] = ("session", ("update",))
"""Lets CompleteUpload complete another's upload as partial."""
LIST_SESSIONS: Final[Alternative] = ("session", ("list",))
READ_SESSIONS: Final[Alternative] = ("session", ("read",))
SEARCH_SESSIONS: Final[Alternative] = ("session", ("list", "read"))
READ_ROLES: Final[Alternative] = ("role", ("read",))
CREATE_LOCKS: Final[Alternative] = ("lock", ("create",))
LIST_LOCKS: Final[Alternative] = ("lock", ("list",))
DELETE_LOCKS: Final[Alternative] = ("lock", ("delete",))
READ_INTEGRATIONS: Final[Alternative] = ("integration", ("read",))
CREATE_STORAGES: Final[Alternative] = ("external_audit_storage", ("create",))
READ_STORAGES: Final[Alternative] = ("external_audit_storage", ("read",))
PUT_STORAGES: Final[Alternative] = ("external_audit_storage", ("create", "update"))
DELETE_STORAGES: Final[Alternative] = ("external_audit_storage", ("delete",))
CREATE_INTEGRATIONS: Final[Alternative] = ("integration", ("create",))
LIST_INTEGRATIONS: Final[Alternative] = ("integration", ("read", "list"))
UPDATE_INTEGRATIONS: Final[Alternative] = ("integration", ("update",))
DELETE_INTEGRATIONS: Final[Alternative] = ("integration", ("delete",))
UPDATE_STORAGES: Final[Alternative] = ("external_audit_storage", ("update",))
"""Lets UpdateIntegration change the role ARN; and DELETE_STORAGES lets it force that."""
STATUS_WITH_PLACES: Final[Alternative] = ("external_audit_storage", ("read",))
"""Gives GetStatus with the names of the storage's place."""
STATUS_ONLY: Final[Alternative] = ("cluster_alert", ("list",))
"""Gives GetStatus without the names of the storage's place."""

PERMISSIONS: Final[Mapping[str, Permission]] = MappingProxyType(
    {
        "/extaudit.v1.AuditLogService/EmitEvent": Permission((EMIT_EVENTS,)),
        "/extaudit.v1.AuditLogService/EmitEvents": Permission((EMIT_EVENTS,)),
        "/extaudit.v1.AuditLogService/SearchEvents": Permission((SEARCH_EVENTS,), by_object=True),
        "/extaudit.v1.AuditLogService/GetEvent": Permission((SEARCH_EVENTS,), by_object=True),
        "/extaudit.v1.AuditLogService/ListEventChunks": Permission((SEARCH_EVENTS,), by_object=True),
        "/extaudit.v1.AuditLogService/ExportEvents": Permission((SEARCH_EVENTS,), by_object=True),
        "/extaudit.v1.AuditLogService/WatchEvents": Permission((SEARCH_EVENTS,), by_object=True),
        "/extaudit.v1.RecordingService/UploadRecording": Permission((CREATE_SESSIONS,)),
        "/extaudit.v1.RecordingService/GetUpload": Permission((CREATE_SESSIONS,)),
        "/extaudit.v1.RecordingService/CompleteUpload": Permission((CREATE_SESSIONS, UPDATE_SESSIONS)),
        "/extaudit.v1.RecordingService/AbortUpload": Permission((CREATE_SESSIONS,)),
        "/extaudit.v1.RecordingService/ListRecordings": Permission((LIST_SESSIONS,), by_object=True),
        "/extaudit.v1.RecordingService/SearchRecordings": Permission((SEARCH_SESSIONS,), by_object=True),
        "/extaudit.v1.RecordingService/DownloadRecording": Permission((READ_SESSIONS,), by_object=True),
        "/extaudit.v1.RecordingService/StreamRecordingEvents": Permission((READ_SESSIONS,), by_object=True),
        "/extaudit.v1.RecordingService/ReindexRecordings": Permission((UPDATE_SESSIONS,)),
        "/extaudit.v1.AccessService/ListRoles": Permission((READ_ROLES,)),
        "/extaudit.v1.AccessService/CheckAccess": Permission((READ_ROLES,)),
        "/extaudit.v1.AccessService/CreateLock": Permission((CREATE_LOCKS,)),
        "/extaudit.v1.AccessService/ListLocks": Permission((LIST_LOCKS,)),
        "/extaudit.v1.AccessService/DeleteLock": Permission((DELETE_LOCKS,)),
        "/extaudit.v1.ExternalAuditStorageService/GenerateDraft": Permission(
            (CREATE_STORAGES,), also=(READ_INTEGRATIONS,)
        ),
        "/extaudit.v1.ExternalAuditStorageService/CreateDraft": Permission(
            (CREATE_STORAGES,), also=(READ_INTEGRATIONS,)
        ),
        "/extaudit.v1.ExternalAuditStorageService/UpsertDraft": Permission((PUT_STORAGES,), also=(READ_INTEGRATIONS,)),
        "/extaudit.v1.ExternalAuditStorageService/GetDraft": Permission((READ_STORAGES,)),
        "/extaudit.v1.ExternalAuditStorageService/DeleteDraft": Permission((DELETE_STORAGES,)),
        "/extaudit.v1.ExternalAuditStorageService/GetCluster": Permission((READ_STORAGES,)),
        "/extaudit.v1.IntegrationService/CreateIntegration": Permission((CREATE_INTEGRATIONS,)),
        "/extaudit.v1.IntegrationService/GetIntegration": Permission((READ_INTEGRATIONS,)),
        "/extaudit.v1.IntegrationService/ListIntegrations": Permission((LIST_INTEGRATIONS,)),
        "/extaudit.v1.IntegrationService/UpdateIntegration": Permission(
            (UPDATE_INTEGRATIONS,), wider=(UPDATE_STORAGES, DELETE_STORAGES)
        ),
        "/extaudit.v1.IntegrationService/DeleteIntegration": Permission((DELETE_INTEGRATIONS,)),
        "/extaudit.v1.ExternalAuditStorageService/GetIamPolicy": Permission((READ_STORAGES,)),
        "/extaudit.v1.ExternalAuditStorageService/PlanInfrastructure": Permission(
            (UPDATE_STORAGES,), also=(READ_INTEGRATIONS,)
        ),
        "/extaudit.v1.IntegrationService/RotateSigningKey": Permission((UPDATE_INTEGRATIONS,)),
        "/extaudit.v1.ExternalAuditStorageService/PromoteToCluster": Permission(
            (PUT_STORAGES,), also=(READ_INTEGRATIONS,), wider=(DELETE_STORAGES,)
        ),
        "/extaudit.v1.ExternalAuditStorageService/DisableCluster": Permission((DELETE_STORAGES,)),
        "/extaudit.v1.ExternalAuditStorageService/DivertStorage": Permission((DELETE_STORAGES,)),
        "/extaudit.v1.ExternalAuditStorageService/ListPromotions": Permission((READ_STORAGES,)),
        "/extaudit.v1.ExternalAuditStorageService/TestConnection": Permission(
            (UPDATE_STORAGES,), also=(READ_INTEGRATIONS,)
        ),
        "/extaudit.v1.StatusService/GetStatus": Permission((STATUS_WITH_PLACES, STATUS_ONLY)),
        "/grpc.health.v1.Health/Check": Permission(anyone=True),
        "/grpc.health.v1.Health/Watch": Permission(anyone=True),
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Permission(any_role=True),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Permission(any_role=True),
    }
)
"""From a full method name to what it needs."""

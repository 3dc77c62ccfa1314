"""What each command needs of the caller's roles, to tell those whose call is denied: the service's answer doesn't."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NEEDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "events emit": "event:create",
        "events search": "event:list",
        "events get": "event:list",
        "events tail": "event:list",
        "events export": "event:list",
        "recordings upload": "session:create",
        "recordings complete": "session:create, or with --partial session:update",
        "recordings abort": "session:create",
        "recordings list": "session:list",
        "recordings search": "session:list and session:read",
        "recordings download": "session:read",
        "recordings play": "session:read",
        "recordings reindex": "session:update",
        "roles list": "role:read",
        "roles can": "role:read",
        "integrations create": "integration:create",
        "integrations get": "integration:read",
        "integrations list": "integration:read and integration:list",
        "integrations update": "integration:read and integration:update, external_audit_storage:update where the role "
        "changes, and with --force external_audit_storage:delete",
        "integrations delete": "integration:delete",
        "storage bootstrap": "external_audit_storage:update and integration:read",
        "storage generate": "external_audit_storage:create and integration:read",
        "storage show": "external_audit_storage:read",
        "storage apply": "external_audit_storage:read, external_audit_storage:create, external_audit_storage:update "
        "and integration:read",
        "storage promote": "external_audit_storage:read, external_audit_storage:create, external_audit_storage:update "
        "and integration:read, and with --force external_audit_storage:delete",
        "storage disable": "external_audit_storage:read and external_audit_storage:delete",
        "storage divert": "external_audit_storage:delete",
        "storage delete-draft": "external_audit_storage:delete",
        "storage history": "external_audit_storage:read",
        "storage test": "external_audit_storage:update and integration:read",
        "storage iam-policy": "external_audit_storage:read",
        "storage terraform": "external_audit_storage:update and integration:read",
        "integrations aws-setup": "integration:read",
        "locks add": "lock:create",
        "locks list": "lock:list",
        "locks remove": "lock:delete",
        "integrations rotate-key": "integration:update",
        "status": "external_audit_storage:read or cluster_alert:list",
        "doctor": "external_audit_storage:read or cluster_alert:list",
    }
)
"""Command, without the program's name → kind:verb, as rbac.permissions has it of the methods that it calls."""


def need_text(command_path: str) -> str:
    """What to add to a denial; '' for a command that isn't known here."""
    need = NEEDS.get(command_path.partition(" ")[2])
    return f"; this needs {need}, and each of your roles to be loaded" if need else ""

"""Every RPC as a bare call, and what each preset may call: a table written by hand, not made from the policy."""

from __future__ import annotations

from typing import Any

import grpc
import yaml
from extaudit.v1 import (
    access_service_pb2,
    audit_log_service_pb2,
    external_audit_storage_service_pb2,
    integration_service_pb2,
    recording_service_pb2,
    status_service_pb2,
)
from google.protobuf.descriptor import MethodDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from rbac.role_files import PRESETS

EMITS = {"EmitEvent", "EmitEvents"}
SEARCHES = {"SearchEvents", "GetEvent", "WatchEvents", "ListEventChunks", "ExportEvents"}
UPLOADS = {"UploadRecording", "GetUpload", "CompleteUpload", "AbortUpload"}
DOWNLOADS = {"DownloadRecording", "StreamRecordingEvents", "ListRecordings", "SearchRecordings"}
STORAGES = {"GenerateDraft", "CreateDraft", "UpsertDraft", "GetDraft", "DeleteDraft", "GetCluster"}
INTEGRATIONS = {
    "CreateIntegration", "GetIntegration", "ListIntegrations", "UpdateIntegration", "DeleteIntegration",
    "RotateSigningKey",
}  # fmt: skip
STORAGES |= {"GetIamPolicy", "PlanInfrastructure", "TestConnection"}
STORAGES |= {"PromoteToCluster", "DisableCluster", "DivertStorage", "ListPromotions"}
REFLECTION = {"ServerReflectionInfo"}
HEALTH = {"Check", "Watch"}

USERS: dict[str, set[str]] = {
    "access": SEARCHES | DOWNLOADS,
    "auditor": SEARCHES | DOWNLOADS | {"GetStatus"},
    "editor": {"GetStatus", "ListRoles", "CheckAccess", "CreateLock", "ListLocks", "DeleteLock"}
    | STORAGES
    | INTEGRATIONS,
    "importer": EMITS | UPLOADS,
    "local-administrator": {"CompleteUpload", "ReindexRecordings"},
}
"""What a user with one preset may call, beside reflection and health."""
COMPONENTS: dict[str, set[str]] = dict.fromkeys(
    ["Auth", "Proxy", "Node", "App", "Db", "Kube", "WindowsDesktop", "Discovery", "Okta", "Instance"], EMITS | UPLOADS
)
"""What a component with one system role may call, beside the same."""

BY_OBJECT = SEARCHES | DOWNLOADS
"""The RPCs that a condition on the object doesn't refuse: it decides what they find."""

DENY_ALL = """
kind: role
version: v7
metadata: {name: deny-all}
spec: {deny: {rules: [{resources: ['*'], verbs: ['*']}]}}
"""
CONDITIONS = {
    "if-true": "equals(user.metadata.name, 'alice')",
    "if-false": "equals(user.metadata.name, 'somebody else')",
    "if-object": "equals({kind}.user, 'somebody else')",
}
"""Suffixes of the presets' copies that have a condition, and the condition."""
OBJECTS = ("event", "session")
"""Kinds with conditions on what is there."""


def methods() -> dict[str, MethodDescriptor]:
    """Every RPC that the server's service descriptors have, by full name."""
    own = (
        audit_log_service_pb2,
        recording_service_pb2,
        access_service_pb2,
        external_audit_storage_service_pb2,
        integration_service_pb2,
        status_service_pb2,
    )
    files = (*own, health_pb2, reflection_pb2)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    found = {f"/{service.full_name}/{each.name}": each for service in services for each in service.methods}
    # Newer tools ask for this one; the library has the older descriptor only.
    reflection = found["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]
    return found | {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": reflection}


def is_refused(channel: grpc.Channel, method: str, shape: MethodDescriptor) -> bool:
    """Call with an empty request, or none of a stream: whether the caller may is decided before it is looked at."""
    try:
        _call(channel, method, shape)
    except grpc.RpcError as error:
        refused: bool = error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
        return refused
    return False


def _call(channel: grpc.Channel, method: str, shape: MethodDescriptor) -> None:
    if shape.client_streaming:
        for _ in channel.stream_stream(method)(iter(()), timeout=60):
            pass
    elif shape.server_streaming:
        answer: Any = channel.unary_stream(method)(b"", timeout=60)
        next(answer, None)
        answer.cancel()
    else:
        channel.unary_unary(method)(b"", timeout=60)


def conditional_roles() -> str:
    """The users' presets once for each of CONDITIONS, every rule with that condition; as one file."""
    documents = []
    for path in PRESETS.glob("*.yaml"):
        for preset in yaml.safe_load_all(path.read_text()):
            if preset["metadata"]["name"] in USERS:
                documents += [_with(preset, suffix, where) for suffix, where in CONDITIONS.items()]
    return yaml.safe_dump_all(documents)


def _with(preset: dict[str, Any], suffix: str, where: str) -> dict[str, Any]:
    rules = preset["spec"]["allow"]["rules"]
    if suffix == "if-object":  # its condition is about events and sessions that are there
        reading = [rule for rule in rules if not {"create", "update"} & set(rule["verbs"])]
        rules = [
            {"resources": [kind], "verbs": list(rule["verbs"]), "where": where.format(kind=kind)}
            for rule in reading
            for kind in OBJECTS
            if kind in rule["resources"]
        ]
    else:
        rules = [rule | {"where": where} for rule in rules]
    metadata = {"name": f"{preset['metadata']['name']}-{suffix}"}
    return preset | {"metadata": metadata, "spec": {"allow": {"rules": rules}}}

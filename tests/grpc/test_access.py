"""Who gets how far: identities, roles, unknown methods, health and reflection."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from typing import Any

import grpc
import pytest
from extaudit.v1 import access_service_pb2 as access_pb
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_export_pb2 as export_pb
from extaudit.v1 import external_audit_storage_service_pb2 as storage_pb
from extaudit.v1 import integration_service_pb2 as integration_pb
from extaudit.v1 import recording_service_pb2 as recording_pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_pb2 import EventPayload
from extaudit.v1.event_watch_pb2 import WatchEventsRequest
from extaudit.v1.integration_pb2 import AwsOidcIntegration, Integration
from extaudit.v1.lock_pb2 import LockTarget
from extaudit.v1.status_service_pb2 import GetStatusRequest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2

from rbac.permissions import PERMISSIONS
from server.errors import NotFound
from server.grpc_api.pipeline import Pipeline
from tests.certificates_builder import LIFETIME
from tests.grpc.failures import Failure, failing
from tests.grpc.methods import (
    ABORT_UPLOAD,
    CHECK_ACCESS,
    COMPLETE_UPLOAD,
    CREATE_DRAFT,
    CREATE_INTEGRATION,
    CREATE_LOCK,
    DELETE_DRAFT,
    DELETE_INTEGRATION,
    DELETE_LOCK,
    DISABLE_CLUSTER,
    DIVERT_STORAGE,
    DOWNLOAD_RECORDING,
    EMIT_EVENT,
    EMIT_EVENTS,
    EXPORT_EVENTS,
    GENERATE_DRAFT,
    GET_CLUSTER,
    GET_DRAFT,
    GET_EVENT,
    GET_IAM_POLICY,
    GET_INTEGRATION,
    GET_STATUS,
    GET_UPLOAD,
    LIST_EVENT_CHUNKS,
    LIST_INTEGRATIONS,
    LIST_LOCKS,
    LIST_PROMOTIONS,
    LIST_RECORDINGS,
    LIST_ROLES,
    PLAN_INFRASTRUCTURE,
    PROMOTE_TO_CLUSTER,
    REINDEX_RECORDINGS,
    ROTATE_SIGNING_KEY,
    SEARCH_EVENTS,
    SEARCH_RECORDINGS,
    STREAM_RECORDING_EVENTS,
    TEST_CONNECTION,
    UPDATE_INTEGRATION,
    UPLOAD_RECORDING,
    UPSERT_DRAFT,
    WATCH_EVENTS,
)
from tests.grpc.rig import Rig, serving
from tests.loops import in_loop, until

Codes = grpc.StatusCode
SESSION = "0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"
ROLE = AwsOidcIntegration(role_arn="arn:aws:iam::111122223333:role/audit")
REQUESTS = {
    EMIT_EVENT: pb.EmitEventRequest(event=EventPayload(json=b"{}")).SerializeToString(),
    EMIT_EVENTS: pb.EmitEventsRequest(message_number=1, events=[EventPayload(json=b"{}")]).SerializeToString(),
    SEARCH_EVENTS: pb.SearchEventsRequest().SerializeToString(),
    GET_EVENT: pb.GetEventRequest(uid="u").SerializeToString(),
    LIST_EVENT_CHUNKS: export_pb.ListEventChunksRequest().SerializeToString(),
    EXPORT_EVENTS: export_pb.ExportEventsRequest(chunk_id=f"default/{'0' * 20}/1-2").SerializeToString(),
    WATCH_EVENTS: WatchEventsRequest().SerializeToString(),
    GET_STATUS: GetStatusRequest().SerializeToString(),
    LIST_ROLES: access_pb.ListRolesRequest().SerializeToString(),
    CHECK_ACCESS: access_pb.CheckAccessRequest(kind="event", verb="list").SerializeToString(),
    CREATE_LOCK: access_pb.CreateLockRequest(target=LockTarget(user="bob"), reason="left").SerializeToString(),
    LIST_LOCKS: access_pb.ListLocksRequest().SerializeToString(),
    DELETE_LOCK: access_pb.DeleteLockRequest(id="none").SerializeToString(),
    ROTATE_SIGNING_KEY: integration_pb.RotateSigningKeyRequest().SerializeToString(),
    UPLOAD_RECORDING: recording_pb.UploadRecordingRequest(
        start=recording_pb.UploadStart(session_id=SESSION)
    ).SerializeToString(),
    GET_UPLOAD: recording_pb.GetUploadRequest(upload_id="u").SerializeToString(),
    COMPLETE_UPLOAD: recording_pb.CompleteUploadRequest(upload_id="u").SerializeToString(),
    ABORT_UPLOAD: recording_pb.AbortUploadRequest(upload_id="u").SerializeToString(),
    STREAM_RECORDING_EVENTS: recording_pb.StreamRecordingEventsRequest(session_id=SESSION).SerializeToString(),
    LIST_RECORDINGS: recording_pb.ListRecordingsRequest().SerializeToString(),
    SEARCH_RECORDINGS: recording_pb.SearchRecordingsRequest(text="text").SerializeToString(),
    REINDEX_RECORDINGS: recording_pb.ReindexRecordingsRequest().SerializeToString(),
    GENERATE_DRAFT: storage_pb.GenerateDraftRequest(integration_name="i").SerializeToString(),
    CREATE_DRAFT: storage_pb.CreateDraftRequest().SerializeToString(),
    UPSERT_DRAFT: storage_pb.UpsertDraftRequest().SerializeToString(),
    GET_DRAFT: b"",
    DELETE_DRAFT: storage_pb.DeleteDraftRequest(revision="r").SerializeToString(),
    GET_CLUSTER: b"",
    GET_IAM_POLICY: storage_pb.GetIamPolicyRequest(stage=1).SerializeToString(),
    PLAN_INFRASTRUCTURE: storage_pb.PlanInfrastructureRequest(stage=1).SerializeToString(),
    PROMOTE_TO_CLUSTER: storage_pb.PromoteToClusterRequest(revision="r").SerializeToString(),
    DISABLE_CLUSTER: b"",
    DIVERT_STORAGE: b"",
    LIST_PROMOTIONS: b"",
    TEST_CONNECTION: storage_pb.TestConnectionRequest(stage=1).SerializeToString(),
    DOWNLOAD_RECORDING: recording_pb.DownloadRecordingRequest(session_id=SESSION).SerializeToString(),
    CREATE_INTEGRATION: integration_pb.CreateIntegrationRequest(
        integration=Integration(name="new", aws_oidc=ROLE)
    ).SerializeToString(),
    GET_INTEGRATION: integration_pb.GetIntegrationRequest(name="none").SerializeToString(),
    LIST_INTEGRATIONS: integration_pb.ListIntegrationsRequest().SerializeToString(),
    UPDATE_INTEGRATION: integration_pb.UpdateIntegrationRequest(
        integration=Integration(name="none", revision="r", aws_oidc=ROLE)
    ).SerializeToString(),
    DELETE_INTEGRATION: integration_pb.DeleteIntegrationRequest(name="none").SerializeToString(),
}


REFLECTION = [f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")]
WATCH = "/grpc.health.v1.Health/Watch"


async def call(channel: grpc.aio.Channel, method: str, request: bytes) -> list[Any]:
    """Any method; a single response is read as a stream of one: on the wire it is the same."""
    if method in (EMIT_EVENTS, UPLOAD_RECORDING, *REFLECTION):
        return [response async for response in channel.stream_stream(method)(iter([request]))]
    return [response async for response in channel.unary_stream(method)(request)]


async def refused(channel: grpc.aio.Channel, method: str, request: bytes) -> Failure:
    """How a call fails. Nothing is written to a stream: the library's client hides the status if a write comes late."""
    if method in (EMIT_EVENTS, UPLOAD_RECORDING, *REFLECTION):
        return await failing(channel.stream_stream(method)().read())
    return await failing(call(channel, method, request))


async def refused_to_user(rig: Rig, method: str, *roles: str) -> Failure:
    async with rig.user(*roles) as channel:
        return await refused(channel, method, REQUESTS[method])


@pytest.mark.parametrize(
    ("method", "role"),
    [
        (EMIT_EVENT, "auditor"),
        (EMIT_EVENTS, "auditor"),
        (SEARCH_EVENTS, "importer"),
        (GET_EVENT, "importer"),
        (LIST_EVENT_CHUNKS, "importer"),
        (EXPORT_EVENTS, "importer"),
        (WATCH_EVENTS, "importer"),
        (GET_STATUS, "importer"),
        (UPLOAD_RECORDING, "auditor"),
        (GET_UPLOAD, "auditor"),
        (COMPLETE_UPLOAD, "auditor"),
        (ABORT_UPLOAD, "auditor"),
        (DOWNLOAD_RECORDING, "importer"),
        (STREAM_RECORDING_EVENTS, "importer"),
        (LIST_RECORDINGS, "importer"),
        (SEARCH_RECORDINGS, "importer"),
        (REINDEX_RECORDINGS, "auditor"),
        (GENERATE_DRAFT, "auditor"),
        (CREATE_DRAFT, "auditor"),
        (UPSERT_DRAFT, "auditor"),
        (GET_DRAFT, "auditor"),
        (DELETE_DRAFT, "auditor"),
        (GET_CLUSTER, "auditor"),
        (CREATE_INTEGRATION, "auditor"),
        (GET_INTEGRATION, "auditor"),
        (LIST_INTEGRATIONS, "auditor"),
        (UPDATE_INTEGRATION, "auditor"),
        (DELETE_INTEGRATION, "auditor"),
        (GET_IAM_POLICY, "auditor"),
        (PLAN_INFRASTRUCTURE, "auditor"),
        (PROMOTE_TO_CLUSTER, "auditor"),
        (DISABLE_CLUSTER, "auditor"),
        (DIVERT_STORAGE, "auditor"),
        (LIST_PROMOTIONS, "auditor"),
        (TEST_CONNECTION, "auditor"),
    ],
)
@in_loop
async def test_a_method_needs_its_role(method: str, role: str) -> None:
    async with serving() as rig:
        failure = await refused_to_user(rig, method, role)
        assert not rig.touched
    assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")


@pytest.mark.parametrize("roles", [("nosuch",), ("auditor", "nosuch"), ()])
@pytest.mark.parametrize("method", REQUESTS)
@in_loop
async def test_a_caller_with_no_role_or_one_that_is_not_loaded_touches_nothing(
    method: str, roles: tuple[str, ...]
) -> None:
    async with serving() as rig:
        failure = await refused_to_user(rig, method, *roles)
        assert not rig.touched
    assert failure.code in (Codes.PERMISSION_DENIED, Codes.UNAUTHENTICATED)


@pytest.mark.parametrize("method", [*REQUESTS, "/x.Y/Z", *REFLECTION])
@in_loop
async def test_without_an_identity_every_method_is_unauthenticated(method: str) -> None:
    async with serving() as rig, rig.user("Node") as channel:
        failure = await refused(channel, method, REQUESTS.get(method, b""))
        await until(lambda: rig.records.calls)  # noted once the answer has left
        assert not rig.touched
        assert [record.identity for record in rig.records.calls] == [None]
    assert (failure.code, failure.reason) == (Codes.UNAUTHENTICATED, "UNAUTHENTICATED")


@in_loop
async def test_a_certificate_that_expired_on_an_open_connection_is_refused() -> None:
    async with serving() as rig, rig.node() as channel:
        await call(channel, EMIT_EVENT, REQUESTS[EMIT_EVENT])
        rig.clock.offset = LIFETIME
        failure = await refused(channel, EMIT_EVENT, REQUESTS[EMIT_EVENT])
    assert (failure.code, failure.reason) == (Codes.UNAUTHENTICATED, "CERTIFICATE_EXPIRED")


@in_loop
async def test_a_denial_comes_before_any_look_at_the_request() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        failure = await refused(channel, EMIT_EVENT, b"\xff\xff")
    assert (failure.code, failure.metadata) == (Codes.PERMISSION_DENIED, {"kind": "event", "verb": "create"})


@pytest.mark.parametrize("method", ["/extaudit.v1.AuditLogService/Nothing", "/x.Y/Z", "/"])
@in_loop
async def test_an_unknown_method_is_unimplemented_with_a_reason(method: str) -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        failure = await failing(channel.stream_stream(method)().read())
        unary = await failing(channel.unary_unary(method)(b"abc"))
        await until(lambda: [record.method for record in rig.records.calls] == ["unknown", "unknown"])
    assert (failure.code, failure.reason) == (Codes.UNIMPLEMENTED, "UNIMPLEMENTED")
    assert unary == failure


@in_loop
async def test_a_method_that_is_no_text_ends_its_own_call_and_not_the_server() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary(b"/x.Y/\xff")(b"")  # type: ignore[arg-type]  # no client of ours would
        failure = await failing(channel.unary_unary("/x.Y/Z")(b""))
    assert failure.code == Codes.UNIMPLEMENTED


@in_loop
async def test_a_listener_that_ends_by_itself_is_a_failure_and_one_that_is_stopped_is_none() -> None:
    async with serving() as rig:
        await rig.server._listeners[0].server.stop(None)
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(rig.server.until_stopped(), 20)
    async with serving() as rig:
        watching = asyncio.create_task(rig.server.until_stopped())
        await rig.server.stop(0)
        await asyncio.wait_for(watching, 20)


@in_loop
async def test_a_method_without_a_row_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {method: row for method, row in PERMISSIONS.items() if method != SEARCH_EVENTS}
    monkeypatch.setattr("server.grpc_api.pipeline.PERMISSIONS", rows)
    async with serving() as rig, rig.user("auditor") as channel:
        failure = await refused(channel, SEARCH_EVENTS, REQUESTS[SEARCH_EVENTS])
        assert not rig.touched
    assert (failure.code, failure.reason, failure.metadata) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED", {})


def test_the_table_of_permissions_is_the_one_in_force_unless_given() -> None:
    field = {each.name: each for each in dataclasses.fields(Pipeline)}["permissions"]
    assert field.default_factory is not dataclasses.MISSING
    assert field.default_factory() is PERMISSIONS


@in_loop
async def test_every_row_of_the_table_is_served() -> None:
    async with serving() as rig, rig.user("auditor", "importer", "editor", "local-administrator") as channel:
        rig.searches.fails = rig.watches.fails = NotFound("there is none")
        for method in set(PERMISSIONS) - {WATCH}:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await call(channel, method, REQUESTS.get(method, b""))
        await until(lambda: {record.method for record in rig.records.calls} == set(PERMISSIONS) - {WATCH})
        codes = {record.method: record.code for record in rig.records.calls}
    assert set(codes.values()) == {"OK", "NOT_FOUND"}


@in_loop
async def test_a_peer_without_a_certificate_of_a_known_ca_reaches_nothing() -> None:
    async with serving() as rig:
        strangers = grpc.ssl_channel_credentials(rig.host_ca.pem)
        async with grpc.aio.secure_channel(f"localhost:{rig.port}", strangers) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert rig.records.calls == []
    assert refusal.value.code() is Codes.UNAVAILABLE


@pytest.mark.parametrize("method", REFLECTION)
@in_loop
async def test_reflection_shows_the_services_to_any_loaded_role(method: str) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with serving() as rig, rig.user("importer") as channel:
        (data,) = await call(channel, method, request.SerializeToString())
        by_symbol = reflection_pb2.ServerReflectionRequest(file_containing_symbol="extaudit.v1.AuditLogService")
        (file,) = await call(channel, method, by_symbol.SerializeToString())
    answer = reflection_pb2.ServerReflectionResponse.FromString(data)
    names = {service.name for service in answer.list_services_response.service}
    assert {"extaudit.v1.AuditLogService", "extaudit.v1.StatusService", "grpc.health.v1.Health"} <= names
    assert b"EmitEvents" in file


@pytest.mark.parametrize("method", REFLECTION)
@in_loop
async def test_reflection_is_refused_without_a_loaded_role(method: str) -> None:
    async with serving() as rig, rig.user("nosuch") as channel:
        failure = await refused(channel, method, b"")
    assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")


@in_loop
async def test_a_stream_whose_handler_only_waits_for_requests_counts_as_cancelled_when_it_is() -> None:
    async with serving() as rig, rig.user("importer") as channel:
        for _ in range(40):
            stream = channel.stream_stream(REFLECTION[0])()
            await stream.write(reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString())
            await stream.read()
            stream.cancel()
        await until(lambda: len(rig.records.calls) == 40)
        assert {record.code for record in rig.records.calls} == {"CANCELLED"}


@in_loop
async def test_an_idle_reflection_stream_does_not_keep_the_server_from_stopping() -> None:
    async with serving() as rig, rig.user("importer") as channel:
        stream = channel.stream_stream(REFLECTION[0])()
        await stream.write(reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString())
        await stream.read()
        await asyncio.wait_for(rig.server.stop(600), 60)
        failure = await failing(stream.read())
    assert (failure.code, failure.reason) == (Codes.UNAVAILABLE, "STOPPING")


@in_loop
async def test_the_access_log_tells_every_call_but_quiet_emits(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "server")
    async with serving() as rig, rig.node() as channel:
        stub = AuditLogServiceStub(channel)
        await stub.EmitEvent(pb.EmitEventRequest(event=EventPayload(json=b'{"canary": 1}')))
        await failing(stub.SearchEvents(pb.SearchEventsRequest(text="canary")))
        await until(lambda: len(rig.records.calls) == 2)
    logged = [vars(record)["fields"] for record in caplog.records if record.message == "call"]
    assert [(each["method"], each["code"], each["reason"]) for each in logged] == [
        (SEARCH_EVENTS, "PERMISSION_DENIED", "ACCESS_DENIED")
    ]
    assert (logged[0]["identity_kind"], logged[0]["identity_name"]) == ("component", "host-1")
    assert "canary" not in str([vars(record) for record in caplog.records])
    assert [record.code for record in rig.records.calls] == ["OK", "PERMISSION_DENIED"]

"""EmitEvent over a real socket."""

from __future__ import annotations

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_pb2 import EventPayload
from google.protobuf.struct_pb2 import Struct

from rbac.identities import IdentityKind
from server.errors import AuditStoreError, ResourceExhausted, Unavailable
from tests.grpc.failures import failing
from tests.grpc.rig import serving
from tests.loops import faults, in_loop


def of_json(data: bytes) -> pb.EmitEventRequest:
    return pb.EmitEventRequest(event=EventPayload(json=data))


@in_loop
async def test_the_bytes_and_the_caller_reach_the_intake_and_its_answer_comes_back() -> None:
    async with serving() as rig, rig.node() as channel:
        answer = await AuditLogServiceStub(channel).EmitEvent(of_json(b'{"event": "x"}'))
        assert rig.intake.events == [b'{"event": "x"}']
        access = rig.intake.accesses[0]
    assert answer == pb.EmitEventResponse(
        uid="u-1", storage="default", log_id="log", sequence=1, repeated=True, uid_reused=True
    )
    assert (access.identity.kind, access.identity.name) == (IdentityKind.COMPONENT, "host-1")
    assert access.peer.startswith("ipv4:127.0.0.1:")
    assert access.request_id


@in_loop
async def test_a_structure_is_written_as_json() -> None:
    fields = Struct()
    fields.update({"event": "x", "a": {"n": 2, "f": 1.5}})
    async with serving() as rig, rig.node() as channel:
        await AuditLogServiceStub(channel).EmitEvent(pb.EmitEventRequest(event=EventPayload(fields=fields)))
        assert rig.intake.events == [b'{"a":{"f":1.5,"n":2},"event":"x"}']


@pytest.mark.parametrize(
    ("request_message", "fields"),
    [
        (of_json(b"bad"), ["event.time", "event.json"]),
        (pb.EmitEventRequest(), ["event"]),
        (pb.EmitEventRequest(event=EventPayload()), ["event.payload"]),
    ],
)
@in_loop
async def test_a_wrong_event_is_refused_with_its_fields_named_from_the_request(
    request_message: pb.EmitEventRequest, fields: list[str]
) -> None:
    async with serving() as rig, rig.node() as channel:
        failure = await failing(AuditLogServiceStub(channel).EmitEvent(request_message))
        assert rig.intake.events == []
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert failure.violations == fields


@pytest.mark.parametrize(
    ("error", "code", "reason", "retry"),
    [
        (
            ResourceExhausted("full", reason="JOURNAL_FULL", retry_after=2.5),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "JOURNAL_FULL",
            2.5,
        ),
        (Unavailable("closed", reason="JOURNAL_CLOSED"), grpc.StatusCode.UNAVAILABLE, "JOURNAL_CLOSED", 1.0),
    ],
)
@in_loop
async def test_an_intake_that_is_shut_says_why_and_when_to_come_again(
    error: AuditStoreError, code: grpc.StatusCode, reason: str, retry: float
) -> None:
    async with serving() as rig, rig.node() as channel:
        rig.intake.refuses = error
        failure = await failing(AuditLogServiceStub(channel).EmitEvent(of_json(b"{}")))
    assert (failure.code, failure.reason, failure.retry_seconds) == (code, reason, retry)


@in_loop
async def test_a_fault_shows_the_request_id_and_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as rig, rig.node() as channel:
        rig.intake.refuses = ValueError("secret path")
        call = AuditLogServiceStub(channel).EmitEvent(of_json(b"{}"), metadata=(("x-request-id", "req.1"),))
        failure = await failing(call)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "req.1" in failure.message
    assert "secret" not in str(failure)
    assert [record.message for record in faults(caplog.records)] == ["call failed"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ü".encode().hex() + "/"])
@in_loop
async def test_an_unfit_request_id_is_replaced(given: str) -> None:
    async with serving() as rig, rig.node() as channel:
        await AuditLogServiceStub(channel).EmitEvent(of_json(b"{}"), metadata=(("x-request-id", given),))
        await AuditLogServiceStub(channel).EmitEvent(of_json(b"{}"))
        ids = [access.request_id for access in rig.intake.accesses]
    assert given not in ids
    assert len(set(ids)) == 2


@in_loop
async def test_a_request_that_is_no_message_is_refused() -> None:
    async with serving() as rig, rig.node() as channel:
        method = channel.unary_unary("/extaudit.v1.AuditLogService/EmitEvent")
        failure = await failing(method(b"\xff\xff"))
        assert not rig.touched
    assert (failure.reason, failure.violations) == ("INVALID_REQUEST", ["request"])

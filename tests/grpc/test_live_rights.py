"""Rights that end while a stream lasts: busy or idle, it ends soon, and what was submitted is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from extaudit.v1 import access_service_pb2 as access_pb
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.access_service_pb2_grpc import AccessServiceStub
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_pb2 import EventPayload
from extaudit.v1.lock_pb2 import LockTarget
from grpc_reflection.v1alpha import reflection_pb2

from rbac.identities import IdentityKind
from rbac.policy import Policy
from server.audit_log.search.query import FoundEvent, Position
from server.certificates.anchors import Anchor
from server.grpc_api import live_calls
from server.grpc_api.live_calls import GRACE_SECONDS, PERIOD_SECONDS
from tests.certificates_builder import LIFETIME
from tests.grpc.failures import Failure, failure_of
from tests.grpc.methods import EMIT_EVENTS
from tests.grpc.rig import Rig, serving
from tests.loops import in_loop, until

Codes = grpc.StatusCode
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


def message(number: int) -> pb.EmitEventsRequest:
    return pb.EmitEventsRequest(message_number=number, events=[EventPayload(json=b"{}")])


async def end_of(call: Any) -> tuple[list[Any], Failure]:
    """What a stream still gives, and how it fails."""
    given = []
    try:
        while (response := await call.read()) is not grpc.aio.EOF:
            given.append(response)
        await call
    except grpc.aio.AioRpcError as error:
        return given, failure_of(error)
    code = await call.code()
    raise AssertionError(f"the stream ended with {code}")


async def create_lock(rig: Rig, **target: str) -> None:
    async with rig.user("editor", name="root") as admin:
        request = access_pb.CreateLockRequest(target=LockTarget(**target), reason="stolen")
        await AccessServiceStub(admin).CreateLock(request)


async def lock_node(rig: Rig) -> None:
    await create_lock(rig, component="host-1")


async def expire(rig: Rig) -> None:
    rig.clock.offset = LIFETIME


async def remove_ca(rig: Rig) -> None:
    rig.authenticator.trust(Anchor(rig.user_ca.id, IdentityKind.USER, rig.user_ca.certificate, local=False))


async def remove_roles(rig: Rig) -> None:
    rig.policy.current = Policy.of(())


LOSSES: dict[str, tuple[Callable[[Rig], Awaitable[None]], grpc.StatusCode, str]] = {
    "a lock": (lock_node, Codes.PERMISSION_DENIED, "LOCKED"),
    "an expired certificate": (expire, Codes.UNAUTHENTICATED, "CERTIFICATE_EXPIRED"),
    "a removed CA": (remove_ca, Codes.UNAUTHENTICATED, "UNAUTHENTICATED"),
    "a removed role": (remove_roles, Codes.PERMISSION_DENIED, "ACCESS_DENIED"),
}


def test_two_looks_and_the_time_for_a_good_end_are_within_five_seconds() -> None:
    assert 2 * PERIOD_SECONDS + GRACE_SECONDS < 5


@pytest.mark.parametrize("loss", LOSSES)
@in_loop
async def test_an_idle_stream_of_events_ends_when_its_rights_do(loss: str) -> None:
    lose, code, reason = LOSSES[loss]
    async with serving() as rig, rig.node() as channel:
        call = AuditLogServiceStub(channel).EmitEvents()
        await call.write(message(1))
        assert (await call.read()).durable_through == 1
        await lose(rig)
        given, failure = await end_of(call)
    assert (given, failure.code, failure.reason) == ([], code, reason)


@pytest.mark.parametrize("loss", LOSSES)
@in_loop
async def test_an_idle_stream_that_has_nothing_to_finish_is_cut(loss: str) -> None:
    lose, code, reason = LOSSES[loss]
    async with serving() as rig, rig.node() as channel:
        call = channel.stream_stream(REFLECTION)()
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        await call.write(request.SerializeToString())
        assert await call.read() is not grpc.aio.EOF
        await lose(rig)
        given, failure = await end_of(call)
        await until(lambda: rig.records.calls and rig.records.calls[-1].method == REFLECTION)
    assert (given, failure.code, failure.reason) == ([], code, reason)


@in_loop
async def test_a_lock_ends_a_busy_stream_and_what_was_submitted_before_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_calls, "GRACE_SECONDS", 60)
    async with serving(holds=True) as rig, rig.node() as channel:
        call = AuditLogServiceStub(channel).EmitEvents()
        for number in (1, 2):
            await call.write(message(number))
        await until(lambda: len(rig.intake.events) == 2)
        await lock_node(rig)
        ending = asyncio.create_task(end_of(call))
        await until(lambda: rig.lock_table.in_force())
        rig.intake.settle(0)
        rig.intake.settle(1)
        given, failure = await ending
        assert len(rig.intake.events) == 2
    assert [response.durable_through for response in given][-1] == 2
    assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "LOCKED")


@in_loop
async def test_the_next_message_after_a_lock_is_not_stored() -> None:
    async with serving() as rig, rig.node() as channel:
        call = AuditLogServiceStub(channel).EmitEvents()
        await call.write(message(1))
        await call.read()
        before = len(rig.intake.events)
        rig.look_no_more()
        await lock_node(rig)
        await call.write(message(2))
        _, failure = await end_of(call)
        assert len(rig.intake.events) == before
    assert failure.reason == "LOCKED"


@in_loop
async def test_a_locked_stream_whose_events_never_become_durable_is_cut_all_the_same() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = AuditLogServiceStub(channel).EmitEvents()
        await call.write(message(1))
        await until(lambda: rig.intake.events)
        await lock_node(rig)
        given, failure = await end_of(call)
    assert (given, failure.reason) == ([], "LOCKED")


@in_loop
async def test_a_stream_of_answers_is_cut_though_its_client_reads_slowly() -> None:
    data = b"x" * 20_000_000
    found = FoundEvent(Position(1, "u", "d"), "t", "", "", len(data), data, ())
    async with serving() as rig, rig.user("auditor") as channel:
        rig.searches.found = (found, data)
        call = AuditLogServiceStub(channel).GetEvent(pb.GetEventRequest(uid="u"))
        await call.read()
        await create_lock(rig, user="alice")
        await until(lambda: _given_up(rig))
        given, failure = await end_of(call)
    assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "LOCKED")
    assert sum(len(part.chunk) for part in given) < len(data)


def _given_up(rig: Rig) -> bool:
    """Whether the server has stopped writing answers."""
    return not rig.server._pipeline.live._watched


@in_loop
async def test_streams_of_others_go_on() -> None:
    async with serving() as rig:
        pair = rig.host_ca.component("host-2")
        async with rig.node() as barred, rig.channel(pair) as other:
            calls = [AuditLogServiceStub(channel).EmitEvents() for channel in (barred, other)]
            for call in calls:
                await call.write(message(1))
                await call.read()
            await lock_node(rig)
            await end_of(calls[0])
            await calls[1].write(message(2))
            assert (await calls[1].read()).durable_through == 2
            await calls[1].done_writing()
            assert await calls[1].read() is grpc.aio.EOF
            assert await calls[1].code() is Codes.OK
        await until(lambda: not rig.server._pipeline.live._watched)


@in_loop
async def test_a_stream_that_its_client_cancels_is_recorded_as_cancelled() -> None:
    async with serving() as rig, rig.node() as channel:
        call = AuditLogServiceStub(channel).EmitEvents()
        await call.write(message(1))
        await call.read()
        call.cancel()
        await until(lambda: [record.code for record in rig.records.calls if record.method == EMIT_EVENTS])
        assert (rig.records.calls[-1].code, rig.records.calls[-1].reason) == ("CANCELLED", "")

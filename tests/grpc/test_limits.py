"""Bounds of the server, and its end."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_pb2 import EventPayload
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from server.grpc_api.draining import Drain
from server.grpc_api.interceptors.observation import CallMeter, CallRecord
from server.grpc_api.server import Limits
from server.observability.metrics import Metrics
from tests.grpc.failures import failing
from tests.grpc.methods import EMIT_EVENT
from tests.grpc.rig import serving
from tests.loops import in_loop, until

EVENT = pb.EmitEventRequest(event=EventPayload(json=b"{}"))


@in_loop
async def test_too_many_calls_are_refused_and_health_still_answers() -> None:
    limits = Limits(max_concurrent_calls=2)
    async with serving(limits=limits, holds=True) as rig, rig.node() as channel:
        held = [asyncio.ensure_future(_emit(channel)) for _ in range(2)]
        await until(lambda: len(rig.intake.events) == 2)
        failure = await failing(AuditLogServiceStub(channel).EmitEvent(EVENT))
        answer = await HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        for call in held:
            call.cancel()
        await until(lambda: [record.code for record in rig.records.calls].count("CANCELLED") == 2)
        rig.intake.holds = False
        await AuditLogServiceStub(channel).EmitEvent(EVENT)
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert failure.retry_seconds
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def _emit(channel: grpc.aio.Channel) -> None:
    await AuditLogServiceStub(channel).EmitEvent(EVENT)


@in_loop
async def test_a_message_above_the_limit_is_refused_by_the_transport_and_stores_nothing() -> None:
    large = EventPayload(json=b"x" * 5000)
    async with serving(limits=Limits(max_message_bytes=4096)) as rig, rig.node() as channel:
        stub = AuditLogServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await stub.EmitEvent(pb.EmitEventRequest(event=large))
        with pytest.raises(grpc.aio.AioRpcError) as stream:
            call = stub.EmitEvents()
            await call.write(pb.EmitEventsRequest(message_number=1, events=[large]))
            await call.read()
        assert rig.intake.events == []
        await stub.EmitEvent(EVENT)
    assert unary.value.code() is stream.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@in_loop
async def test_a_structure_too_deep_to_decode_is_refused() -> None:
    deep = b""
    for _ in range(60):
        entry = b"\x0a\x01a" + b"\x12" + _length(len(deep)) + deep
        struct = b"\x0a" + _length(len(entry)) + entry
        deep = b"\x2a" + _length(len(struct)) + struct
    request = b"\x0a" + _length(len(struct) + 1 + len(_length(len(struct)))) + b"\x12" + _length(len(struct)) + struct
    async with serving() as rig, rig.node() as channel:
        failure = await failing(channel.unary_unary(EMIT_EVENT)(request))
        assert not rig.touched
    assert (failure.reason, failure.violations) == ("INVALID_REQUEST", ["request"])


def _length(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _length(number >> 7)


@in_loop
async def test_calls_under_way_end_well_while_the_server_stops_and_new_ones_are_refused() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        stub = AuditLogServiceStub(channel)
        stream = stub.EmitEvents()
        await stream.write(pb.EmitEventsRequest(message_number=1, events=[EventPayload(json=b"a")]))
        await until(lambda: len(rig.intake.waiting) == 1)
        stopping = asyncio.ensure_future(rig.server.stop(600))
        failure = await failing(stub.EmitEvent(EVENT))
        rig.server.health.set_serving(True)
        health = await HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        rig.intake.settle(0)
        assert (await stream.read()).durable_through == 1
        await asyncio.wait_for(stopping, 60)  # long before the grace is over
        assert rig.intake.events == [b"a"]
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "STOPPING")
    assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING


@in_loop
async def test_a_call_that_outlives_the_grace_is_cut_off() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = asyncio.ensure_future(_emit(channel))
        await until(lambda: rig.intake.events)
        await asyncio.wait_for(rig.server.stop(0.1), 60)
        with pytest.raises(grpc.aio.AioRpcError):
            await call


@in_loop
async def test_a_port_that_is_taken_is_not_shared() -> None:
    async with serving() as rig:
        with pytest.raises(RuntimeError):
            async with serving(listen=f"127.0.0.1:{rig.port}"):
                pass


def test_draining_tells_each_subscriber_once_and_late_ones_at_once() -> None:
    drain, told = Drain(), []

    def early() -> None:
        told.append("early")

    def gone() -> None:
        told.append("gone")

    drain.subscribe(early)
    drain.subscribe(gone)
    drain.unsubscribe(gone)
    drain.begin()
    drain.begin()
    drain.subscribe(lambda: told.append("late"))
    assert told == ["early", "late"]


def test_the_meter_counts_calls_denials_and_certificates() -> None:
    metrics = Metrics([EMIT_EVENT])
    meter = CallMeter(metrics.calls)
    for code, reason in [
        ("OK", ""),
        ("PERMISSION_DENIED", "ACCESS_DENIED"),
        ("UNAUTHENTICATED", "CERTIFICATE_EXPIRED"),
        ("UNAUTHENTICATED", "UNAUTHENTICATED"),
    ]:
        meter.finished(CallRecord(EMIT_EVENT, code, reason, 0.1, "r", "p", None))
    value = metrics.registry.get_sample_value
    assert value("extaudit_grpc_calls_total", {"method": EMIT_EVENT, "code": "OK", "kind": "none"}) == 1
    assert value("extaudit_denials_total", {"method": EMIT_EVENT}) == 1
    assert value("extaudit_unauthenticated_calls_total", {"reason": "expired"}) == 1
    assert value("extaudit_unauthenticated_calls_total", {"reason": "other"}) == 1

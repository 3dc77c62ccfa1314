"""Limits of each identity: rates, calls and streams under way, refused with a reason and when to try again."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_pb2 import EventPayload
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from server.grpc_api.interceptors import identity_limits
from server.grpc_api.interceptors.identity_limits import Bucket, IdentityLimits
from server.grpc_api.server import Limits
from tests.grpc.failures import Failure, failing
from tests.grpc.rig import Rig, serving
from tests.loops import in_loop, until

Codes = grpc.StatusCode
EVENT = EventPayload(json=b"{}")


def limited(**limits: int) -> Limits:
    return Limits(identity=IdentityLimits(**limits))


async def emit(channel: grpc.aio.Channel) -> None:
    await AuditLogServiceStub(channel).EmitEvent(pb.EmitEventRequest(event=EVENT))


def check(failure: Failure, reason: str, limit: str) -> None:
    assert (failure.code, failure.reason) == (Codes.RESOURCE_EXHAUSTED, reason)
    assert failure.metadata == {"limit": limit}
    assert failure.retry_seconds


def held_clock(rig: Rig) -> list[float]:
    """The clock of the rates, which goes on only when it is told to, however long calls take."""
    seconds = [0.0]
    rig.server._pipeline._limiter._clock = lambda: seconds[0]
    return seconds


def other(rig: Rig) -> grpc.aio.Channel:
    return rig.channel(rig.host_ca.component("host-2"))


@in_loop
async def test_calls_beyond_the_rate_are_refused_to_one_and_not_to_another() -> None:
    async with serving(limits=limited(calls_per_second=3)) as rig, rig.node() as greedy, other(rig) as modest:
        clock = held_clock(rig)
        for _ in range(3):
            await emit(greedy)
        failure = await failing(emit(greedy))
        await emit(modest)
        await HealthStub(greedy).Check(health_pb2.HealthCheckRequest())
        clock[0] += failure.retry_seconds or 0.0
        await emit(greedy)
    check(failure, "RATE_LIMIT", "limits.calls_per_second")
    assert failure.retry_seconds == pytest.approx(1 / 3, abs=0.001)


@in_loop
async def test_another_certificate_of_the_same_identity_shares_its_limits() -> None:
    async with serving(limits=limited(calls_per_second=1)) as rig, rig.node() as first, rig.node() as renewed:
        held_clock(rig)
        await emit(first)
        check(await failing(emit(renewed)), "RATE_LIMIT", "limits.calls_per_second")


@in_loop
async def test_calls_under_way_are_bounded_and_streams_apart_from_them() -> None:
    limits = limited(concurrent_calls=2, concurrent_streams=1)
    async with serving(limits=limits, holds=True) as rig, rig.node() as greedy, other(rig) as modest:
        held = [asyncio.create_task(emit(greedy)) for _ in range(2)]
        await until(lambda: len(rig.intake.events) == 2)
        check(await failing(emit(greedy)), "CONCURRENCY_LIMIT", "limits.concurrent_calls")
        stream = AuditLogServiceStub(greedy).EmitEvents()
        await stream.write(pb.EmitEventsRequest(message_number=1, events=[EVENT]))
        await until(lambda: len(rig.intake.events) == 3)
        refused = await failing(AuditLogServiceStub(greedy).EmitEvents().read())
        check(refused, "CONCURRENCY_LIMIT", "limits.concurrent_streams")
        await HealthStub(greedy).Check(health_pb2.HealthCheckRequest())
        rig.intake.holds = False
        await emit(modest)
        for task in held:
            task.cancel()
        stream.cancel()
        await until(lambda: [record.code for record in rig.records.calls].count("CANCELLED") == 3)
        await emit(greedy)


@in_loop
async def test_a_stream_faster_than_its_events_ends_after_what_was_taken_is_acknowledged() -> None:
    async with serving(limits=limited(events_per_second=5), holds=True) as rig, rig.node() as channel:
        clock = held_clock(rig)
        stream = AuditLogServiceStub(channel).EmitEvents()
        for number in (1, 2):
            await stream.write(pb.EmitEventsRequest(message_number=number, events=[EVENT] * 4))
        first = asyncio.ensure_future(stream.read())
        await until(lambda: len(rig.intake.events) == 4)
        rig.intake.settle(0)
        assert (await first).durable_through == 1
        failure = await failing(_end(stream))
        rig.intake.holds = False
        clock[0] += 1.0
        check(failure, "RATE_LIMIT", "limits.events_per_second")
        check(await failing(emit_many(channel, 6)), "RATE_LIMIT", "limits.events_per_second")
    assert len(rig.intake.events) == 4 + 5


async def _end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        continue
    await stream


async def emit_many(channel: grpc.aio.Channel, count: int) -> None:
    for _ in range(count):
        await emit(channel)


@in_loop
async def test_a_message_larger_than_a_second_s_worth_passes_and_is_paid_off_later() -> None:
    async with serving(limits=limited(events_per_second=5)) as rig, rig.node() as channel:
        held_clock(rig)
        stream = AuditLogServiceStub(channel).EmitEvents()
        await stream.write(pb.EmitEventsRequest(message_number=1, events=[EVENT] * 20))
        assert (await stream.read()).durable_through == 1
        failure = await failing(emit(channel))
    check(failure, "RATE_LIMIT", "limits.events_per_second")
    assert failure.retry_seconds == pytest.approx(3.2, abs=0.001)


@in_loop
async def test_a_refused_caller_counts_for_nothing() -> None:
    async with serving(limits=limited(concurrent_calls=1)) as rig, rig.user("auditor") as channel:
        for _ in range(3):
            assert (await failing(emit(channel))).reason == "ACCESS_DENIED"


@in_loop
async def test_however_many_identities_come_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_limits, "MAX_IDENTITIES", 3)
    async with serving(limits=limited(concurrent_calls=1), holds=True) as rig, rig.node() as channel:
        held = asyncio.create_task(emit(channel))
        await until(lambda: rig.intake.events)
        rig.intake.holds = False
        for number in range(2, 12):
            async with rig.channel(rig.host_ca.component(f"host-{number}")) as another:
                await emit(another)
        assert rig.server._pipeline._limiter.remembered <= 3
        # Who has a call under way is never forgotten.
        check(await failing(emit(channel)), "CONCURRENCY_LIMIT", "limits.concurrent_calls")
        held.cancel()


@pytest.mark.parametrize(
    ("takes", "waits"),
    [
        ([(0.0, 10), (0.0, 1)], [0.0, 0.1]),
        ([(0.0, 10), (0.5, 5), (0.5, 1)], [0.0, 0.0, 0.1]),
        ([(0.0, 1), (100.0, 10), (100.0, 1)], [0.0, 0.0, 0.1]),
        ([(0.0, 30), (1.0, 1), (2.05, 1)], [0.0, 1.1, 0.05]),
        ([(0.0, 5), (0.0, 6), (0.0, 5)], [0.0, 0.1, 0.0]),
    ],
)
def test_a_bucket_fills_to_a_second_s_worth(takes: list[tuple[float, int]], waits: list[float]) -> None:
    bucket = Bucket(10, 0.0)
    assert [bucket.take(cost, now) for now, cost in takes] == pytest.approx(waits)

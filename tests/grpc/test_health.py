"""Health: any peer that passes TLS is told, and nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from server.grpc_api.call import Call
from tests.grpc.failures import failing
from tests.grpc.rig import serving
from tests.loops import in_loop

Codes = grpc.StatusCode


@in_loop
async def test_health_tells_any_peer_that_passes_tls() -> None:
    async with serving() as rig, rig.user("Node") as channel:
        stub = HealthStub(channel)
        for service in ("", "extaudit.v1.AuditLogService", "extaudit.v1.StatusService"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        rig.server.health.set_serving(False)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        failure = await failing(stub.Check(health_pb2.HealthCheckRequest(service="x")))
    assert (failure.code, failure.reason) == (Codes.NOT_FOUND, "NOT_FOUND")


@in_loop
async def test_a_watcher_of_health_is_told_of_changes_and_of_the_end() -> None:
    Status = health_pb2.HealthCheckResponse  # noqa: N806
    async with serving() as rig, rig.node() as channel:
        watch = HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        seen = [(await watch.read()).status]
        rig.server.health.set_serving(False)
        seen.append((await watch.read()).status)
        rig.server.health.set_serving(True)
        seen.append((await watch.read()).status)
        stopping = asyncio.ensure_future(rig.server.stop(60))
        seen.append((await watch.read()).status)
        failure = await failing(watch.read())
        await stopping
    assert seen == [Status.SERVING, Status.NOT_SERVING, Status.SERVING, Status.NOT_SERVING]
    assert (failure.code, failure.reason) == (Codes.UNAVAILABLE, "STOPPING")


@in_loop
async def test_a_watcher_that_is_being_told_while_the_end_begins_is_told_of_that_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    respond, stops = Call.respond, list[asyncio.Future[None]]()

    async def responding(call: Call, message: Any) -> None:
        await respond(call, message)
        if not stops:
            stops.append(asyncio.ensure_future(rig.server.stop(60)))
            await asyncio.sleep(0)
            assert not stops[0].done()

    async with serving() as rig, rig.node() as channel:
        monkeypatch.setattr(Call, "respond", responding)
        watch = HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        seen = [(await watch.read()).status, (await watch.read()).status]
        failure = await failing(watch.read())
        await stops[0]
    assert seen == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
    assert (failure.code, failure.reason) == (Codes.UNAVAILABLE, "STOPPING")

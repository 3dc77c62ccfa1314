"""A promotion and its end switch the journal behind the state, in its order, and to the end."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import grpc
from extaudit.v1 import external_audit_storage_service_pb2 as pb
from extaudit.v1.external_audit_storage_service_pb2_grpc import ExternalAuditStorageServiceStub as Stub

from server.errors import Unavailable
from tests.grpc.failures import failing
from tests.grpc.test_promotions import behind, drafted, serving_storages
from tests.loops import in_loop, until
from tests.storages_under_test import Storages

__all__ = ["behind"]  # a fixture

Codes = grpc.StatusCode


@in_loop
async def test_a_caller_that_leaves_stops_nothing_between_state_and_journal(behind: Storages) -> None:
    gate = behind.switch.gate = Gate()
    async with serving_storages(behind) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        draft = await drafted(stub)
        call = stub.PromoteToCluster(pb.PromoteToClusterRequest(revision=draft.revision, force=True, reason="now"))
        await until(lambda: gate.reached)
        call.cancel()
        await until(lambda: [record.code for record in rig.records.calls][-1] == "CANCELLED")
        assert behind.switch.went == []
        gate.set()
        await until(lambda: behind.switch.went == [draft.storage_id])


class Gate(asyncio.Event):
    """One that tells whether anybody waits at it."""

    reached = False

    async def wait(self) -> Literal[True]:
        self.reached = True
        return await super().wait()


@in_loop
async def test_the_journals_are_switched_in_the_order_in_which_the_state_changed(behind: Storages) -> None:
    """Else the state would name the default storage and new data go to the other."""
    gate = behind.switch.gate = Gate()
    async with serving_storages(behind) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        draft = await drafted(stub)
        request = pb.PromoteToClusterRequest(revision=draft.revision, force=True, reason="now")
        promoting = asyncio.ensure_future(stub.PromoteToCluster(request))
        await until(lambda: gate.reached)
        behind.switch.gate = None
        disabling = asyncio.ensure_future(stub.DisableCluster(pb.DisableClusterRequest()))
        await asyncio.wait({disabling}, timeout=0.3)
        gate.set()
        await asyncio.gather(promoting, disabling)
    assert behind.switch.went == [draft.storage_id, "default"]


@in_loop
async def test_where_the_switch_fails_the_answer_says_that_the_state_has_changed(behind: Storages) -> None:
    async with serving_storages(behind) as rig, rig.user("editor") as channel:
        stub: Any = Stub(channel)
        draft = await drafted(stub)
        behind.switch.fails = Unavailable("the journal is closed", reason="JOURNAL_CLOSED")
        request = pb.PromoteToClusterRequest(revision=draft.revision, force=True, reason="now")
        failure = await failing(stub.PromoteToCluster(request))
        assert (await stub.GetCluster(pb.GetClusterRequest())).cluster.storage_id == draft.storage_id
    assert (failure.code, failure.reason) == (Codes.UNAVAILABLE, "JOURNAL_CLOSED")
    assert "it is done" in failure.message

"""Locks over AccessService: whom they bar, when they begin and end, and who may set them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from extaudit.v1 import access_service_pb2 as pb
from extaudit.v1.access_service_pb2_grpc import AccessServiceStub
from extaudit.v1.event_pb2 import IDENTITY_KIND_USER
from extaudit.v1.lock_pb2 import LockTarget
from extaudit.v1.status_service_pb2 import GetStatusRequest
from extaudit.v1.status_service_pb2_grpc import StatusServiceStub
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.certificates_builder import Pair
from tests.grpc.failures import Failure, failing
from tests.grpc.rig import serving
from tests.loops import in_loop

Codes = grpc.StatusCode


def lock(reason: str = "left the company", *, force: bool = False, ends: datetime | None = None, **target: str) -> Any:
    request = pb.CreateLockRequest(target=LockTarget(**target), reason=reason, force=force)
    if ends:
        request.expire_time.FromDatetime(ends)
    return request


async def status_of(channel: grpc.aio.Channel) -> Failure | None:
    """How GetStatus fails; None where it goes well."""
    try:
        await StatusServiceStub(channel).GetStatus(GetStatusRequest())
    except grpc.aio.AioRpcError:
        return await failing(StatusServiceStub(channel).GetStatus(GetStatusRequest()))
    return None


TARGETS: dict[str, Callable[[Pair], LockTarget]] = {
    "user": lambda _: LockTarget(user="mallory"),
    "role": lambda _: LockTarget(role="auditor"),
    "serial": lambda pair: LockTarget(certificate_serial=pair.serial),
    "serial as tools print it": lambda pair: LockTarget(certificate_serial=_colons(pair.serial)),
}


def _colons(serial: str) -> str:
    padded = serial.upper().rjust(42, "0")
    return ":".join(padded[i : i + 2] for i in range(0, 42, 2))


@pytest.mark.parametrize("target", TARGETS)
@in_loop
async def test_a_lock_bars_at_once_whom_it_names_and_no_one_else(target: str) -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin:
        mallory = rig.user_ca.user("mallory", roles=("auditor",))
        request = pb.CreateLockRequest(target=TARGETS[target](mallory), reason="seen in the logs")
        async with rig.channel(mallory) as channel:
            assert await status_of(channel) is None
            await AccessServiceStub(admin).CreateLock(request)
            failure = await status_of(channel)
            answer = await HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert await status_of(admin) is None
    assert failure
    assert (failure.code, failure.reason, failure.message) == (Codes.PERMISSION_DENIED, "LOCKED", "access is locked")
    assert failure.metadata == {}
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@in_loop
async def test_a_component_is_barred_by_its_id_and_a_user_of_that_name_is_not() -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin, rig.node() as node:
        await AccessServiceStub(admin).CreateLock(lock(component="host-1"))
        failure = await failing(node.unary_unary("/x.Y/Z")(b""))
        async with rig.user("auditor", name="host-1") as user:
            assert await status_of(user) is None
    assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "LOCKED")


@in_loop
async def test_a_user_s_lock_does_not_bar_a_component_of_that_name() -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin, rig.node() as node:
        await AccessServiceStub(admin).CreateLock(lock(user="host-1"))
        failure = await failing(node.unary_unary("/x.Y/Z")(b""))
    assert failure.reason == "UNIMPLEMENTED"


@in_loop
async def test_a_token_is_barred_by_its_id() -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin:
        await AccessServiceStub(admin).CreateLock(lock(token_id="t-1"))
        assert await status_of(admin) is None
        rig.authenticator.token_id = "t-1"
        failure = await status_of(admin)
        rig.authenticator.token_id = "t-2"
        assert await status_of(admin) is None
    assert failure
    assert failure.reason == "LOCKED"


@in_loop
async def test_a_lock_ends_by_itself_and_is_listed_no_more() -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin, rig.user("auditor") as alice:
        stub = AccessServiceStub(admin)
        await stub.CreateLock(lock(user="alice", ends=datetime.now(UTC) + timedelta(minutes=10)))
        rig.clock.offset = timedelta(minutes=9)
        assert await status_of(alice)
        assert len((await stub.ListLocks(pb.ListLocksRequest())).locks) == 1
        rig.clock.offset = timedelta(minutes=11)
        assert await status_of(alice) is None
        assert not (await stub.ListLocks(pb.ListLocksRequest())).locks


@pytest.mark.parametrize("order", [(5, 15), (15, 5), (None, 5), (5, None)])
@in_loop
async def test_of_several_locks_the_last_to_end_counts(order: tuple[int | None, int | None]) -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin, rig.user("auditor") as alice:
        for minutes in order:
            ends = datetime.now(UTC) + timedelta(minutes=minutes) if minutes else None
            await AccessServiceStub(admin).CreateLock(lock(user="alice", ends=ends))
        rig.clock.offset = timedelta(minutes=10)
        assert await status_of(alice)
        rig.clock.offset = timedelta(minutes=16)
        assert bool(await status_of(alice)) == (None in order)


@in_loop
async def test_a_deleted_lock_bars_no_more_and_can_not_be_deleted_again() -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin, rig.user("auditor") as alice:
        stub = AccessServiceStub(admin)
        made = (await stub.CreateLock(lock(user="alice"))).lock
        other = (await stub.CreateLock(lock(user="alice"))).lock
        await stub.DeleteLock(pb.DeleteLockRequest(id=made.id))
        assert await status_of(alice), "the other lock still holds"
        await stub.DeleteLock(pb.DeleteLockRequest(id=other.id))
        assert await status_of(alice) is None
        again = await failing(stub.DeleteLock(pb.DeleteLockRequest(id=made.id)))
    assert (again.code, again.reason) == (Codes.NOT_FOUND, "NOT_FOUND")


@pytest.mark.parametrize(
    "target", [LockTarget(user="root"), LockTarget(role="editor"), LockTarget(certificate_serial="own")]
)
@in_loop
async def test_who_would_lock_themself_out_must_force_it(target: LockTarget) -> None:
    async with serving() as rig:
        pair = rig.user_ca.user("root", roles=("editor",))
        if target.certificate_serial:
            target = LockTarget(certificate_serial=pair.serial)
        async with rig.channel(pair) as admin:
            request = pb.CreateLockRequest(target=target, reason="drill")
            failure = await failing(AccessServiceStub(admin).CreateLock(request))
            assert not rig.lock_store.events
            assert await status_of(admin) is None
            request.force = True
            await AccessServiceStub(admin).CreateLock(request)
            locked = await status_of(admin)
    assert (failure.code, failure.reason) == (Codes.FAILED_PRECONDITION, "LOCK_HITS_CALLER")
    assert locked
    assert locked.reason == "LOCKED"


@in_loop
async def test_every_change_is_told_of_in_the_transaction_that_makes_it() -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin:
        stub = AccessServiceStub(admin)
        made = (await stub.CreateLock(lock("on leave", role="auditor"))).lock
        await stub.DeleteLock(pb.DeleteLockRequest(id=made.id))
        created, deleted = rig.lock_store.events
    told = {"id": made.id, "target": "role", "name": "auditor", "reason": "on leave", "expires_ms": None}
    assert (created["event"], created["user"], created["lock"]) == ("extaudit.lock.create", "root", told)
    assert (deleted["event"], deleted["user"], deleted["lock"]) == ("extaudit.lock.delete", "root", told)


@in_loop
async def test_a_list_names_target_reason_creator_and_end_in_pages() -> None:
    ends = datetime.now(UTC) + timedelta(days=1)
    async with serving() as rig, rig.user("editor", name="root") as admin:
        stub = AccessServiceStub(admin)
        made = [(await stub.CreateLock(lock(f"r{n}", user=f"u{n}", ends=ends))).lock for n in range(5)]
        found, token = [], ""
        while len(found) < 9:
            page = await stub.ListLocks(pb.ListLocksRequest(page_size=2, page_token=token))
            assert len(page.locks) <= 2
            found += page.locks
            if not (token := page.next_page_token):
                break
    assert sorted(found, key=lambda each: each.reason) == made
    assert (found[0].creator.kind, found[0].creator.name) == (IDENTITY_KIND_USER, "root")
    assert abs(found[0].expire_time.ToDatetime(UTC) - ends) < timedelta(milliseconds=1)


WRONG: dict[str, tuple[Any, list[str]]] = {
    "nothing": (pb.CreateLockRequest(), ["target", "reason"]),
    "empty name": (lock(user=""), ["target.user"]),
    "NUL": (lock("a\0b", role="a\0b"), ["target.role", "reason"]),
    "long": (lock("r" * 1025, user="n" * 513), ["target.user", "reason"]),
    "empty serial": (lock(certificate_serial=""), ["target.certificate_serial"]),
    "long serial": (lock(certificate_serial="1" * 41), ["target.certificate_serial"]),
    "no serial": (lock(certificate_serial="xyz"), ["target.certificate_serial"]),
    "past": (lock(user="a", ends=datetime(2020, 1, 1, tzinfo=UTC)), ["expire_time"]),
    "never": (
        pb.CreateLockRequest(target=LockTarget(user="a"), reason="r", expire_time=Timestamp(seconds=253_402_300_800)),
        ["expire_time"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
@in_loop
async def test_a_wrong_lock_is_refused_with_every_wrong_field(case: str) -> None:
    request, fields = WRONG[case]
    async with serving() as rig, rig.user("editor", name="root") as admin:
        failure = await failing(AccessServiceStub(admin).CreateLock(request))
        assert not rig.lock_store.events
    assert (failure.code, failure.violations) == (Codes.INVALID_ARGUMENT, fields)


@pytest.mark.parametrize(
    "request_", [pb.ListLocksRequest(page_token="no"), pb.ListLocksRequest(page_token="cm9sZXM6YQ=="),
                 pb.ListLocksRequest(page_size=-1)]
)  # fmt: skip
@in_loop
async def test_a_wrong_page_is_refused(request_: pb.ListLocksRequest) -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin:
        failure = await failing(AccessServiceStub(admin).ListLocks(request_))
    assert failure.code is Codes.INVALID_ARGUMENT


@in_loop
async def test_a_lock_of_another_process_bars_after_the_next_look_at_the_table() -> None:
    async with serving() as here, serving() as there:  # noqa: SIM117 -- the channels need both
        async with here.user("editor", name="root") as admin, there.user("auditor") as alice:
            await AccessServiceStub(admin).CreateLock(lock(user="alice"))
            there.lock_store.locks, there.lock_store.events = here.lock_store.locks, here.lock_store.events
            assert await status_of(alice) is None
            there.lock_table.refresh()
            assert await status_of(alice)

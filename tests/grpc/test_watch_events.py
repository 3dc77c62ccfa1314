"""WatchEvents over real sockets and TLS: what is asked, what comes, and how the stream ends."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import grpc
import pytest
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1 import event_watch_pb2 as watch_pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from google.protobuf.timestamp_pb2 import Timestamp

from rbac.policy import Policy
from server.audit_log.receipts import Emitter, Receipt
from server.audit_log.search.query import EventFilter, FoundEvent, Missing, MissingReason
from server.audit_log.watching.query import Watched, WatchQuery
from server.grpc_api.call import Call
from server.storage.query import FieldEquality, Filters, Position
from tests.grpc.failures import Failure, failing, failure_of
from tests.grpc.rig import serving
from tests.loops import in_loop, until

Codes = grpc.StatusCode


def time(seconds: int, nanos: int = 0) -> Timestamp:
    return Timestamp(seconds=seconds, nanos=nanos)


def watch(channel: grpc.aio.Channel, **members: Any) -> Any:
    return AuditLogServiceStub(channel).WatchEvents(watch_pb.WatchEventsRequest(**members))


async def end_of(call: Any) -> Failure:
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
        await call
    except grpc.aio.AioRpcError as error:
        return failure_of(error)
    raise AssertionError(await call.code())


@in_loop
async def test_what_is_asked_reaches_the_use_case() -> None:
    wanted = query_pb.EventFilter(
        from_time=time(1),
        to_time=time(2, 1_500_000),
        types=["a", "b"],
        users=["u"],
        session_id="s",
        uids=["x"],
        text="t",
        fields=[query_pb.FieldEquality(path=["p", "q"], int64_value=3)],
        emitters=["node"],
        emitter_kinds=[event_pb2.IDENTITY_KIND_COMPONENT],
    )
    starts: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"after": watch_pb.LogPlace()}, {"after": {}}),
        ({"after": watch_pb.LogPlace(logs={"l": 7})}, {"after": {"l": 7}}),
        ({"received_from": time(3, 999_999)}, {"received_from_ms": 3000}),
    ]
    async with serving() as rig, rig.user("auditor") as channel:
        for start, _ in starts:
            await watch(channel, filter=wanted, storage="all", **start).read()
        asked = [query for _, query in rig.watches.asked]
    filters = Filters(
        1000, 2001, frozenset("ab"), frozenset("u"), "s", frozenset("x"), "t", (FieldEquality(("p", "q"), 3),)
    )
    [kind] = asked[0].wanted.emitter_kinds
    expected = EventFilter(filters, frozenset({"node"}), frozenset({kind}))
    assert kind.value == "component"
    assert asked == [WatchQuery(expected, storage="all", **start) for _, start in starts]


@in_loop
async def test_every_violation_is_named_at_once_and_nothing_is_looked_at() -> None:
    request = {
        "filter": query_pb.EventFilter(
            from_time=Timestamp(nanos=-1), types=["x"] * 101, fields=[query_pb.FieldEquality()], text="x" * 1025
        ),
        "after": watch_pb.LogPlace(logs={"": 1, "l": 2**63}),
        "storage": "s" * 257,
    }
    late = {"received_from": time(2**40)}
    async with serving() as rig, rig.user("auditor") as channel:
        failures = [await failing(watch(channel, **each).read()) for each in (request, late)]
        assert not rig.touched
    assert {failure.code for failure in failures} == {Codes.INVALID_ARGUMENT}
    assert failures[0].violations == [
        "filter.from_time", "filter.types", "filter.text", "filter.fields[0].path", "filter.fields[0].value",
        "after.logs", "after.logs", "storage",
    ]  # fmt: skip
    assert failures[1].violations == ["received_from"]


@in_loop
async def test_an_answer_has_events_place_and_what_is_missing() -> None:
    receipt = Receipt("default", "l", 4, Emitter("component", "node", "anchor", "01"), "peer", 5_000)
    found = FoundEvent(Position(1_500, "u-1", "d"), "t", "s", "eve", 2, b"{}", (receipt,))
    hole = Missing(MissingReason.JOURNAL_HOLE, "default", "l", "lost", 2, 3)
    async with serving() as rig, rig.user("auditor") as channel:
        rig.watches.answers = [Watched([found], {"l": 4}, False, [hole]), Watched([], {"l": 9}, True)]
        call = watch(channel)
        first, second = await call.read(), await call.read()
    [row] = first.events
    assert (row.json, row.time, row.type, row.uid, row.user) == (b"{}", time(1, 500_000_000), "t", "u-1", "eve")
    assert (row.receipts[0].sequence, row.receipts[0].emitter.name) == (4, "node")
    [missing] = first.missing
    assert (missing.reason, missing.first_sequence) == (query_pb.MISSING_REASON_JOURNAL_HOLE, 2)
    assert [(dict(each.place.logs), each.caught_up) for each in (first, second)] == [
        ({"l": 4}, False),
        ({"l": 9}, True),
    ]


@in_loop
async def test_a_stop_ends_watches_with_a_reason_to_come_again() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        call = watch(channel)
        await call.read()
        stopped = asyncio.ensure_future(rig.server.stop(60))
        failure = await end_of(call)
        await stopped
        assert [each.closed for each in rig.watches.begun] == [1]
    assert (failure.code, failure.reason) == (Codes.UNAVAILABLE, "STOPPING")


@in_loop
async def test_a_watch_ends_when_the_right_does() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        call = watch(channel)
        await call.read()
        rig.policy.current = Policy.of(())
        rig.server.look_again()
        failure = await end_of(call)
        await until(lambda: rig.watches.begun[0].closed)
    assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")


@in_loop
async def test_a_watch_whose_right_ends_while_its_first_answer_is_written_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        respond = Call.respond

        async def responding(call: Call, message: Any) -> None:
            rig.policy.current = Policy.of(())
            rig.server.look_again()
            await respond(call, message)

        monkeypatch.setattr(Call, "respond", responding)
        failure = await end_of(watch(channel))
    assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")


@in_loop
async def test_each_look_asks_for_the_rights_anew() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        call = watch(channel)
        await call.read()
        rig.policy.current = Policy.of(())
        with pytest.raises(Exception, match="access denied"):
            rig.watches.begun[0].access()


@in_loop
async def test_a_watcher_that_goes_is_noted() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        call = watch(channel)
        await call.read()
        call.cancel()
        await until(lambda: rig.watches.begun[0].closed)
        await until(lambda: rig.records.calls)
    assert [each.code for each in rig.records.calls] == ["CANCELLED"]


class Events(list[FoundEvent]):
    """Can be referred to weakly."""


@in_loop
async def test_what_a_watcher_does_not_read_is_kept_once() -> None:
    events = Events(
        FoundEvent(Position(1, f"u-{number}", "d"), "t", "", "", 2, b"x" * 1_000_000, ()) for number in range(3)
    )
    kept = weakref.ref(events)
    async with serving() as rig, rig.user("auditor") as channel:
        rig.watches.answers = [Watched(events, {"l": 4}, False)]
        call = watch(channel)
        await until(lambda: rig.watches.begun)
        rig.watches.answers = []
        del events
        await until(lambda: kept() is None)
        assert not rig.watches.begun[0].closed
        call.cancel()

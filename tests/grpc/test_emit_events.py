"""EmitEvents: windows, order, what ends a stream and what is acknowledged before."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_pb2 import EventPayload
from google.protobuf.struct_pb2 import Struct

from rbac.policy import Policy
from server.audit_log.denials import Refusal
from server.errors import ResourceExhausted, Unavailable
from server.grpc_api.emit_stream import EmitStream, Window
from server.grpc_api.server import Limits
from tests.certificates_builder import LIFETIME
from tests.grpc.failures import Failure, all_of, failing, failure_of
from tests.grpc.methods import EMIT_EVENTS
from tests.grpc.rig import serving
from tests.loops import faults, in_loop, until

EVENTS_DENIED = Refusal(EMIT_EVENTS, "PERMISSION_DENIED", "ACCESS_DENIED", "")


def message(number: int, *payloads: bytes) -> pb.EmitEventsRequest:
    return pb.EmitEventsRequest(message_number=number, events=[EventPayload(json=data) for data in payloads])


def numbers(response: pb.EmitEventsResponse) -> list[int]:
    return [each.message_number for each in response.messages]


async def sent(channel: grpc.aio.Channel, *messages: pb.EmitEventsRequest) -> Any:
    """An open stream with these messages: the library's client hides a failure if its half-close comes after it."""
    call = AuditLogServiceStub(channel).EmitEvents()
    for each in messages:
        await call.write(each)
    return call


async def acknowledged_until_failure(call: Any) -> tuple[list[int], Failure]:
    """The messages acknowledged before the stream failed, and how it failed."""
    found: list[int] = []
    try:
        async for response in call:
            found += numbers(response)
            assert response.durable_through == found[-1]
    except grpc.aio.AioRpcError as error:
        return found, failure_of(error)
    raise AssertionError("the stream ended well")


@in_loop
async def test_every_message_is_acknowledged_in_order_and_the_stream_ends_well() -> None:
    async with serving() as rig, rig.node() as channel:
        call = AuditLogServiceStub(channel).EmitEvents(iter([message(3, b"a", b"bad", b"b"), message(7, b"c")]))
        responses = await all_of(call)
        assert await call.code() is grpc.StatusCode.OK
        assert rig.intake.events == [b"a", b"b", b"c"]
    acks = [ack for response in responses for ack in response.messages]
    refused = pb.RefusedEvent(index=1, violations=[pb.EventViolation(field="time", description="must be RFC 3339")])
    assert acks == [
        pb.MessageAcknowledgement(
            message_number=3,
            storage="default",
            log_id="log",
            sequences=[pb.SequenceRange(first=1, last=2)],
            refused=[refused],
        ),
        pb.MessageAcknowledgement(
            message_number=7, storage="default", log_id="log", sequences=[pb.SequenceRange(first=3, last=3)]
        ),
    ]
    assert responses[-1].durable_through == 7


@in_loop
async def test_events_that_speak_for_another_are_told_to_the_self_audit_once_a_message() -> None:
    async with serving() as rig, rig.node() as channel:
        messages = [
            message(1, b"a", b"of another", b"bad", b"of another"),
            message(2, b"bad"),
            message(3, b"of another"),
        ]
        await all_of(AuditLogServiceStub(channel).EmitEvents(iter(messages)))
        told = rig.denials.told
        assert [(refusal, count) for _, refusal, count in told] == [(EVENTS_DENIED, 2), (EVENTS_DENIED, 1)]
        assert {access.identity.name for access, _, _ in told} == {rig.intake.accesses[0].identity.name}


@in_loop
async def test_who_hangs_up_before_an_answer_does_not_get_away_without_a_trace() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = await sent(channel, message(1, b"of another"))
        await until(lambda: rig.intake.waiting)
        call.cancel()
        await until(lambda: rig.records.calls)
        rig.intake.settle(0)
        await until(lambda: rig.denials.told)
        assert [count for _, _, count in rig.denials.told] == [1]


@in_loop
async def test_an_event_that_has_no_bytes_is_refused_and_stops_nothing_else() -> None:
    too_large = Struct()
    too_large["n"] = 2.0**53 * 2
    fine = Struct()
    fine["event"] = "x"
    mixed = pb.EmitEventsRequest(
        message_number=1,
        events=[EventPayload(fields=too_large), EventPayload(), EventPayload(fields=fine), EventPayload(json=b"a")],
    )
    async with serving() as rig, rig.node() as channel:
        (response,) = await all_of(AuditLogServiceStub(channel).EmitEvents(iter([mixed])))
        assert rig.intake.events == [b'{"event":"x"}', b"a"]
    refused = [(each.index, each.violations[0].field) for each in response.messages[0].refused]
    assert refused == [(0, "fields"), (1, "payload")]


@in_loop
async def test_no_acknowledgement_is_sent_before_it_and_all_before_it_are_durable() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = AuditLogServiceStub(channel).EmitEvents()
        for number in (1, 2, 3):
            await call.write(message(number, b"a"))
        await until(lambda: len(rig.intake.waiting) == 3)
        rig.intake.settle(1)
        reading = asyncio.ensure_future(call.read())
        done, _ = await asyncio.wait([reading], timeout=0.1)
        assert not done
        rig.intake.settle(0)
        response = await reading
        assert (numbers(response), response.durable_through) == ([1, 2], 2)
        rig.intake.settle(2)
        assert numbers(await call.read()) == [3]
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


@pytest.mark.parametrize("window", [Window(messages=4), Window(bytes=40)])
@in_loop
async def test_a_full_window_stops_reading_until_something_is_durable(window: Window) -> None:
    async with serving(limits=Limits(window=window), holds=True) as rig, rig.node() as channel:
        call = AuditLogServiceStub(channel).EmitEvents(iter([message(n, b"12345678") for n in range(1, 9)]))
        await until(lambda: len(rig.intake.waiting) >= 3)
        await asyncio.sleep(0.1)
        assert len(rig.intake.waiting) <= 4
        rig.intake.settle(0)
        await until(lambda: len(rig.intake.waiting) > 3)
        for index in range(1, 4):
            rig.intake.settle(index)
        await until(lambda: len(rig.intake.waiting) > 6)
        call.cancel()


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        (message(2, b"c"), ["message_number"]),
        (message(1, b"c"), ["message_number"]),
        (message(3), ["events"]),
        (message(3, *[b"c"] * 1001), ["events"]),
        (message(2), ["message_number", "events"]),
    ],
)
@in_loop
async def test_a_wrong_message_ends_the_stream_after_what_came_before_is_acknowledged(
    wrong: pb.EmitEventsRequest, fields: Sequence[str]
) -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = await sent(channel, message(1, b"a"), message(2, b"b"), wrong)
        await until(lambda: len(rig.intake.waiting) == 2)
        rig.intake.settle(1)
        rig.intake.settle(0)
        acknowledged, failure = await acknowledged_until_failure(call)
        assert rig.intake.events == [b"a", b"b"]
    assert acknowledged == [1, 2]
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert failure.violations == fields


@in_loop
async def test_a_thousand_events_are_not_too_many() -> None:
    async with serving() as rig, rig.node() as channel:
        await all_of(AuditLogServiceStub(channel).EmitEvents(iter([message(0, *[b"a"] * 1000)])))
        assert len(rig.intake.events) == 1000


@in_loop
async def test_bytes_that_are_no_message_end_the_stream_after_what_came_before_is_acknowledged() -> None:
    async with serving() as rig, rig.node() as channel:
        method = channel.stream_stream(
            "/extaudit.v1.AuditLogService/EmitEvents",
            response_deserializer=pb.EmitEventsResponse.FromString,
        )
        call = method()
        await call.write(message(1, b"a").SerializeToString())
        await call.write(b"\xff\xff")
        acknowledged, failure = await acknowledged_until_failure(call)
    assert acknowledged == [1]
    assert (failure.reason, failure.violations) == ("INVALID_REQUEST", ["request"])


@in_loop
async def test_a_right_that_is_lost_ends_the_stream_at_the_next_message() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = await sent(channel, message(1, b"a"))
        await until(lambda: len(rig.intake.waiting) == 1)
        rig.look_no_more()
        rig.policy.current = Policy.of(())
        await call.write(message(2, b"b"))
        rig.intake.settle(0)
        acknowledged, failure = await acknowledged_until_failure(call)
        assert rig.intake.events == [b"a"]
    assert acknowledged == [1]
    assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")


@in_loop
async def test_a_certificate_that_expires_ends_the_stream_at_the_next_message() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = await sent(channel, message(1, b"a"))
        await until(lambda: len(rig.intake.waiting) == 1)
        rig.look_no_more()
        rig.clock.offset = LIFETIME
        await call.write(message(2, b"b"))
        rig.intake.settle(0)
        acknowledged, failure = await acknowledged_until_failure(call)
        assert rig.intake.events == [b"a"]
    assert acknowledged == [1]
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_EXPIRED")


@in_loop
async def test_a_full_journal_ends_the_stream_after_what_came_before_is_acknowledged() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = await sent(channel, message(1, b"a"))
        await until(lambda: len(rig.intake.waiting) == 1)
        rig.intake.refuses = ResourceExhausted("full", reason="JOURNAL_FULL", retry_after=3)
        await call.write(message(2, b"b"))
        rig.intake.settle(0)
        acknowledged, failure = await acknowledged_until_failure(call)
    assert acknowledged == [1]
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "JOURNAL_FULL")
    assert failure.retry_seconds == 3


@in_loop
async def test_a_message_that_does_not_become_durable_ends_the_stream_and_none_after_it_is_acknowledged() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = await sent(channel, *[message(n, b"a") for n in (1, 2, 3, 4)])
        await until(lambda: len(rig.intake.waiting) == 4)
        rig.intake.settle(2)
        rig.intake.waiting[1](Unavailable("closed", reason="JOURNAL_CLOSED"))
        rig.intake.settle(0)
        acknowledged, failure = await acknowledged_until_failure(call)
        # No one waits for this one any more; its failure must not turn up as one that was never looked at.
        rig.intake.waiting[3](Unavailable("closed", reason="JOURNAL_CLOSED"))
    assert acknowledged == [1]
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "JOURNAL_CLOSED")


@in_loop
async def test_nothing_keeps_a_stream_that_has_ended() -> None:
    async with serving() as rig, rig.node() as channel:
        await all_of(AuditLogServiceStub(channel).EmitEvents(iter([message(1, b"a")])))
        await until(lambda: rig.records.calls)
        rig.intake.waiting.clear()
        # The call is told of a moment before its task ends, which holds the stream until then.
        await until(lambda: gc.collect() >= 0 and not any(type(each) is EmitStream for each in gc.get_objects()))


@in_loop
async def test_a_failed_stream_with_a_full_window_leaves_no_task() -> None:
    async with serving(limits=Limits(window=Window(messages=1)), holds=True) as rig, rig.node() as channel:
        call = await sent(channel, message(1, b"a"))
        await until(lambda: len(rig.intake.waiting) == 1)
        rig.intake.waiting[0](Unavailable("closed", reason="JOURNAL_CLOSED"))
        await acknowledged_until_failure(call)
        await until(lambda: not [task for task in asyncio.all_tasks() if "EmitStream" in repr(task)])


@in_loop
async def test_a_stream_without_messages_ends_well() -> None:
    async with serving() as rig, rig.node() as channel:
        assert await all_of(AuditLogServiceStub(channel).EmitEvents(iter([]))) == []


@in_loop
async def test_a_cancelled_stream_leaves_no_task_and_no_unseen_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        before = {task for task in asyncio.all_tasks() if "EmitStream" in repr(task)}
        call = await sent(channel, message(1, b"a"))
        await until(lambda: len(rig.intake.waiting) == 1)
        call.cancel()
        await until(lambda: [record.code for record in rig.records.calls] == ["CANCELLED"])
        rig.intake.waiting[0](Unavailable("closed", reason="JOURNAL_CLOSED"))
        rig.intake.waiting.clear()
        await until(lambda: {task for task in asyncio.all_tasks() if "EmitStream" in repr(task)} == before)
        gc.collect()
        assert rig.intake.events == [b"a"]
    assert not faults(caplog.records)


@in_loop
async def test_a_stream_cut_off_while_idle_counts_as_cancelled() -> None:
    async with serving() as rig, rig.node() as channel:
        for _ in range(40):
            call = await sent(channel, message(1, b"a"))
            await call.read()
            call.cancel()
        await until(lambda: len(rig.records.calls) == 40)
        assert {record.code for record in rig.records.calls} == {"CANCELLED"}


@in_loop
async def test_a_stopping_server_ends_the_stream_after_acknowledging_what_was_submitted() -> None:
    async with serving(holds=True) as rig, rig.node() as channel:
        call = await sent(channel, message(1, b"a"))
        await until(lambda: len(rig.intake.waiting) == 1)
        stopping = asyncio.ensure_future(rig.server.stop(60))
        await asyncio.sleep(0.05)
        assert not stopping.done()
        rig.intake.settle(0)
        acknowledged, failure = await acknowledged_until_failure(call)
        await stopping
    assert acknowledged == [1]
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "STOPPING")


@in_loop
async def test_a_stream_that_the_client_has_ended_is_not_told_of_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[EmitStream] = []
    begin = EmitStream.responses
    monkeypatch.setattr(EmitStream, "responses", lambda stream: streams.append(stream) or begin(stream))
    async with serving(holds=True) as rig, rig.node() as channel:
        call = AuditLogServiceStub(channel).EmitEvents(iter([message(1, b"a")]))
        await until(lambda: streams and streams[0]._ended)
        assert len(rig.intake.waiting) == 1
        stopping = asyncio.ensure_future(rig.server.stop(60))
        await asyncio.sleep(0)
        rig.intake.settle(0)
        assert numbers((await all_of(call))[0]) == [1]
        await stopping


@in_loop
async def test_a_denied_stream_touches_nothing() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        failure = await failing((await sent(channel)).read())
        assert not rig.touched
    assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
    assert failure.metadata == {"kind": "event", "verb": "create"}

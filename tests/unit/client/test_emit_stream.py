from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit_client import Client, EmittedEvent, ExtauditError, Refusal, Repetition, Violation
from extaudit_client.emitting import MESSAGE_BYTES, STREAM_EVENT_BYTES, messages
from extaudit_client.stream import EventStream

from tests.polling import until
from tests.unit.client.fake_service import FakeService, Refused, acknowledge, acknowledge_all
from tests.unit.client.silence import SILENCE, SilenceClock

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE

Stream = Iterator[pb.EmitEventsRequest]
Answers = Iterator[pb.EmitEventsResponse]


def numbered(count: int) -> list[bytes]:
    return [b'{"n":%d}' % n for n in range(count)]


def bytes_of(request: pb.EmitEventsRequest) -> list[bytes]:
    return [event.json for event in request.events]


def test_one_event_is_sent_as_it_is_and_its_place_comes_back(service: FakeService, client: Client) -> None:
    seen: list[bytes] = []

    def emit(request: pb.EmitEventRequest) -> pb.EmitEventResponse:
        seen.append(request.event.json)
        return pb.EmitEventResponse(uid="u", storage="default", log_id="log1", sequence=7, repeated=True)

    service.emit = emit
    assert client.emit(b' {"a" : 1}\r') == EmittedEvent("u", "default", "log1", 7, repeated=True, uid_reused=False)
    assert seen == [b' {"a" : 1}\r']


@pytest.mark.parametrize(
    ("sizes", "batch", "expected"),
    [
        ([], 2, []),
        ([1, 1, 1, 1, 1], 2, [2, 2, 1]),
        ([1, 1, 1, 1], 2, [2, 2]),
        ([MESSAGE_BYTES, 1, 1], 100, [1, 2]),
        ([1, MESSAGE_BYTES, 1], 100, [1, 1, 1]),
        ([MESSAGE_BYTES // 2] * 4, 100, [2, 2]),
    ],
)
def test_messages_are_closed_by_count_and_by_bytes(sizes: list[int], batch: int, expected: list[int]) -> None:
    cut = list(messages((b"x" * size for size in sizes), batch))
    assert [len(message.events) for message in cut] == expected
    assert [message.number for message in cut] == list(range(1, len(cut) + 1))
    assert [message.first_index for message in cut] == [sum(expected[:i]) for i in range(len(expected))]


def test_a_full_message_leaves_before_the_next_event_is_taken() -> None:
    taken: list[int] = []

    def source() -> Iterator[bytes]:
        for n in range(3):
            taken.append(n)
            yield b"x"

    assert len(next(messages(source(), 2)).events) == 2
    assert taken == [0, 1]


def test_a_stream_that_says_nothing_more_is_opened_again(
    service: FakeService, client: Client, waits: list[float], silence_clock: SilenceClock
) -> None:
    found: list[int] = []
    hangs = iter([True])

    def answer(requests: Stream) -> Answers:
        yield acknowledge(next(requests))
        if next(hangs, False):
            until(lambda: found)
            silence_clock.go_on_until(lambda: waits)
            return
        yield from acknowledge_all(requests)

    service.emit_stream = answer
    stream = EventStream(client._caller.stubs.audit_log.EmitEvents, 8, client._caller.retries, SILENCE)
    for message in messages(numbered(2), 1):
        stream.send(message)
    stream.finish()
    while stream.pending:
        found += [each.first_index for each in stream.receive()]
    assert found == [0, 1]
    assert len(waits) == 1


def test_acknowledgements_come_in_order_with_indexes_of_the_iterable(service: FakeService, client: Client) -> None:
    def answer(requests: Stream) -> Answers:
        yield acknowledge(next(requests), sequences=[pb.SequenceRange(first=1, last=3)])
        yield acknowledge(
            next(requests),
            refused=[pb.RefusedEvent(index=0, violations=[pb.EventViolation(field="time", description="bad")])],
            repeated=[pb.RepeatedEvent(index=1, storage="s", log_id="l", sequence=9)],
            assigned_uids=[pb.AssignedUid(index=1, uid="given")],
            uid_reused=[1],
        )

    service.emit_stream = answer
    first, second = client.emit_stream(numbered(5), batch_size=3)
    assert (first.first_index, first.count, first.sequences) == (0, 3, ((1, 3),))
    assert (first.storage, first.log_id) == ("default", "log1")
    assert (second.first_index, second.count) == (3, 2)
    assert second.refused == (Refusal(3, (Violation("time", "bad"),)),)
    assert second.repeated == (Repetition(4, "s", "l", 9),)
    assert (second.assigned_uids, second.uid_reused) == ({4: "given"}, (4,))


def test_no_more_messages_than_the_window_are_under_way(service: FakeService, client: Client) -> None:
    taken: list[int] = []
    release = threading.Event()

    def source() -> Iterator[bytes]:
        for n, event in enumerate(numbered(10)):
            taken.append(n)
            yield event

    def hold(requests: Stream) -> Answers:
        held = [next(requests) for _ in range(3)]
        release.wait(60)
        for request in held:
            yield acknowledge(request)
        yield from acknowledge_all(requests)

    service.emit_stream = hold
    answers = client.emit_stream(source(), batch_size=1, window=3)
    threading.Timer(0.2, release.set).start()
    next(answers)
    assert taken == [0, 1, 2]
    assert len(list(answers)) == 9


def test_a_window_of_one_acknowledges_each_message_before_the_next_event_is_taken(client: Client) -> None:
    taken: list[bytes] = []

    def source() -> Iterator[bytes]:
        for event in numbered(3):
            taken.append(event)
            yield event

    counts = [len(taken) for _ in client.emit_stream(source(), batch_size=1, window=1)]
    assert counts == [1, 2, 3]


def test_an_entry_beyond_what_is_durable_is_held_back(service: FakeService, client: Client) -> None:
    def early(requests: Stream) -> Answers:
        first, second = next(requests), next(requests)
        both = [acknowledge(first).messages[0], acknowledge(second).messages[0]]
        yield pb.EmitEventsResponse(durable_through=first.message_number, messages=both)
        raise Refused(grpc.StatusCode.INTERNAL, "INTERNAL")

    service.emit_stream = early
    answers = client.emit_stream(numbered(2), batch_size=1)
    assert next(answers).first_index == 0
    with pytest.raises(ExtauditError):
        next(answers)


def broken_after(first: int, seen: list[list[bytes]]) -> Callable[[Stream], Answers]:
    """Acknowledge so many messages, break once, then take everything."""
    streams = iter([first])

    def answer(requests: Stream) -> Answers:
        allowed = next(streams, None)
        for count, request in enumerate(requests):
            seen.append(bytes_of(request))
            if count == allowed:
                raise Refused(UNAVAILABLE, "STOPPING", retry_after=0.25)
            yield acknowledge(request)

    return answer


def test_what_is_not_acknowledged_is_sent_again_on_a_new_stream(
    service: FakeService, client: Client, waits: list[float]
) -> None:
    seen: list[list[bytes]] = []
    service.emit_stream = broken_after(2, seen)
    answers = list(client.emit_stream(numbered(5), batch_size=1))
    assert [answer.first_index for answer in answers] == [0, 1, 2, 3, 4]
    assert seen[:3] == [[event] for event in numbered(3)]
    assert seen[3:] == [[event] for event in numbered(5)[2:]]
    assert waits == [0.25]


def test_a_stream_that_never_worked_is_not_tried_again(
    service: FakeService, client: Client, waits: list[float]
) -> None:
    def refuse(requests: Stream) -> Answers:
        raise Refused(UNAVAILABLE, "JOURNAL_CLOSED")
        yield

    service.emit_stream = refuse
    with pytest.raises(ExtauditError) as caught:
        list(client.emit_stream(numbered(1)))
    assert caught.value.reason == "JOURNAL_CLOSED"
    assert waits == []


def test_attempts_without_progress_are_bounded(service: FakeService, client: Client, waits: list[float]) -> None:
    def refuse(requests: Stream) -> Answers:
        raise Refused(UNAVAILABLE, "OVERLOADED", retry_after=0.5)
        yield

    service.emit_stream = refuse
    with pytest.raises(ExtauditError):
        list(client.emit_stream(numbered(1)))
    assert waits == [0.5, 0.5]


def test_progress_begins_the_attempts_anew(service: FakeService, client: Client, waits: list[float]) -> None:
    def one_each(requests: Stream) -> Answers:
        yield acknowledge(next(requests))
        next(requests)
        raise Refused(UNAVAILABLE, "STOPPING", retry_after=0.5)

    service.emit_stream = one_each
    answers = client.emit_stream(numbered(5), batch_size=1)
    assert [next(answers).first_index for _ in range(5)] == [0, 1, 2, 3, 4]
    assert waits == [0.5] * 4


def test_an_entry_held_back_when_the_stream_breaks_is_forgotten(service: FakeService, client: Client) -> None:
    streams = iter([True])

    def early(requests: Stream) -> Answers:
        if not next(streams, False):
            yield from acknowledge_all(requests)
            return
        first, second = next(requests), next(requests)
        both = [acknowledge(first).messages[0], acknowledge(second).messages[0]]
        yield pb.EmitEventsResponse(durable_through=first.message_number, messages=both)
        raise Refused(UNAVAILABLE, "STOPPING")

    service.emit_stream = early
    answers = list(client.emit_stream(numbered(3), batch_size=1))
    assert [answer.first_index for answer in answers] == [0, 1, 2]


def test_a_stream_whose_token_expired_is_opened_again_with_the_file_as_it_is_now(
    service: FakeService, client: Client, waits: list[float]
) -> None:
    def one_each(requests: Stream) -> Answers:
        yield acknowledge(next(requests))
        next(requests)
        raise Refused(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")

    service.emit_stream = one_each
    answers = client.emit_stream(numbered(3), batch_size=1)
    assert [next(answers).first_index for _ in range(3)] == [0, 1, 2]
    assert len(waits) == 2


def test_an_error_that_will_not_pass_is_not_tried_again(
    service: FakeService, client: Client, waits: list[float]
) -> None:
    def refuse(requests: Stream) -> Answers:
        yield acknowledge(next(requests))
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")

    service.emit_stream = refuse
    answers = client.emit_stream(numbered(2), batch_size=1)
    next(answers)
    with pytest.raises(ExtauditError) as caught:
        next(answers)
    assert caught.value.reason == "ACCESS_DENIED"
    assert waits == []


def test_a_stream_that_ends_without_acknowledging_everything_is_an_error(service: FakeService, client: Client) -> None:
    service.emit_stream = lambda requests: iter(())
    with pytest.raises(ExtauditError):
        list(client.emit_stream(numbered(1)))


def test_an_acknowledgement_out_of_turn_is_an_error(service: FakeService, client: Client) -> None:
    def wrong(requests: Stream) -> Answers:
        request = next(requests)
        request.message_number += 1
        yield acknowledge(request)

    service.emit_stream = wrong
    with pytest.raises(ExtauditError, match="out of turn"):
        list(client.emit_stream(numbered(1)))


def test_an_error_of_the_source_reaches_the_caller(client: Client) -> None:
    def source() -> Iterator[bytes]:
        yield b"{}"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(client.emit_stream(source(), batch_size=1))


def test_an_event_too_large_for_the_stream_is_refused_alone(service: FakeService, client: Client) -> None:
    events = [b"{}", b"x" * (STREAM_EVENT_BYTES + 1), b"{}"]
    answers = list(client.emit_stream(events, batch_size=2))
    assert [answer.first_index for answer in answers] == [0, 1, 2]
    assert [refusal.index for answer in answers for refusal in answer.refused] == [1]


@pytest.mark.parametrize(("batch", "window"), [(0, 1), (1001, 1), (1, 0)])
def test_a_batch_or_window_out_of_bounds_is_refused(client: Client, batch: int, window: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        next(client.emit_stream([b"{}"], batch_size=batch, window=window))

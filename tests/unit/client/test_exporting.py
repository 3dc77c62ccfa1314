"""Chunks are read to their end whatever breaks their streams, and nothing that contradicts itself is given."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as audit_pb
from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1 import event_watch_pb2 as watch_pb
from extaudit_client import (
    Client,
    EventChunk,
    ExportedEvents,
    ExtauditError,
    IncompleteAnswer,
    MissingPart,
    PermissionDenied,
    Query,
    prefetched,
)
from extaudit_client.chunks import ChunkReader, to_read

from tests.polling import until
from tests.unit.client.fake_service import FakeService, Refused
from tests.unit.client.silence import SILENCE, SilenceClock

STOPPING = Refused(grpc.StatusCode.UNAVAILABLE, "STOPPING", retry_after=0.5)
BUSY = Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after=1.0)
TIME = datetime(2026, 11, 1, tzinfo=UTC)
LARGE = b'{"event":"a.b","x":"' + b"x" * 1000 + b'"}'
LOST = query_pb.MissingPart(reason=query_pb.MISSING_REASON_OBJECT_MISSING, name="o", description="gone")


def chunk(first: int = 1, last: int = 100, log_id: str = "l", storage: str = "default") -> EventChunk:
    return EventChunk(f"{log_id}/{first}", storage, log_id, first, last, last - first + 1, 1000, TIME, TIME)


def columns(*sequences: int, large: tuple[int, ...] = (), **changes: Any) -> pb.EventColumns:
    payloads = [b"" if number in large else payload(number) for number in sequences]
    members: dict[str, Any] = {
        "storage": "default",
        "log_id": "l",
        "sequences": sequences,
        "times_ms": [1000 + number for number in sequences],
        "types": ["a.b" for _ in sequences],
        "uids": [f"u{number}" for number in sequences],
        "session_ids": ["" for _ in sequences],
        "users": ["alice" for _ in sequences],
        "json": b"".join(payloads),
        "json_sizes": list(map(len, payloads)),
        "emitters": [pb.EmitterAtPeer(emitter=event_pb2.Identity(kind=2, name="alice"), peer="p")],
        "emitter_numbers": [1 for _ in sequences],
        "received_times_ms": [2000 for _ in sequences],
    }
    return pb.EventColumns(**members | changes)


def payload(number: int) -> bytes:
    return b'{"event":"a.b","n":%d}' % number


def answer(*sequences: int, done: bool = False, through: int = 0, **members: Any) -> pb.ExportEventsResponse:
    through = through or (100 if done else sequences[-1])
    return pb.ExportEventsResponse(columns=columns(*sequences, **members), through_sequence=through, done=done)


def read(client: Client, after: int = 0) -> list[ExportedEvents]:
    return list(client.export_chunk(chunk(), Query(types=("a.b",)), after))


def sequences(found: list[ExportedEvents]) -> list[int]:
    return [number for events in found for number in events.sequences]


def test_a_chunk_that_is_done_before_its_end_is_no_whole_chunk(service: FakeService, client: Client) -> None:
    service.export = lambda request: iter([answer(1, 2, through=60, done=True)])
    with pytest.raises(ExtauditError, match="done before its end"):
        read(client)


def test_a_chunk_whose_stream_says_nothing_more_is_read_on_over_another(
    service: FakeService, client: Client, waits: list[float], silence_clock: SilenceClock
) -> None:
    found: list[ExportedEvents] = []

    def export(request: pb.ExportEventsRequest) -> Iterator[pb.ExportEventsResponse]:
        if request.after_sequence:
            yield answer(50, done=True)
            return
        yield answer(7)
        until(lambda: found)
        silence_clock.go_on_until(lambda: waits)

    service.export = export
    stub, filters = client._caller.stubs.audit_log, query_pb.EventFilter()
    reader = ChunkReader(stub.ExportEvents, lambda *_: b"", chunk(), filters, client._caller.retries, SILENCE)
    found.extend(reader.events(0))
    assert sequences(found) == [7, 50]


def test_a_chunk_is_read_on_from_where_its_stream_broke(
    service: FakeService, client: Client, waits: list[float]
) -> None:
    def export(request: pb.ExportEventsRequest) -> Iterator[pb.ExportEventsResponse]:
        after = request.after_sequence
        if after < 40:
            yield answer(after + 1, after + 7, through=after + 10)  # what lies between isn't asked for
            raise STOPPING
        yield answer(50, done=True)

    service.export = export
    found = read(client)
    assert sequences(found) == [1, 7, 11, 17, 21, 27, 31, 37, 50]
    assert [request.after_sequence for request in service.exports] == [0, 10, 20, 30, 40]
    assert {tuple(request.filter.types) for request in service.exports} == {("a.b",)}
    assert (found[-1].through_sequence, waits) == (100, [0.5] * 4)


def test_a_stream_that_ends_early_is_no_end_of_the_chunk(service: FakeService, client: Client) -> None:
    service.export = lambda request: iter([answer(1)] if request.after_sequence == 0 else [answer(2, done=True)])
    assert sequences(read(client)) == [1, 2]


def test_it_gives_up_when_nothing_comes_any_more(service: FakeService, client: Client, waits: list[float]) -> None:
    def export(request: pb.ExportEventsRequest) -> Iterator[pb.ExportEventsResponse]:
        raise STOPPING
        yield

    service.export = export
    with pytest.raises(ExtauditError) as failed:
        read(client)
    assert (failed.value.reason, waits) == ("STOPPING", [0.5] * 2)


def test_a_busy_service_is_waited_for(service: FakeService, client: Client, waits: list[float]) -> None:
    def export(request: pb.ExportEventsRequest) -> Iterator[pb.ExportEventsResponse]:
        if len(service.exports) < 10:
            raise BUSY
        yield answer(1, done=True)

    service.export = export
    assert sequences(read(client)) == [1]
    assert len(waits) == 9


def test_what_is_no_passing_fault_is_raised_at_once(service: FakeService, client: Client, waits: list[float]) -> None:
    def export(request: pb.ExportEventsRequest) -> Iterator[pb.ExportEventsResponse]:
        yield answer(1)
        raise Refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")

    service.export = export
    with pytest.raises(ExtauditError) as failed:
        read(client)
    assert (failed.value.code, waits) == ("NOT_FOUND", [])


def test_a_chunk_from_a_place_on_is_asked_for_from_there(service: FakeService, client: Client) -> None:
    service.export = lambda request: iter([answer(60, done=True)])
    assert sequences(read(client, after=55)) == [60]
    assert [request.after_sequence for request in service.exports] == [55]


def test_an_event_too_large_for_an_answer_comes_whole_and_by_itself(service: FakeService, client: Client) -> None:
    def get(request: audit_pb.GetEventRequest) -> Iterator[audit_pb.GetEventResponse]:
        row = event_pb2.EventRow(payload_size=len(LARGE), digest=hashlib.sha256(LARGE).hexdigest())
        yield audit_pb.GetEventResponse(event=row)
        yield audit_pb.GetEventResponse(chunk=LARGE)

    service.get = get
    service.export = lambda request: iter([answer(1, 2, 3, 4, 5, large=(1, 4), done=True)])
    found = read(client)
    assert [list(events.sequences) for events in found] == [[1], [2, 3], [4], [5], []]
    assert [events.through_sequence for events in found] == [1, 3, 4, 5, 100]
    assert [json for events in found for json in events.payloads()] == [
        LARGE,
        payload(2),
        payload(3),
        LARGE,
        payload(5),
    ]
    assert [(request.position.log_id, request.position.sequence) for request in service.gets] == [("l", 1), ("l", 4)]
    assert {request.storage for request in service.gets} == {"default"}


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DATA_LOSS])
def test_a_large_event_that_is_gone_is_named_and_holds_up_no_other(
    service: FakeService, client: Client, code: grpc.StatusCode
) -> None:
    def gone(request: audit_pb.GetEventRequest) -> Iterator[audit_pb.GetEventResponse]:
        raise Refused(code, message="it is gone")
        yield

    service.get = gone
    service.export = lambda request: iter([answer(1, 2, 3, large=(2,), done=True)])
    found = read(client)
    assert [list(events.sequences) for events in found] == [[1], [], [3], []]
    assert [events.through_sequence for events in found] == [1, 2, 3, 100]
    assert [json for events in found for json in events.payloads()] == [payload(1), payload(3)]
    (part,) = (part for events in found for part in events.missing)
    assert part == MissingPart("object_missing", "default", "l", 2, 2, "it is gone")


def test_a_large_event_that_can_not_be_fetched_now_is_not_called_gone(service: FakeService, client: Client) -> None:
    def denied(request: audit_pb.GetEventRequest) -> Iterator[audit_pb.GetEventResponse]:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
        yield

    service.get = denied
    service.export = lambda request: iter([answer(1, large=(1,), done=True)])
    with pytest.raises(PermissionDenied):
        read(client)


CONTRADICTIONS: dict[str, pb.ExportEventsResponse] = {
    "a column is short": answer(1, 2, uids=["u1"]),
    "sizes that aren't the JSON's": answer(1, 2, json_sizes=[1, 2]),
    "sequences out of order": answer(2, 1, through=2),
    "sequences out of order in the middle": answer(1, 3, 2, 4, done=True),
    "a sequence twice": answer(1, 1, done=True),
    "a sequence from before": answer(0, 1),
    "a sequence beyond what was looked at": answer(1, 9, through=5),
    "an emitter that isn't there": answer(1, emitter_numbers=[2]),
    "a sequence beyond the chunk": answer(101),
    "another log": answer(1, log_id="other"),
    "another storage": answer(1, storage="other"),
}


@pytest.mark.parametrize("found", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_columns_that_contradict_each_other_are_not_given(
    service: FakeService, client: Client, found: pb.ExportEventsResponse
) -> None:
    service.export = lambda request: iter([found])
    with pytest.raises(ExtauditError) as failed:
        read(client)
    assert failed.value.code == "INTERNAL"


def test_an_answer_that_goes_back_is_not_gone_on_with(service: FakeService, client: Client) -> None:
    service.export = lambda request: iter([answer(through=10)])
    with pytest.raises(ExtauditError, match="contradict each other"):
        read(client, after=50)


def test_all_pages_of_chunks_are_asked_for(service: FakeService, client: Client) -> None:
    asked = []

    def chunks(request: pb.ListEventChunksRequest) -> pb.ListEventChunksResponse:
        asked.append(request)
        number = int(request.page_token or "0")
        listed = [pb.EventChunk(id=str(number), log_id="l", first_sequence=number + 1, last_sequence=number + 1)]
        if number < 2:
            return pb.ListEventChunksResponse(chunks=listed, next_page_token=str(number + 1))
        place = watch_pb.LogPlace(logs={"l": 3})
        return pb.ListEventChunksResponse(chunks=listed, complete_through=place, missing=[LOST], foreign_objects=4)

    service.chunks = chunks
    found = client.chunks(Query(storage="all", from_time=TIME, to_time=TIME, types=("a.b",)), {"l": 7})
    assert [each.id for each in found.chunks] == ["0", "1", "2"]
    assert (dict(found.complete_through), found.missing[0].description, found.foreign_objects) == ({"l": 3}, "gone", 4)
    assert {request.storage for request in asked} == {"all"}
    assert all(request.from_time.seconds == request.to_time.seconds == TIME.timestamp() for request in asked)
    assert all(dict(request.after.logs) == {"l": 7} for request in asked)


def test_what_is_missing_is_told_after_the_last_event(service: FakeService, client: Client) -> None:
    """Everything once: a chunk, and what watching gives behind what the list says is complete."""
    listed = pb.EventChunk(id="c", storage="default", log_id="l", first_sequence=1, last_sequence=100)
    place = watch_pb.LogPlace(logs={"l": 100})

    def chunks(request: pb.ListEventChunksRequest) -> pb.ListEventChunksResponse:
        left = [] if request.after.logs.get("l") else [listed]
        return pb.ListEventChunksResponse(chunks=left, complete_through=place, missing=[LOST])

    row = event_pb2.EventRow(uid="t", json=b"{}")
    row.receipts.add(storage="default", log_id="l", sequence=101)
    service.chunks = chunks
    service.export = lambda request: iter([answer(1, 2, done=True)])
    service.watch = lambda request: iter(
        [watch_pb.WatchEventsResponse(events=[row], place=watch_pb.LogPlace(logs={"l": 101}), caught_up=True)]
    )
    found: list[ExportedEvents] = []
    with pytest.raises(IncompleteAnswer) as incomplete:
        found.extend(client.export())
    assert sequences(found) == [1, 2, 101]
    assert [part.description for part in incomplete.value.missing] == ["gone"], "though each list tells it"
    assert dict(service.watches[0].after.logs) == {"l": 100}
    assert service.watches[0].storage == "all"


def test_a_large_event_that_is_gone_from_what_is_in_no_chunk_is_told_after_the_last_event(
    service: FakeService, client: Client
) -> None:
    def gone(request: audit_pb.GetEventRequest) -> Iterator[audit_pb.GetEventResponse]:
        raise Refused(grpc.StatusCode.NOT_FOUND, message="it is gone")
        yield

    rows = [event_pb2.EventRow(uid=f"t{number}", json=b"{}") for number in (1, 2, 3)]
    for number, row in enumerate(rows, 1):
        row.receipts.add(storage="default", log_id="l", sequence=number)
    rows[1].json, rows[1].payload_omitted = b"", True
    service.get = gone
    service.watch = lambda request: iter(
        [watch_pb.WatchEventsResponse(events=rows, place=watch_pb.LogPlace(logs={"l": 3}), caught_up=True)]
    )
    found: list[ExportedEvents] = []
    with pytest.raises(IncompleteAnswer) as incomplete:
        found.extend(client.export())
    assert [(list(events.sequences), events.through_sequence) for events in found] == [([1], 1), ([], 2), ([3], 3)]
    assert incomplete.value.missing == (MissingPart("object_missing", "default", "l", 2, 2, "it is gone"),)


def test_an_export_ends_where_the_service_is_gone_for_good_in_the_middle_of_what_is_in_no_chunk(
    service: FakeService, client: Client
) -> None:
    """Who follows waits for its return; who waits for an end is told."""

    def watch(request: watch_pb.WatchEventsRequest) -> Iterator[watch_pb.WatchEventsResponse]:
        if len(service.watches) < 40:
            yield watch_pb.WatchEventsResponse(place=watch_pb.LogPlace(logs={"l": len(service.watches)}))
        raise Refused(grpc.StatusCode.UNAVAILABLE, "STOPPING")

    service.watch = watch
    with pytest.raises(ExtauditError, match="refused"):
        list(client.export())
    assert 40 < len(service.watches) < 60, "what gets on is gone on with, however often it breaks"


def test_each_log_is_read_in_order_and_no_range_twice() -> None:
    """Whatever storages its chunks are in: a place is one number for each log."""
    found = to_read(
        [chunk(1, 10), chunk(21, 30), chunk(5, 9, "k"), chunk(11, 20, storage="other"), chunk(11, 20)], {"l": 10}
    )
    assert [(each.log_id, each.first_sequence, each.storage) for each in found] == [
        ("k", 5, "default"),
        ("l", 11, "other"),
        ("l", 21, "default"),
    ]


def test_items_are_read_at_once_and_given_in_order() -> None:
    started: set[int] = set()
    gate = threading.Event()

    def parts(item: int) -> Iterator[str]:
        started.add(item)
        if item == 0:
            gate.wait(60)
        yield from (f"{item}.{number}" for number in range(9))

    with_parts = prefetched(range(6), parts, 3)
    item, first = next(with_parts)
    until(lambda: started == {0, 1, 2})
    gate.set()
    assert (item, list(first)) == (0, [f"0.{number}" for number in range(9)])
    assert [(item, len(list(rest))) for item, rest in with_parts] == [(number, 9) for number in range(1, 6)]


def test_a_fault_comes_where_the_item_is_and_the_threads_end() -> None:
    before = set(threading.enumerate())

    def parts(item: int) -> Iterator[int]:
        yield from range(100)
        raise ValueError(item)

    found = prefetched(range(4), parts, 2)
    _, first = next(found)
    taken: list[int] = []
    with pytest.raises(ValueError, match="0"):
        taken.extend(first)
    assert taken == list(range(100))
    found.close()
    until(lambda: set(threading.enumerate()) <= before)

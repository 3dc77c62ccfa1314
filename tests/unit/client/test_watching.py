"""A watch goes on behind its last answer, whatever breaks its streams, and says nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import grpc
import pytest
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1 import event_watch_pb2 as pb
from extaudit_client import Client, Connection, ExtauditError, Query, Retries
from extaudit_client.watching import WatchProgress, watch

from tests.unit.client.fake_service import FakeService, Refused
from tests.unit.client.silence import SILENCE, SilenceClock

Answers = Callable[[pb.WatchEventsRequest], Iterator[pb.WatchEventsResponse]]

STOPPING = Refused(grpc.StatusCode.UNAVAILABLE, "STOPPING", retry_after=0.5)
HOLE = query_pb.MissingPart(reason=query_pb.MISSING_REASON_JOURNAL_HOLE, name="l", first_sequence=2, last_sequence=3)


def answer(done: int, *uids: str, **members: Any) -> pb.WatchEventsResponse:
    rows = [event_pb2.EventRow(uid=uid, json=b"{}") for uid in uids]
    return pb.WatchEventsResponse(events=rows, place=pb.LogPlace(logs={"l": done}), **members)


def events_after(request: pb.WatchEventsRequest, *, count: int = 2) -> Iterator[pb.WatchEventsResponse]:
    """So many events behind the place, and then the service stops."""
    done = request.after.logs.get("l", 0)
    for number in range(done + 1, done + count + 1):
        yield answer(number, f"e{number}", missing=[HOLE])
    raise STOPPING


def test_it_goes_on_behind_the_last_answer_and_names_what_is_missing_once(
    service: FakeService, client: Client, waits: list[float]
) -> None:
    service.watch = events_after
    told: list[tuple[str, float]] = []
    found = list(islice(client.watch(after={}, told=lambda error, delay: told.append((str(error), delay))), 7))
    assert [row.uid for each in found for row in each.rows] == [f"e{number}" for number in range(1, 8)]
    assert [dict(each.place) for each in found] == [{"l": number} for number in range(1, 8)]
    assert [part.reason for each in found for part in each.missing] == ["journal_hole"]
    assert [dict(request.after.logs) for request in service.watches] == [{}, {"l": 2}, {"l": 4}, {"l": 6}]
    assert waits == [0.5] * 3
    assert told == [("refused", 0.5)] * 3


STARTS: dict[str, tuple[dict[str, Any], Mapping[str, int] | int | None]] = {
    "now": ({}, None),
    "after nothing": ({"after": {}}, {}),
    "after a place": ({"after": {"l": 7}, "received_from": datetime.now(UTC)}, {"l": 7}),
    "from a time": ({"received_from": datetime(2026, 1, 1, tzinfo=UTC)}, 1_767_225_600),
}


@pytest.mark.parametrize("start", STARTS)
def test_it_asks_for_what_is_wanted_from_where_it_is_wanted(service: FakeService, client: Client, start: str) -> None:
    given, expected = STARTS[start]
    service.watch = lambda _: iter([answer(1)])
    next(client.watch(Query(types=("a",), storage="all"), **given))
    [request] = service.watches
    found = {"after": dict(request.after.logs), "received_from": request.received_from.seconds}
    asked = request.WhichOneof("start")
    assert (found[asked] if asked else None) == expected
    assert (list(request.filter.types), request.storage) == (["a"], "all")


def test_a_stream_that_breaks_before_its_first_answer_is_asked_for_from_the_same_start(
    service: FakeService, client: Client
) -> None:
    failing = iter([STOPPING])

    def answers(_: pb.WatchEventsRequest) -> Iterator[pb.WatchEventsResponse]:
        for refused in failing:
            raise refused
        yield answer(1)

    service.watch = answers
    next(client.watch(received_from=datetime(2026, 1, 1, tzinfo=UTC)))
    assert len(service.watches) == 2
    assert service.watches[0] == service.watches[1]


def test_once_it_has_answered_there_is_no_last_try(service: FakeService, client: Client, waits: list[float]) -> None:
    failures = iter([True] * 20)

    def answers(request: pb.WatchEventsRequest) -> Iterator[pb.WatchEventsResponse]:
        if request.after.logs and next(failures, False):
            raise Refused(grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE", retry_after=1.0)
        yield answer(request.after.logs.get("l", 0) + 1)

    service.watch = answers
    assert [dict(each.place) for each in islice(client.watch(after={}), 3)] == [{"l": 1}, {"l": 2}, {"l": 3}]
    assert len(waits) == 22  # two streams ended without an error


@pytest.mark.parametrize(
    "refused",
    [
        Refused(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED"),
        Refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    ],
)
def test_what_no_waiting_mends_ends_it(service: FakeService, client: Client, refused: Refused) -> None:
    def answers(_: pb.WatchEventsRequest) -> Iterator[pb.WatchEventsResponse]:
        yield answer(1)
        raise refused

    service.watch = answers
    watching = client.watch()
    next(watching)
    with pytest.raises(ExtauditError, match="refused"):
        next(watching)
    assert len(service.watches) == 1


def test_a_client_that_does_not_retry_watches_one_stream(service: FakeService, connection: Connection) -> None:
    service.watch = events_after
    with Client(connection, retries=Retries(attempts=0)) as client, pytest.raises(ExtauditError, match="refused"):
        list(client.watch(after={}))
    assert len(service.watches) == 1


def test_a_stream_that_falls_silent_is_taken_for_dead(
    service: FakeService, client: Client, silence_clock: SilenceClock
) -> None:
    told: list[str] = []
    answered = threading.Event()

    def answers(request: pb.WatchEventsRequest) -> Iterator[pb.WatchEventsResponse]:
        yield answer(request.after.logs.get("l", 0) + 1)
        answered.wait(60)
        silence_clock.go_on_until(lambda: told)

    service.watch = answers
    progress = WatchProgress(Query(), {}, None, client._caller.retries)
    watching = watch(client._caller, progress, lambda error, _: told.append(str(error)), SILENCE)
    assert dict(next(watching).place) == {"l": 1}
    assert told == []
    answered.set()
    assert dict(next(watching).place) == {"l": 2}
    assert told == ["the service said nothing for 1 s"]
    watching.close()

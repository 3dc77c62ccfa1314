"""What is tried again, how often, and after how long."""

from __future__ import annotations

import random
import time
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import status_service_pb2
from extaudit_client import (
    Client,
    Connection,
    ConnectionFailed,
    ExtauditError,
    Query,
    Retries,
    Unavailable,
    event_calls,
    integration_calls,
    recording_calls,
)
from extaudit_client.calling import Attempts, Call
from extaudit_client.retries import MAX_DELAY

from tests.unit.client.fake_service import FakeService, Refused

UNAVAILABLE, FULL = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
EVENT = b'{"event":"e","uid":"u","time":"2026-01-01T00:00:00Z"}'


class Failing:
    """Fails so many times, then answers."""

    def __init__(self, failures: int, refused: Refused) -> None:
        self.failures = failures
        self.calls = 0
        self._refused = refused

    def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise self._refused


def test_a_read_is_tried_again_until_it_goes_well(service: FakeService, client: Client, waits: list[float]) -> None:
    failing = Failing(2, Refused(UNAVAILABLE, "STOPPING", retry_after=0.5))

    def search(_: pb.SearchEventsRequest) -> pb.SearchEventsResponse:
        failing()
        return pb.SearchEventsResponse(query_id="q")

    service.search = search
    assert client.search(Query()).query_id == "q"
    assert (failing.calls, waits) == (3, [0.5, 0.5])


def test_an_event_is_tried_again_with_the_same_bytes_though_it_had_no_uid(service: FakeService, client: Client) -> None:
    seen: list[bytes] = []
    failing = Failing(1, Refused(UNAVAILABLE, "STOPPING", retry_after=0.1))

    def emit(request: pb.EmitEventRequest) -> pb.EmitEventResponse:
        seen.append(request.event.json)
        failing()
        return pb.EmitEventResponse(uid="u")

    service.emit = emit
    client.emit(b'{"event":"e"}')
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert b'{"event":"e","uid":"' in seen[0]


def test_events_of_a_stream_get_their_uid_before_they_are_sent_and_it_is_told(
    service: FakeService, client: Client
) -> None:
    (answer,) = client.emit_stream([b'{"event":"e"}', EVENT, b"not JSON"])
    assert list(answer.assigned_uids) == [0]
    assert len(answer.assigned_uids[0]) == 36


@pytest.mark.parametrize("repeatable", [False, True])
def test_a_call_that_is_not_safe_to_repeat_has_one_try(repeatable: bool) -> None:
    error = Unavailable("UNAVAILABLE", "STOPPING", "stopping", retry_after=0.1)
    attempts = Attempts(Retries(), 60, repeatable=repeatable, answered=True)
    if repeatable:
        assert attempts.delay_after(error) >= 0.1
    else:
        with pytest.raises(Unavailable):
            attempts.delay_after(error)


@pytest.mark.parametrize(
    ("call", "repeatable"),
    [
        (event_calls.create_lock("user", "alice", "why", None, force=False), False),
        (event_calls.delete_lock("id"), False),
        (integration_calls.create("ours", "arn"), False),
        (integration_calls.get("ours"), True),
        (integration_calls.page(""), True),
        (integration_calls.update("ours", "arn", "r", force=False, reason=""), False),
        (integration_calls.delete("ours", "r"), False),
        (event_calls.emit(EVENT), True),
        (event_calls.emit(b'{"event":"e"}'), True),
        (event_calls.emit(b"what has no uid"), False),
        (event_calls.status(), True),
        (recording_calls.complete("u", None, "", "", partial=False), True),
    ],
)
def test_which_calls_are_safe_to_repeat(call: Call[Any], repeatable: bool) -> None:
    assert call.repeatable is repeatable


def test_attempts_are_bounded(service: FakeService, client: Client, waits: list[float]) -> None:
    failing = Failing(99, Refused(UNAVAILABLE, "STOPPING", retry_after=0.5))

    def status() -> status_service_pb2.GetStatusResponse:
        failing()
        raise AssertionError

    service.status = status
    with pytest.raises(ExtauditError):
        client.status()
    assert (failing.calls, len(waits)) == (3, 2)


def test_what_would_take_longer_than_the_call_has_is_not_waited_for(
    service: FakeService, connection: Connection
) -> None:
    waits: list[float] = []
    service.status = Failing(99, Refused(FULL, "JOURNAL_FULL", retry_after=120.0))  # type: ignore[assignment]
    with Client(connection, timeout=60, retries=Retries(wait=waits.append)) as client, pytest.raises(ExtauditError):
        client.status()
    assert waits == []


@pytest.mark.parametrize("retry_after", [None, 0.01])
def test_a_bound_that_no_waiting_lifts_is_told_at_once(
    service: FakeService, client: Client, waits: list[float], retry_after: float | None
) -> None:
    client.status()
    failing = Failing(1, Refused(FULL, "TOO_MANY_LOCKS", retry_after=retry_after))

    def status() -> status_service_pb2.GetStatusResponse:
        failing()
        return status_service_pb2.GetStatusResponse()

    service.status = status
    if retry_after is None:
        with pytest.raises(ExtauditError):
            client.status()
    else:
        client.status()
    assert len(waits) == (0 if retry_after is None else 1)


@pytest.mark.parametrize(("from_start", "tries"), [(False, 0), (True, 3)])
def test_an_address_that_never_answered_is_tried_again_only_where_that_is_wanted(
    connection: Connection, from_start: bool, tries: int
) -> None:
    waits: list[float] = []
    nowhere = Connection("127.0.0.1:1", connection.ca, connection.cert, connection.key)
    retries = Retries(attempts=3, wait=waits.append, from_start=from_start)
    with Client(nowhere, timeout=60, retries=retries) as client, pytest.raises(ExtauditError) as caught:
        client.status()
    assert len(waits) == tries
    assert isinstance(caught.value, ConnectionFailed)


def test_waits_are_drawn_below_a_bound_that_doubles_and_never_below_what_was_asked_for() -> None:
    dice = random.Random(7)
    retries = Retries(first_delay=0.2, draw=dice.uniform)
    for failures in range(1, 2000, 7):
        bound = min(0.2 * 2 ** min(failures - 1, 20), MAX_DELAY)
        drawn = [retries.delay(failures, None) for _ in range(20)]
        assert all(0 <= delay <= bound for delay in drawn)
        assert max(drawn) > min(drawn)
        assert all(3.0 <= retries.delay(failures, 3.0) <= 3.75 for _ in range(20))


def test_by_default_a_restart_that_takes_a_minute_is_outlasted() -> None:
    retries = Retries(draw=lambda low, high: (low + high) / 2)
    waits = [retries.delay(failures, None) for failures in range(1, retries.attempts + 1)]
    assert 75 < sum(waits) < 120


def test_all_tries_together_have_the_time_of_one_call(service: FakeService, connection: Connection) -> None:
    service.status = Failing(10_000, Refused(UNAVAILABLE, "STOPPING", retry_after=0.01))  # type: ignore[assignment]
    began = time.monotonic()
    retries = Retries(attempts=10_000, first_delay=0.01)
    with Client(connection, timeout=0.5, retries=retries) as client, pytest.raises(ExtauditError):
        client.status()
    assert time.monotonic() - began < 40, "ten thousand waits take longer"

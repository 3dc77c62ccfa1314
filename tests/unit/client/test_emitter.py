"""The emitter against a service whose answers a test decides: what it retries, sets aside, counts and tells."""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit_client import (
    Connection,
    Emitter,
    InvalidRequest,
    RefusedEvent,
    Retries,
    SpoolClosed,
    SpoolFull,
    SpoolInUse,
    Trouble,
    emitter_thread,
)
from extaudit_client.emitter_state import EmitterState
from extaudit_client.emitting import STREAM_EVENT_BYTES
from extaudit_client.sending import Sending

from tests.polling import until
from tests.unit.client.fake_service import FakeService, Refused, acknowledge, acknowledge_all

FAST = Retries(first_delay=0.01)
Stream = Iterator[pb.EmitEventsRequest]
Answers = Iterator[pb.EmitEventsResponse]


class Stored:
    """Keeps what comes, as the service would: by uid, the first one counts."""

    def __init__(self) -> None:
        self.events: dict[str, bytes] = {}
        self.messages = 0
        self.before: Callable[[pb.EmitEventsRequest], None] = lambda request: None
        self.refuses: Callable[[bytes], bool] = lambda event: False

    def __call__(self, requests: Stream) -> Answers:
        for request in requests:
            self.messages += 1
            self.before(request)
            refused = [
                pb.RefusedEvent(index=index, violations=[pb.EventViolation(field="event", description="no")])
                for index, event in enumerate(request.events)
                if self.refuses(event.json)
            ]
            known = [
                pb.RepeatedEvent(index=index, storage="s", log_id="l", sequence=1)
                for index, event in enumerate(request.events)
                if not self.refuses(event.json) and self.keep(event.json)
            ]
            yield acknowledge(request, refused=refused, repeated=known)

    def keep(self, event: bytes) -> bool:
        uid = json.loads(event)["uid"]
        known = uid in self.events
        assert not known or self.events[uid] == event, "a retry has the same bytes"
        self.events[uid] = event
        return known


@pytest.fixture
def stored(service: FakeService) -> Stored:
    service.emit_stream = stored = Stored()
    return stored


@pytest.fixture
def emitter(connection: Connection, stored: Stored, tmp_path: Path) -> Iterator[Emitter]:
    with Emitter(connection, tmp_path / "spool", retries=FAST) as opened:
        yield opened


def test_events_of_both_kinds_arrive_in_order_and_bytes_stay_as_they_are(emitter: Emitter, stored: Stored) -> None:
    given = b'{"event" : "a",\t"uid":"u-1", "time":"2026-01-01T00:00:00Z"} '
    uids = [emitter.emit(given), emitter.emit({"event": "b", "é": [1, None]}), *emitter.emit_many([{"event": "c"}] * 3)]
    emitter.flush(10)
    assert list(stored.events) == uids
    assert stored.events["u-1"] == given
    assert json.loads(stored.events[uids[1]])["é"] == [1, None]
    assert (emitter.stats.sent, emitter.stats.queued, emitter.stats.refused) == (5, 0, 0)


def test_many_events_share_messages(emitter: Emitter, stored: Stored) -> None:
    emitter.emit_many({"event": "e", "n": n} for n in range(2_000))
    emitter.flush(10)
    assert len(stored.events) == 2_000
    assert stored.messages <= 10


@pytest.mark.parametrize("event", [b"", b"[]", b'{"event":"e"', {"a": 1}, {"event": {1, 2}}, {"event": float("nan")}])
def test_what_is_no_event_is_refused_at_once_and_not_spooled(emitter: Emitter, event: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        emitter.emit(event)
    assert caught.value.violations
    assert emitter.stats.queued == 0


def test_refused_events_go_aside_with_reasons_and_hold_up_nothing(
    connection: Connection, stored: Stored, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[RefusedEvent] = []
    stored.refuses = lambda event: b"wrong" in event
    with Emitter(connection, tmp_path, retries=FAST, on_refused=told.append) as emitter:
        uids = [emitter.emit({"event": "wrong secret" if n % 3 == 0 else "good", "n": n}) for n in range(10)]
        emitter.flush(10)
        assert (emitter.stats.sent, emitter.stats.refused) == (6, 4)
    expected = [uid for n, uid in enumerate(uids) if n % 3 == 0]
    lines = [json.loads(line) for line in (tmp_path / "refused.jsonl").read_text().splitlines()]
    assert [line["uid"] for line in lines] == [each.uid for each in told] == expected
    assert lines[0]["violations"] == [{"field": "event", "description": "no"}]
    assert json.loads(lines[0]["event"])["uid"] == uids[0]
    assert expected[0] in caplog.text
    assert "secret" not in caplog.text, "events are not logged"


def test_a_callback_that_fails_ends_nothing(connection: Connection, stored: Stored, tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise RuntimeError

    stored.refuses = lambda event: b"wrong" in event
    with Emitter(connection, tmp_path, retries=FAST, on_refused=fail) as emitter:
        emitter.emit({"event": "wrong"})
        emitter.emit({"event": "good"})
        emitter.flush(10)
        assert emitter.stats.sent == 1


@pytest.mark.parametrize(
    "refused",
    [
        Refused(grpc.StatusCode.UNAVAILABLE, "STOPPING"),
        Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "JOURNAL_FULL", retry_after=0.01),
        Refused(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED"),
        Refused(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        Refused(grpc.StatusCode.INTERNAL, "INTERNAL"),
        Refused(grpc.StatusCode.UNKNOWN),
    ],
    ids=lambda refused: str(refused.status.code),
)
def test_trouble_is_told_and_tried_again_and_the_events_stay(
    connection: Connection, stored: Stored, tmp_path: Path, refused: Refused, caplog: pytest.LogCaptureFixture
) -> None:
    troubles: list[Trouble] = []
    failures = iter([True] * 4)

    def fail(request: pb.EmitEventsRequest) -> None:
        if next(failures, False):
            raise refused

    stored.before = fail
    with Emitter(connection, tmp_path, retries=FAST, on_trouble=troubles.append) as emitter:
        uid = emitter.emit({"event": "e"})
        until(lambda: emitter.stats.trouble is not None)
        emitter.flush(20)
        assert list(stored.events) == [uid]
        assert emitter.stats.trouble is None
    assert [trouble.failures for trouble in troubles] == [1, 2, 3, 4]
    assert "events wait in the spool" in caplog.text
    assert not (tmp_path / "refused.jsonl").exists()


def test_a_lack_of_rights_is_asked_about_less_often(
    connection: Connection, service: FakeService, tmp_path: Path
) -> None:
    troubles: list[Trouble] = []

    def refuse(requests: Stream) -> Answers:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
        yield

    service.emit_stream = refuse
    retries = Retries(first_delay=0.05, draw=lambda low, high: low)
    with Emitter(connection, tmp_path, retries=retries, on_trouble=troubles.append) as emitter:
        emitter.emit({"event": "e"})
        until(lambda: len(troubles) == 4)
        assert [round(trouble.delay, 2) for trouble in troubles[:4]] == [0.1, 0.2, 0.4, 0.8]
        assert emitter.close(timeout=0) == 1, "the event stays"


def test_one_event_that_breaks_the_stream_is_found_and_set_aside(
    connection: Connection, service: FakeService, stored: Stored, tmp_path: Path
) -> None:
    def break_off(request: pb.EmitEventsRequest) -> None:
        if any(b"poison" in event.json for event in request.events):
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")

    def alone(request: pb.EmitEventRequest) -> pb.EmitEventResponse:
        if b"poison" in request.event.json:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", violations=(("event", "poison"),))
        return pb.EmitEventResponse(uid="u", repeated=stored.keep(request.event.json))

    stored.before, service.emit = break_off, alone
    with Emitter(connection, tmp_path, retries=FAST) as emitter:
        uids = emitter.emit_many({"event": "poison" if n == 3 else "e", "n": n} for n in range(8))
        emitter.flush(20)
        assert list(stored.events) == [uid for n, uid in enumerate(uids) if n != 3]
        assert (emitter.stats.sent, emitter.stats.refused) == (7, 1)
    (line,) = (tmp_path / "refused.jsonl").read_text().splitlines()
    assert json.loads(line)["uid"] == uids[3]


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
def test_events_over_which_the_service_fails_are_set_aside_once_it_takes_others(
    connection: Connection,
    service: FakeService,
    stored: Stored,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    code: grpc.StatusCode,
) -> None:
    tries: list[bytes] = []
    fault = Refused(code, "INTERNAL", "request 7 failed")

    def break_off(request: pb.EmitEventsRequest) -> None:
        if any(b"poison" in event.json for event in request.events):
            raise fault

    def alone(request: pb.EmitEventRequest) -> pb.EmitEventResponse:
        if b"poison" in request.event.json:
            tries.append(request.event.json)
            raise fault
        if b"wrong" in request.event.json:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", violations=(("event", "no"),))
        return pb.EmitEventResponse(uid="u", repeated=stored.keep(request.event.json))

    stored.before, service.emit, stored.refuses = break_off, alone, lambda event: b"wrong" in event
    kinds = ["e", "poison", "poison", "wrong", "poison", "e", "e"]
    with Emitter(connection, tmp_path, retries=FAST) as emitter:
        uids = emitter.emit_many({"event": kind, "n": n} for n, kind in enumerate(kinds))
        emitter.flush(20)
        assert list(stored.events) == [uid for uid, kind in zip(uids, kinds, strict=True) if kind == "e"]
        assert (emitter.stats.refused, emitter.stats.queued) == (4, 0)
    lines = [json.loads(line) for line in (tmp_path / "refused.jsonl").read_text().splitlines()]
    assert [line["uid"] for line in lines] == uids[1:5], "each once, in order, and none is passed over"
    assert "5 times" in lines[0]["violations"][0]["description"]
    assert "request 7 failed" in lines[0]["violations"][0]["description"]
    assert len(tries) <= 40, "the tries are bounded"
    assert uids[1] in caplog.text


def test_a_service_that_fails_over_all_events_loses_none_to_the_refused(
    connection: Connection, service: FakeService, stored: Stored, tmp_path: Path
) -> None:
    broken, calls = threading.Event(), 0
    broken.set()

    def fail(request: pb.EmitEventsRequest) -> None:
        if broken.is_set():
            raise Refused(grpc.StatusCode.INTERNAL, "INTERNAL")

    def alone(request: pb.EmitEventRequest) -> pb.EmitEventResponse:
        nonlocal calls
        calls += 1
        if broken.is_set():
            raise Refused(grpc.StatusCode.INTERNAL, "INTERNAL")
        return pb.EmitEventResponse(uid="u", repeated=stored.keep(request.event.json))

    stored.before, service.emit = fail, alone
    retries = Retries(first_delay=0.001, draw=lambda low, high: low)
    with Emitter(connection, tmp_path, retries=retries) as emitter:
        uids = emitter.emit_many({"event": "e", "n": n} for n in range(3))
        until(lambda: calls > 3 * 2 * 5)
        broken.clear()
        emitter.flush(20)
        assert sorted(stored.events) == sorted(uids)
    assert not (tmp_path / "refused.jsonl").exists()


def test_an_event_too_large_for_a_stream_goes_by_a_call_of_its_own_in_its_turn(
    connection: Connection, service: FakeService, stored: Stored, tmp_path: Path
) -> None:
    def alone(request: pb.EmitEventRequest) -> pb.EmitEventResponse:
        raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED)  # what gRPC says of a message beyond its bound

    service.emit = alone
    with Emitter(connection, tmp_path, retries=FAST) as emitter:
        emitter.emit({"event": "before"})
        emitter.emit({"event": "large", "padding": "x" * STREAM_EVENT_BYTES})
        emitter.emit({"event": "after"})
        emitter.flush(20)
        assert (emitter.stats.sent, emitter.stats.refused) == (2, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sequences": []},
        {"sequences": [pb.SequenceRange(first=1, last=9)]},
        {"refused": [pb.RefusedEvent(index=5)], "sequences": [pb.SequenceRange(first=1, last=2)]},
        {"refused": [pb.RefusedEvent(index=0), pb.RefusedEvent(index=0)]},
    ],
    ids=["tells of too few", "of too many", "of one that wasn't sent", "of one twice"],
)
def test_an_acknowledgement_that_does_not_match_settles_nothing(
    connection: Connection, service: FakeService, stored: Stored, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    troubles: list[Trouble] = []
    lies = iter([wrong] * 3)

    def answer(requests: Stream) -> Answers:
        for request in requests:
            if (lie := next(lies, None)) is not None:
                yield acknowledge(request, **lie)
            else:
                yield from stored(iter([request]))

    service.emit_stream = answer
    with Emitter(connection, tmp_path, retries=FAST, on_trouble=troubles.append) as emitter:
        uids = emitter.emit_many([{"event": "a"}, {"event": "b"}, {"event": "c"}])
        emitter.flush(20)
        assert list(stored.events) == uids
    assert len(troubles) == 3
    assert "doesn't match" in str(troubles[0].error)


def test_a_stream_that_ends_without_an_answer_settles_nothing(
    connection: Connection, service: FakeService, stored: Stored, tmp_path: Path
) -> None:
    ends = iter([True] * 3)
    service.emit_stream = lambda requests: iter(()) if next(ends, False) else stored(requests)
    with Emitter(connection, tmp_path, retries=FAST) as emitter:
        uid = emitter.emit({"event": "e"})
        emitter.flush(20)
        assert list(stored.events) == [uid]


def test_what_is_left_is_sent_first_and_in_order_by_the_next_emitter(
    connection: Connection, stored: Stored, tmp_path: Path
) -> None:
    nowhere = Connection("127.0.0.1:1", connection.ca, connection.cert, connection.key)
    before = Emitter(nowhere, tmp_path, retries=FAST)
    uids = [before.emit({"event": "e", "n": n}) for n in range(20)]
    with pytest.raises(TimeoutError, match="20 events"):
        before.flush(0.05)
    assert before.stats.oldest_age > 0
    assert before.close(timeout=0) == 20
    with Emitter(connection, tmp_path, retries=FAST) as after:
        uids.append(after.emit({"event": "last"}))
        after.flush(10)
    assert list(stored.events) == uids


def test_a_service_that_never_answers_delays_no_close(
    connection: Connection, service: FakeService, tmp_path: Path
) -> None:
    release = threading.Event()

    def hang(requests: Stream) -> Answers:
        release.wait(20)
        yield from acknowledge_all(requests)

    service.emit_stream = hang
    emitter = Emitter(connection, tmp_path)
    emitter.emit({"event": "e"})
    assert emitter.close(timeout=0.05) == 1
    release.set()


def test_a_service_that_answers_no_more_is_trouble_and_its_events_are_sent_again(
    connection: Connection, service: FakeService, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine answers pings, so that only the silence tells."""
    monkeypatch.setattr(emitter_thread, "Sending", functools.partial(Sending, silence=0.4))
    release, hangs, troubles = threading.Event(), iter([True]), list[Trouble]()

    def answer(requests: Stream) -> Answers:
        if next(hangs, False):
            yield from stored(iter([next(requests)]))
            next(requests)
            release.wait(20)
            return
        yield from stored(requests)

    service.emit_stream = answer
    with Emitter(connection, tmp_path, retries=FAST, on_trouble=troubles.append) as emitter:
        uids = [emitter.emit({"event": "first"})]
        emitter.flush(10)
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 1.0)  # longer than the silence
        assert not troubles, "nothing is due"
        uids.append(emitter.emit({"event": "second"}))
        emitter.flush(10)
        assert list(stored.events) == uids
    assert "said nothing" in str(troubles[0].error)
    release.set()


def test_a_full_spool_holds_back_or_refuses_as_chosen(
    connection: Connection, service: FakeService, tmp_path: Path
) -> None:
    release = threading.Event()
    stored = Stored()

    def hold(requests: Stream) -> Answers:
        release.wait(20)
        yield from stored(requests)

    service.emit_stream = hold
    bound = 256 * 1024
    with Emitter(connection, tmp_path, max_bytes=bound, full_timeout=0, durability="os", retries=FAST) as emitter:
        uids: list[str] = []
        with pytest.raises(SpoolFull):
            while True:
                uids.append(emitter.emit({"event": "e", "padding": "x" * 5_000}))
        assert emitter.stats.queued == len(uids) > 20
        assert sum(path.stat().st_size for path in tmp_path.glob("*.events")) <= bound
        release.set()
        emitter.flush(20)
        assert list(stored.events) == uids


def test_a_closed_emitter_takes_nothing_and_its_folder_is_free(
    connection: Connection, stored: Stored, tmp_path: Path
) -> None:
    emitter = Emitter(connection, tmp_path)
    with pytest.raises(SpoolInUse):
        Emitter(connection, tmp_path)
    emitter.close()
    emitter.close()
    with pytest.raises(SpoolClosed):
        emitter.emit({"event": "e"})
    Emitter(connection, tmp_path).close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_no_emitter(emitter: Emitter) -> None:
    child = os.fork()
    if child == 0:
        try:
            emitter._closing.acquire()  # as another thread may have had it at the fork
            emitter.close()
            for use in (lambda: emitter.emit({"event": "e"}), emitter.flush):
                try:
                    use()
                except SpoolClosed:
                    continue
                os._exit(2)
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize("size", [0, 1001])
def test_a_batch_size_that_no_message_can_have_is_refused(connection: Connection, tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        Emitter(connection, tmp_path, batch_size=size)


def test_a_fault_of_the_emitter_is_told_without_the_event(
    connection: Connection, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    faults = iter([True])
    acknowledged = EmitterState.acknowledged

    def fail(*given: Any) -> None:
        if next(faults, False):
            b"secret \xff".decode()
        acknowledged(*given)

    monkeypatch.setattr(EmitterState, "acknowledged", fail)
    with Emitter(connection, tmp_path, retries=FAST) as emitter:
        emitter.emit({"event": "e"})
        emitter.flush(10)
    assert "the emitter failed: UnicodeDecodeError in fail" in caplog.text
    assert "secret" not in caplog.text


def test_a_missing_certificate_is_trouble_and_no_loss(connection: Connection, stored: Stored, tmp_path: Path) -> None:
    cert = tmp_path / "late.crt"
    late = Connection(connection.address, connection.ca, cert, connection.key)
    with Emitter(late, tmp_path / "spool", retries=FAST) as emitter:
        uid = emitter.emit({"event": "e"})
        until(lambda: emitter.stats.trouble is not None)
        assert connection.cert is not None
        cert.write_bytes(connection.cert.read_bytes())
        emitter.flush(20)
    assert list(stored.events) == [uid]

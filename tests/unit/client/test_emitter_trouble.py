"""What an emitter does when the service refuses, fails or says nothing: nothing is lost, and nothing held up."""

from __future__ import annotations

import functools
import json
import os
import threading
from pathlib import Path
from typing import Any

import extaudit_client.emitter
import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit_client import (
    Connection,
    Emitter,
    Retries,
    Trouble,
    emitter_thread,
    sending,
)
from extaudit_client.pace import Pace
from extaudit_client.patience import Patience
from extaudit_client.spool.reading import Batch, Reader

from tests.polling import until
from tests.unit.client.fake_service import FakeService, Refused, acknowledge, acknowledge_all
from tests.unit.client.silence import SILENCE, SilenceClock
from tests.unit.client.stored_events import FAST, Answers, Stored, Stream


def kept(stored: Stored, request: pb.EmitEventRequest) -> pb.EmitEventResponse:
    """The answer to one event that comes alone."""
    return pb.EmitEventResponse(uid="u", repeated=stored.keep(request.event.json))


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
    failures, seen = iter([True] * 4), threading.Event()

    def fail(request: pb.EmitEventsRequest) -> None:
        if len(troubles) == 3:
            seen.wait(60)
        if next(failures, False):
            raise refused

    stored.before = fail
    with Emitter(connection, tmp_path, retries=FAST, on_trouble=troubles.append) as emitter:
        uid = emitter.emit({"event": "e"})
        until(lambda: emitter.stats.trouble is not None)
        seen.set()
        emitter.flush(60)
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
        until(lambda: len(troubles) >= 4)
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
        return kept(stored, request)

    stored.before, service.emit = break_off, alone
    with Emitter(connection, tmp_path, retries=FAST) as emitter:
        uids = emitter.emit_many({"event": "poison" if n == 3 else "e", "n": n} for n in range(8))
        emitter.flush(60)
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
        return kept(stored, request)

    stored.before, service.emit, stored.refuses = break_off, alone, lambda event: b"wrong" in event
    kinds = ["e", "poison", "poison", "wrong", "poison", "e", "e"]
    with Emitter(connection, tmp_path, retries=FAST) as emitter:
        uids = emitter.emit_many({"event": kind, "n": n} for n, kind in enumerate(kinds))
        emitter.flush(60)
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
        return kept(stored, request)

    stored.before, service.emit = fail, alone
    retries = Retries(first_delay=0.001, draw=lambda low, high: low)
    with Emitter(connection, tmp_path, retries=retries) as emitter:
        uids = emitter.emit_many({"event": "e", "n": n} for n in range(3))
        until(lambda: calls > 3 * 2 * 5)
        broken.clear()
        emitter.flush(60)
        assert sorted(stored.events) == sorted(uids)
    assert not (tmp_path / "refused.jsonl").exists()


def test_events_wait_for_a_gateway_that_takes_none_for_now(
    connection: Connection, service: FakeService, stored: Stored, tmp_path: Path
) -> None:
    """It answers as gRPC does for a message that is too large, which these are not."""
    busy, troubles = threading.Event(), list[Trouble]()
    busy.set()

    def limit(request: object) -> None:
        if busy.is_set():
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED)

    def alone(request: pb.EmitEventRequest) -> pb.EmitEventResponse:
        limit(request)
        return kept(stored, request)

    stored.before, service.emit = limit, alone
    with Emitter(connection, tmp_path, retries=FAST, on_trouble=troubles.append) as emitter:
        uids = emitter.emit_many({"event": "e", "padding": "x" * size} for size in (0, 100_000, 0))
        until(lambda: len(troubles) > 2)
        assert emitter.stats.queued == 3
        busy.clear()
        emitter.flush(60)
        assert sorted(stored.events) == sorted(uids)
    assert not (tmp_path / "refused.jsonl").exists()


def test_an_event_too_large_for_a_gateway_is_set_aside_once_others_are_taken(
    connection: Connection, service: FakeService, stored: Stored, tmp_path: Path
) -> None:
    def bound(events: list[bytes]) -> None:
        if sum(map(len, events)) > 100_000:
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, message="received message larger than max")

    def alone(request: pb.EmitEventRequest) -> pb.EmitEventResponse:
        bound([request.event.json])
        return kept(stored, request)

    stored.before, service.emit = lambda request: bound([event.json for event in request.events]), alone
    with Emitter(connection, tmp_path, retries=FAST) as emitter:
        uids = emitter.emit_many({"event": "e", "padding": "x" * size} for size in (0, 100_000, 0))
        emitter.flush(60)
        assert list(stored.events) == [uids[0], uids[2]]
    (line,) = (tmp_path / "refused.jsonl").read_text().splitlines()
    assert json.loads(line)["uid"] == uids[1]
    assert "larger than max" in json.loads(line)["violations"][0]["description"]


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
        emitter.flush(60)
        assert list(stored.events) == uids
    assert len(troubles) == 3
    assert "doesn't match" in str(troubles[0].error)


def test_events_that_are_lost_settle_none_before_them_that_are_not_acknowledged(
    connection: Connection, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is cut short behind what the first message has, and the stream breaks before that is acknowledged."""
    reads: list[Batch] = []

    class Cut(Reader):
        def read(self, max_events: int, max_bytes: int) -> Batch:
            batch = super().read(max_events, max_bytes)
            if not reads:
                os.truncate(next(tmp_path.glob("*.events")), batch.entries[-1].end)
            reads.append(batch)
            return batch

    def break_off_once(request: pb.EmitEventsRequest) -> None:
        if stored.messages == 1:
            until(lambda: len(reads) > 1)
            raise Refused(grpc.StatusCode.UNAVAILABLE, "STOPPING")

    monkeypatch.setattr(emitter_thread, "Reader", Cut)
    stored.before = break_off_once
    with Emitter(connection, tmp_path, retries=FAST, batch_size=10) as emitter:
        uids = emitter.emit_many([{"event": "e"}] * 12)
        emitter.flush(60)
        assert reads[1].lost == [(11, 12)]
        assert list(stored.events) == uids[:10]
        assert (emitter.stats.sent, emitter.stats.lost) == (10, 2)


def test_a_stream_that_ends_without_an_answer_settles_nothing(
    connection: Connection, service: FakeService, stored: Stored, tmp_path: Path
) -> None:
    ends = iter([True] * 3)
    service.emit_stream = lambda requests: iter(()) if next(ends, False) else stored(requests)
    with Emitter(connection, tmp_path, retries=FAST) as emitter:
        uid = emitter.emit({"event": "e"})
        emitter.flush(60)
        assert list(stored.events) == [uid]


def test_a_service_that_never_answers_delays_no_close(
    connection: Connection, service: FakeService, tmp_path: Path
) -> None:
    release = threading.Event()

    def hang(requests: Stream) -> Answers:
        release.wait(60)
        yield from acknowledge_all(requests)

    service.emit_stream = hang
    emitter = Emitter(connection, tmp_path)
    emitter.emit({"event": "e"})
    assert emitter.close(timeout=0.05) == 1
    release.set()


def test_a_service_that_answers_no_more_is_trouble_and_its_events_are_sent_again(
    connection: Connection,
    service: FakeService,
    stored: Stored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    silence_clock: SilenceClock,
) -> None:
    """Its machine answers pings, so that only the silence tells."""
    waiting: list[Patience] = []

    def patient(call: Any, seconds: float) -> Patience:
        waiting.append(Patience(call, seconds))
        return waiting[-1]

    monkeypatch.setattr(sending, "Patience", patient)
    monkeypatch.setattr(extaudit_client.emitter, "Pace", functools.partial(Pace, seconds=SILENCE))
    silent, hangs, troubles = threading.Event(), iter([True]), list[Trouble]()

    def trouble(told: Trouble) -> None:
        troubles.append(told)
        silent.set()

    def answer(requests: Stream) -> Answers:
        if next(hangs, False):
            yield from stored(iter([next(requests)]))
            next(requests)
            silence_clock.go_on_until(silent.is_set)
            return
        yield from stored(requests)

    service.emit_stream = answer
    with Emitter(connection, tmp_path, retries=FAST, on_trouble=trouble) as emitter:
        uids = [emitter.emit({"event": "first"})]
        emitter.flush(60)
        until(lambda: waiting[0]._since is None)
        silence_clock.pass_silence()
        assert not silent.wait(0.1), "nothing is due"
        uids.append(emitter.emit({"event": "second"}))
        emitter.flush(60)
        assert list(stored.events) == uids
    assert "said nothing" in str(troubles[0].error)


def test_less_is_sent_at_once_where_no_answer_comes_in_time(
    connection: Connection,
    service: FakeService,
    stored: Stored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    silence_clock: SilenceClock,
) -> None:
    """As over a slow uplink: a message of more than two events doesn't arrive before the stream is broken off."""
    monkeypatch.setattr(extaudit_client.emitter, "Pace", functools.partial(Pace, seconds=SILENCE))
    sizes, troubles = list[int](), list[Trouble]()

    def have_grown(before: int) -> bool:
        return len(troubles) > before

    def answer(requests: Stream) -> Answers:
        for request in requests:
            sizes.append(len(request.events))
            if len(request.events) > 2:
                silence_clock.go_on_until(functools.partial(have_grown, len(troubles)))
                return
            silence_clock.go_on()
            yield from stored(iter([request]))

    service.emit_stream = answer
    with Emitter(connection, tmp_path, retries=FAST, batch_size=8, on_trouble=troubles.append) as emitter:
        uids = emitter.emit_many([{"event": "e"}] * 6)
        emitter.flush(60)
        assert list(stored.events) == uids
    assert sizes[:3] == [6, 4, 2]


def test_a_missing_certificate_is_trouble_and_no_loss(connection: Connection, stored: Stored, tmp_path: Path) -> None:
    cert = tmp_path / "late.crt"
    late = Connection(connection.address, connection.ca, cert, connection.key)
    with Emitter(late, tmp_path / "spool", retries=FAST) as emitter:
        uid = emitter.emit({"event": "e"})
        until(lambda: emitter.stats.trouble is not None)
        assert connection.cert is not None
        cert.write_bytes(connection.cert.read_bytes())
        emitter.flush(60)
    assert list(stored.events) == [uid]

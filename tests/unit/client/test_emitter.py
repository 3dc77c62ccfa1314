"""The emitter against a service whose answers a test decides: what it retries, sets aside, counts and tells."""

from __future__ import annotations

import json
import os
import threading
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
    SpoolClosed,
    SpoolFull,
    SpoolInUse,
    Trouble,
    emitter_thread,
)
from extaudit_client.emitter_state import EmitterState
from extaudit_client.emitting import STREAM_EVENT_BYTES
from extaudit_client.spool.spool import Spool

from tests.unit.client.fake_service import FakeService, Refused
from tests.unit.client.stored_events import FAST, Answers, Stored, Stream


def test_events_of_both_kinds_arrive_in_order_and_bytes_stay_as_they_are(emitter: Emitter, stored: Stored) -> None:
    given = b'{"event" : "a",\t"uid":"u-1", "time":"2026-01-01T00:00:00Z"} '
    uids = [emitter.emit(given), emitter.emit({"event": "b", "é": [1, None]}), *emitter.emit_many([{"event": "c"}] * 3)]
    emitter.flush(60)
    assert list(stored.events) == uids
    assert stored.events["u-1"] == given
    assert json.loads(stored.events[uids[1]])["é"] == [1, None]
    assert (emitter.stats.sent, emitter.stats.queued, emitter.stats.refused) == (5, 0, 0)


def test_many_events_share_messages(emitter: Emitter, stored: Stored) -> None:
    emitter.emit_many({"event": "e", "n": n} for n in range(2_000))
    emitter.flush(60)
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
        emitter.flush(60)
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
        emitter.flush(60)
        assert emitter.stats.sent == 1


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
        emitter.flush(60)
        assert (emitter.stats.sent, emitter.stats.refused) == (2, 1)


def test_what_was_flushed_is_in_the_counts(
    connection: Connection, stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = Spool.settle

    def slowly(spool: Spool, number: int) -> None:
        settle(spool, number)
        threading.Event().wait(0.1)

    monkeypatch.setattr(Spool, "settle", slowly)
    with Emitter(connection, tmp_path, retries=FAST) as emitter:
        emitter.emit({"event": "e"})
        emitter.flush(60)
        assert emitter.stats.sent == 1


def test_what_is_left_is_told_and_sent_first_and_in_order_by_the_next_emitter(
    connection: Connection, stored: Stored, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = Connection("127.0.0.1:1", connection.ca, connection.cert, connection.key)
    before = Emitter(nowhere, tmp_path, retries=FAST)
    uids = [before.emit({"event": "e", "n": n}) for n in range(20)]
    with pytest.raises(TimeoutError, match="20 events"):
        before.flush(0.05)
    assert before.stats.oldest_age > 0
    assert before.close(timeout=0) == 20
    (said,) = (record for record in caplog.records if "20 events stay in the spool" in record.message)
    assert said.thread == threading.get_ident(), "a handler of logging that closes it holds its own lock"
    caplog.clear()
    with Emitter(connection, tmp_path, retries=FAST) as after:
        uids.append(after.emit({"event": "last"}))
        after.flush(60)
    assert list(stored.events) == uids
    assert "stay in the spool" not in caplog.text


def test_a_full_spool_holds_back_or_refuses_as_chosen(
    connection: Connection, service: FakeService, tmp_path: Path
) -> None:
    release = threading.Event()
    stored = Stored()

    def hold(requests: Stream) -> Answers:
        release.wait(60)
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
        emitter.flush(60)
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


def test_who_flushes_a_closed_emitter_is_told_what_stays(connection: Connection, tmp_path: Path) -> None:
    nowhere = Connection("127.0.0.1:1", connection.ca, connection.cert, connection.key)
    emitter = Emitter(nowhere, tmp_path, retries=FAST)
    emitter.emit({"event": "e"})
    told: list[SpoolClosed] = []

    def flush() -> None:
        try:
            emitter.flush()
        except SpoolClosed as error:
            told.append(error)

    flushing = threading.Thread(target=flush, daemon=True)
    flushing.start()
    emitter.close(timeout=0)
    flushing.join(60)
    flush_again = threading.Thread(target=flush, daemon=True)
    flush_again.start()
    flush_again.join(60)
    assert ["1 events stay" in str(error) for error in told] == [True, True]


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
        emitter.flush(60)
    assert "the emitter failed: UnicodeDecodeError in fail" in caplog.text
    assert "secret" not in caplog.text


def test_who_closes_waits_for_none_who_is_told_of_a_failure_for_ever(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a handler of logging does that closes the emitter: it has the lock that the failure's record waits for."""
    monkeypatch.setattr(emitter_thread, "_TELLING_SECONDS", 0.0)
    told, release = threading.Event(), threading.Event()
    waited: list[bool] = []

    def trouble(_: Trouble) -> None:
        told.set()
        waited.append(release.wait(60))

    nowhere = Connection("127.0.0.1:1", connection.ca, connection.cert, connection.key)
    emitter = Emitter(nowhere, tmp_path, retries=FAST, on_trouble=trouble)
    emitter.emit({"event": "e"})
    assert told.wait(60)
    assert emitter.close(timeout=0) == 1
    assert not waited
    release.set()

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2, status_service_pb2
from extaudit.v1 import event_query_pb2 as query_pb

from tests.unit.cli.conftest import Command
from tests.unit.client.fake_service import FakeService, Refused, acknowledge

PAYLOAD = b'{"event":"t.x","uid":"u1","user":"alice","name":"b\\u001b[2J","n":1.10,\n"x":"\xe2\x80\xae"}'
HOLE = query_pb.MISSING_REASON_JOURNAL_HOLE


def message(payload: bytes = PAYLOAD, *, omitted: bool = False) -> event_pb2.EventRow:
    row = event_pb2.EventRow(uid="u1", type="t.x", user="al\u202eice", payload_size=len(payload))
    row.digest = hashlib.sha256(payload).hexdigest()
    row.time.FromDatetime(datetime(2024, 5, 1, 12, tzinfo=UTC))
    row.receipts.add(storage="default", log_id="log1", sequence=3)
    row.payload_omitted = omitted
    row.json = b"" if omitted else payload
    return row


def page(*rows: event_pb2.EventRow, token: str = "", missing: bool = False) -> pb.SearchEventsResponse:
    parts = [query_pb.MissingPart(reason=HOLE, name="log1", first_sequence=4, last_sequence=6, description="lost")]
    return pb.SearchEventsResponse(
        events=rows,
        next_page_token=token,
        engine=pb.SEARCH_ENGINE_SCAN,
        complete=not missing,
        missing=parts if missing else [],
        watermark=pb.Watermark(logs={"log1": 9}, catalogue_revision=2),
    )


def whole(payload: bytes) -> Iterator[pb.GetEventResponse]:
    yield pb.GetEventResponse(event=message(payload, omitted=True))
    yield pb.GetEventResponse(chunk=payload)


def test_a_table_shows_rows_and_says_how_they_were_found(service: FakeService, extaudit: Command) -> None:
    service.search = lambda _: page(message(), token="more")
    outcome = extaudit("events", "search", "--limit", "1")
    text = outcome.out.decode()
    assert outcome.code == 0
    assert "2024-05-01T12:00:00.000Z  t.x" in text
    assert "al\\u202eice" in text
    assert "name=b\\x1b[2J" in text
    assert "1 row from scan in " in text
    assert "complete" in text
    assert "--page-token more" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_jsonl_is_the_stored_json_in_one_line(service: FakeService, extaudit: Command) -> None:
    service.search = lambda _: page(message(), message())
    outcome = extaudit("events", "search", "--output", "jsonl")
    assert (outcome.err, outcome.out) == ("", (PAYLOAD.replace(b"\n", b" ") + b"\n") * 2)


def test_a_payload_that_only_python_takes_for_json_does_not_spoil_the_document(
    service: FakeService, extaudit: Command
) -> None:
    service.search = lambda _: page(message(b'{"n":NaN}'), message())
    out = extaudit("events", "search", "--output", "json").out
    document = json.loads(out, parse_constant=lambda constant: pytest.fail(constant))
    assert [row.get("text", "") for row in document["rows"]] == ['{"n":NaN}', ""]


@pytest.mark.parametrize(
    "wrong", [("--speed", "nan"), ("--speed", "inf"), ("--max-idle", "nan"), ("--max-idle", "inf")]
)
def test_a_pace_is_a_number(extaudit: Command, wrong: tuple[str, str]) -> None:
    outcome = extaudit("recordings", "play", "d5b6f0c2-3c1d-4f0e-9a57-51a0c7e3b8f4", *wrong)
    assert (outcome.code, outcome.out) == (2, b"")
    assert f"Invalid value for '{wrong[0]}'" in outcome.err


def test_an_argument_that_is_not_utf8_is_wrong_usage(extaudit: Command) -> None:
    outcome = extaudit("events", "search", "--type", "\udcff")  # as Python gives the byte 0xff
    assert (outcome.code, outcome.out) == (2, b"")
    assert outcome.err == "Error: what isn't UTF-8 can't be asked for: \\udcff\n"


def test_json_is_one_document_with_everything(service: FakeService, extaudit: Command) -> None:
    service.search = lambda _: page(message(), message(), token="more")
    document = json.loads(extaudit("events", "search", "--limit", "2", "--output", "json").out)
    assert [row["event"]["uid"] for row in document["rows"]] == ["u1", "u1"]
    assert document["rows"][0]["receipts"][0]["sequence"] == 3
    assert (document["complete"], document["next_page_token"], document["engine"]) == (True, "more", "scan")
    assert document["watermark"] == {"logs": {"log1": 9}, "catalogue_revision": 2}


def test_json_without_rows_is_a_document(extaudit: Command, service: FakeService) -> None:
    service.search = lambda _: page()
    assert json.loads(extaudit("events", "search", "--output", "json").out)["rows"] == []


@pytest.mark.parametrize("output", ["table", "json", "jsonl"])
def test_an_incomplete_answer_is_loud_and_exits_with_3(service: FakeService, extaudit: Command, output: str) -> None:
    service.search = lambda _: page(message(), missing=True)
    outcome = extaudit("events", "search", "--output", output)
    assert outcome.code == 3
    assert "INCOMPLETE: lost [journal_hole] log1 4-6" in outcome.err


def test_json_of_an_incomplete_answer_names_what_is_missing(service: FakeService, extaudit: Command) -> None:
    service.search = lambda _: page(missing=True)
    document = json.loads(extaudit("events", "search", "--output", "json").out)
    assert document["complete"] is False
    assert document["missing"][0]["reason"] == "journal_hole"


def test_rows_too_large_for_a_page_are_fetched_whole(service: FakeService, extaudit: Command) -> None:
    service.search = lambda _: page(message(omitted=True))
    service.get = lambda _: whole(PAYLOAD)
    assert extaudit("events", "search", "--output", "jsonl").out == PAYLOAD.replace(b"\n", b" ") + b"\n"
    assert service.gets[0].position == pb.EventPosition(log_id="log1", sequence=3)


def test_options_become_filters(service: FakeService, extaudit: Command) -> None:
    service.search = lambda _: page()
    arguments = "--from -1h --to 2999-05-01 --type a --type b --user u --session s --uid i --text t --emitter e"
    arguments += " --emitter-kind user --order oldest --storage all --engine scan --page-token k --limit 7"
    fields = ["--field", 'a.b="x"', "--field-json", '[["c.d"],1]']
    outcome = extaudit("events", "search", *arguments.split(), *fields)
    assert outcome.code == 0
    (sent,) = service.searches
    assert abs(sent.from_time.ToDatetime(UTC) - (datetime.now(UTC) - timedelta(hours=1))) < timedelta(minutes=1)
    assert sent.to_time.ToDatetime(UTC) == datetime(2999, 5, 1, tzinfo=UTC)
    assert (sent.types, sent.users, sent.uids, sent.session_id) == (["a", "b"], ["u"], ["i"], "s")
    assert (sent.text, sent.emitters, sent.emitter_kinds) == ("t", ["e"], [event_pb2.IDENTITY_KIND_USER])
    assert (sent.order, sent.engine) == (pb.SEARCH_ORDER_OLDEST_FIRST, pb.SEARCH_ENGINE_SCAN)
    assert (sent.storage, sent.page_token, sent.page_size) == ("all", "k", 7)
    assert [list(equality.path) for equality in sent.fields] == [["a", "b"], ["c.d"]]


@pytest.mark.parametrize(
    "arguments",
    [["--from", "tomorrow"], ["--field", "a"], ["--field-json", "x"], ["--limit", "0"], ["--engine", "x"], ["extra"]],
)
def test_wrong_usage_exits_with_2_and_asks_nothing(
    service: FakeService, extaudit: Command, arguments: list[str]
) -> None:
    assert extaudit("events", "search", *arguments).code == 2
    assert service.searches == []


def test_all_reads_every_page_and_a_limit_stops(service: FakeService, extaudit: Command) -> None:
    tokens = {"": "1", "1": "2", "2": ""}
    service.search = lambda request: page(message(), token=tokens[request.page_token])
    assert extaudit("events", "search", "--all", "--output", "jsonl").out.count(b"t.x") == 3
    assert extaudit("events", "search", "--limit", "2", "--output", "jsonl").out.count(b"t.x") == 2


def test_an_error_is_one_line_and_exits_with_1(service: FakeService, extaudit: Command) -> None:
    def refuse(_: object) -> pb.SearchEventsResponse:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "LOCKED", "not \x1ballowed")

    service.search = refuse
    outcome = extaudit("events", "search")
    assert (outcome.code, outcome.out, outcome.err) == (1, b"", "Error: not \\x1ballowed (LOCKED)\n")


def test_a_failed_connection_is_one_line_and_exits_with_1(extaudit: Command) -> None:
    outcome = extaudit("status", "--address", "127.0.0.1:1")
    assert (outcome.code, outcome.err) == (1, "Error: can't talk to 127.0.0.1:1: nothing is listening there\n")


def test_get_writes_the_stored_bytes_and_nothing_else(service: FakeService, extaudit: Command) -> None:
    service.get = lambda _: whole(PAYLOAD)
    outcome = extaudit("events", "get", "u1", "--output", "json")
    assert (outcome.code, outcome.out, outcome.err) == (0, PAYLOAD, "")


@pytest.mark.parametrize(
    ("arguments", "selector"),
    [
        (["log1:3"], "position"),
        (["log1:3", "--uid"], "uid"),
        (["log1:3", "--digest", "ab"], "uid"),
        (["u1"], "uid"),
        (["a:b:3"], "uid"),
    ],
)
def test_get_takes_a_uid_or_a_position(
    service: FakeService, extaudit: Command, arguments: list[str], selector: str
) -> None:
    service.get = lambda _: whole(PAYLOAD)
    extaudit("events", "get", *arguments)
    assert service.gets[0].WhichOneof("selector") == selector


def test_get_shows_a_table_with_receipts_and_nothing_hidden(service: FakeService, extaudit: Command) -> None:
    service.get = lambda _: whole(PAYLOAD)
    text = extaudit("events", "get", "u1").out.decode()
    assert "log1:3" in text
    assert "al\\u202eice" in text
    assert "1.10" in text
    assert "\u202e" not in text


def emit(requests: Iterator[pb.EmitEventsRequest]) -> Iterator[pb.EmitEventsResponse]:
    """Refuse events that hold `bad`, and call those that hold `again` repeated."""
    for request in requests:
        bad = [i for i, event in enumerate(request.events) if b"bad" in event.json]
        again = [i for i, event in enumerate(request.events) if b"again" in event.json]
        violation = pb.EventViolation(field="time", description="is bad")
        yield acknowledge(
            request,
            refused=[pb.RefusedEvent(index=i, violations=[violation]) for i in bad],
            repeated=[pb.RepeatedEvent(index=i, storage="default", log_id="log1", sequence=1) for i in again],
        )


def test_emit_counts_and_names_the_lines_of_refused_events(
    service: FakeService, extaudit: Command, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"a":1}\n\n{"bad":1}\n{"again":1}\n')
    service.emit_stream = emit
    outcome = extaudit("events", "emit", "--file", str(file))
    text = "line 3: refused: time: is bad\n1 accepted, 1 repeated, 1 refused (storage default)\n"
    assert (outcome.code, outcome.out.decode(), outcome.err) == (1, text, "")
    document = json.loads(extaudit("events", "emit", "--file", str(file), "--output", "json").out)
    assert (document["accepted"], document["repeated"], document["refused"]) == (1, 1, 1)
    violations = [{"field": "time", "description": "is bad"}]
    assert document["refused_lines"] == [{"line": 3, "violations": violations}]


@pytest.mark.parametrize(
    ("left", "told"),
    [
        ([b'{"event":"a","\\u0075id":"1"}'] * 50, "lines 101 to 150: 50 events not acknowledged; safe to send again"),
        ([b'{"event":"a","uid":"1"}'], "line 101: 1 event not acknowledged; safe to send again"),
        (
            [b'{"uid":"1"}', b'{"event":"a","b":{"uid":"1"}}'],
            "lines 101 to 102: 2 events not acknowledged; sent again, 1 without a uid may be stored twice",
        ),
    ],
)
def test_emit_names_the_lines_that_no_acknowledgement_named(
    service: FakeService, extaudit: Command, tmp_path: Path, left: list[bytes], told: str
) -> None:
    def once(requests: Iterator[pb.EmitEventsRequest]) -> Iterator[pb.EmitEventsResponse]:
        yield acknowledge(next(requests))
        next(requests)
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "LOCKED", "locked")

    file = tmp_path / "events.jsonl"
    file.write_bytes(b"{}\n" * 100 + b"\n".join(left))
    service.emit_stream = once
    outcome = extaudit("events", "emit", "--file", str(file))
    assert outcome.code == 1
    assert told.encode() in outcome.out.splitlines()
    assert outcome.err == "Error: locked (LOCKED)\n"


def test_the_sample_comes_with_the_program(service: FakeService, extaudit: Command) -> None:
    outcome = extaudit("events", "emit", "--sample", "--output", "json")
    document = json.loads(outcome.out)
    assert outcome.code == 0
    assert (document["accepted"] > 50, document["refused"], document["unacknowledged"]) == (True, 0, 0)


@pytest.mark.parametrize("arguments", [[], ["--sample", "--file", "-"], ["--file", "no-such-file"]])
def test_emit_needs_exactly_one_source(extaudit: Command, arguments: list[str]) -> None:
    assert extaudit("events", "emit", *arguments).code == 2


def test_status_tells_problems_and_exits_with_1_when_not_serving(service: FakeService, extaudit: Command) -> None:
    answer = status_service_pb2.GetStatusResponse(version="1.2")
    answer.problems.add(name="journal_closed", description="restart \x1b")
    answer.storages.add(id="default", active=True, rows=5)
    alert = answer.alerts.add(id="event-emit", storage="aws-1", severity=2, message="errors \x1b", remedy="look")
    alert.raise_time.FromJsonString("2026-11-02T03:04:05Z")
    storage = answer.storages.add(id="aws-1", last_failure="s3:PutObject: no answer came", waiting_recordings=2)
    storage.last_failure_time.FromJsonString("2026-11-02T03:04:05Z")
    storage.oldest_recording_age.FromSeconds(90)
    service.status = lambda: answer
    outcome = extaudit("status")
    assert outcome.code == 1
    assert b"PROBLEM journal_closed: restart \\x1b" in outcome.out
    assert b"ALERT event-emit of aws-1, since 2026-11-02" in outcome.out
    assert b": errors \\x1b; look\n" in outcome.out
    assert b"2, 0 bytes, 90 s" in outcome.out
    assert b", over: s3:PutObject: no answer came" in outcome.out
    answer.serving = True
    outcome = extaudit("status", "--output", "json")
    told = json.loads(outcome.out)
    assert (outcome.code, told["version"]) == (0, "1.2")
    assert [(each["id"], each["severity"], each["message"]) for each in told["alerts"]] == [
        ("event-emit", "high", "errors \x1b")
    ]
    assert [each["waiting_recordings"] for each in told["storages"]] == [0, 2]


@pytest.mark.parametrize(
    "flag",
    ["--session", "--text", "--type", "--user", "--uid", "--emitter", "--field", "--from", "--storage", "--data-dir"],
)
def test_an_empty_value_is_wrong_usage_and_never_no_filter(service: FakeService, extaudit: Command, flag: str) -> None:
    service.search = lambda _: page(message())
    for given in ([flag, ""], [f"{flag}="]):
        for command in (["search"], ["tail", "--no-follow"], ["export", "--out", "-"]):
            refused = extaudit("events", *command, *given)
            assert (refused.code, refused.out) == (2, b"")
            assert f"the value of {flag} is empty" in refused.err
    assert not service.searches


@pytest.mark.parametrize(("form", "name"), [("raw", "s.tar"), ("text", "s.txt")])
def test_a_download_leaves_a_file_that_is_there(
    service: FakeService, extaudit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"evidence")
    for flags in ([], ["-o", name]):
        refused = extaudit("recordings", "download", "s", "--format", form, *flags)
        assert (refused.code, refused.err) == (1, f"Error: there is a file {name} already; --replace replaces it\n")
    asked = extaudit("recordings", "download", "s", "--format", form, "--replace")
    assert "already" not in asked.err, "the service is asked, and has no such recording"
    assert Path(name).read_bytes() == b"evidence"


def test_a_wrong_address_is_wrong_usage(extaudit: Command) -> None:
    for address in ("host", "host:x"):
        refused = extaudit("status", "--address", address)
        assert (refused.code, "host:port" in refused.err) == (2, True)


def test_output_that_nobody_reads_ends_it_without_a_word(
    service: FakeService, extaudit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.search = lambda _: page(message())
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        assert extaudit("events", "search").code == 141


def test_an_empty_value_that_asks_for_no_more_is_as_none(service: FakeService, extaudit: Command) -> None:
    service.search = lambda _: page(message())
    assert extaudit("events", "search", "--page-token", "").code == 0, "the first turn of a loop over pages"
    assert [each.page_token for each in service.searches] == [""]

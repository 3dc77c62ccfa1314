"""What the command says is missing, and what it exports of the rest."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as audit_pb
from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1 import event_watch_pb2 as watch_pb

from tests.unit.cli.conftest import Command
from tests.unit.cli.exported_log import STORED, exported
from tests.unit.cli.exporting.conftest import TAIL
from tests.unit.client.fake_service import FakeService, Refused

LOST = query_pb.MissingPart(
    reason=query_pb.MISSING_REASON_OBJECT_MISSING, storage="default", name="o\x1b", description="gone"
)


def test_what_is_missing_is_named_kept_and_exits_with_3(service: FakeService, extaudit: Command) -> None:
    service.export = lambda request: exported(request, LOST)
    done = extaudit("events", "export", "--out", "out/")
    assert done.code == 3
    assert done.err == "INCOMPLETE: gone [object_missing] default o\\x1b\n"
    assert json.loads(Path("out/export-state.json").read_bytes())["missing"][0]["reason"] == "object_missing"
    assert Path("out/log-1-3.jsonl").exists()
    again = extaudit("events", "export", "--out", "out/")
    assert (again.code, again.err) == (3, done.err), "what is missing stays so, and is said on every run"


def test_dates_that_couldnt_be_counted_are_named_once_and_only_until_they_are(
    service: FakeService, extaudit: Command
) -> None:
    """How many foreign objects there are is counted anew by each list, and no event is missing for it."""
    lists, requests = service.chunks, itertools.count()

    def uncounted(request: pb.ListEventChunksRequest) -> pb.ListEventChunksResponse:
        answer, why = lists(request), f"no: request {next(requests)}"
        reason = query_pb.MISSING_REASON_OBJECT_UNREADABLE
        answer.missing.add(reason=reason, storage="s3", name="2026-11-18", description=why)
        return answer

    service.chunks = uncounted
    done = extaudit("events", "export", "--out", "out/")
    assert (done.code, done.err.count("INCOMPLETE"), done.err.count("2026-11-18")) == (3, 1, 1)
    assert b"INCOMPLETE: 1 part missing" in done.out
    again = extaudit("events", "export", "--out", "out/")
    assert (again.code, again.err.count("INCOMPLETE")) == (3, 1), "it is so in this list as well"
    service.chunks = lists
    assert extaudit("events", "export", "--out", "out/").code == 0


def test_a_chunk_that_is_gone_is_named_and_stops_no_other(service: FakeService, extaudit: Command) -> None:
    def gone(request: pb.ExportEventsRequest) -> Iterator[pb.ExportEventsResponse]:
        raise Refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "there is no such chunk")
        yield

    service.export = gone
    done = extaudit("events", "export", "--out", "out.jsonl")
    assert done.code == 3
    assert "there is no such chunk" in done.err
    assert Path("out.jsonl").read_bytes() == TAIL + b"\n"


def test_a_large_event_that_is_gone_is_named_and_its_chunk_read_on(service: FakeService, extaudit: Command) -> None:
    def second_is_large(request: pb.ExportEventsRequest) -> Iterator[pb.ExportEventsResponse]:
        (answer,) = exported(request)
        answer.columns.json_sizes[1], answer.columns.json = 0, STORED[0] + STORED[2]
        yield answer

    def gone(request: audit_pb.GetEventRequest) -> Iterator[audit_pb.GetEventResponse]:
        raise Refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "there is no such event")
        yield

    service.export, service.get = second_is_large, gone
    done = extaudit("events", "export", "--out", "out.jsonl", "--output", "json")
    assert (done.code, done.err) == (3, "INCOMPLETE: there is no such event [object_missing] default log 2-2\n")
    assert Path("out.jsonl").read_bytes() == b"\n".join([STORED[0], STORED[2], TAIL, b""])
    summary = json.loads(done.out)
    assert (summary["events"], summary["complete"], summary["complete_through"]) == (3, False, {"log": 4})
    assert [(part["first_sequence"], part["last_sequence"]) for part in summary["missing"]] == [(2, 2)]
    again = extaudit("events", "export", "--out", "out.jsonl")
    assert (again.code, again.err, len(service.exports)) == (3, done.err, 1), "it is told again, and not read again"


@pytest.mark.parametrize("out", ["out.jsonl", "out/"])
def test_a_large_event_that_is_gone_from_what_is_in_no_chunk_is_named_and_the_rest_written(
    service: FakeService, extaudit: Command, out: str
) -> None:
    def watch(request: watch_pb.WatchEventsRequest) -> Iterator[watch_pb.WatchEventsResponse]:
        rows = [event_pb2.EventRow(uid=f"t{number}", type="a.b", json=TAIL) for number in (4, 5, 6)]
        for number, row in enumerate(rows, 4):
            row.receipts.add(storage="default", log_id="log", sequence=number)
        rows[1].json, rows[1].payload_omitted = b"", True
        left = rows if request.after.logs.get("log", 0) < 6 else []
        yield watch_pb.WatchEventsResponse(events=left, place=watch_pb.LogPlace(logs={"log": 6}), caught_up=True)

    def gone(request: audit_pb.GetEventRequest) -> Iterator[audit_pb.GetEventResponse]:
        raise Refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "there is no such event")
        yield

    service.watch, service.get = watch, gone
    done = extaudit("events", "export", "--out", out, "--output", "json")
    assert (done.code, done.err) == (3, "INCOMPLETE: there is no such event [object_missing] default log 5-5\n")
    written = Path(out) if out == "out.jsonl" else Path("out/tail-000001.jsonl")
    assert written.read_bytes().splitlines()[-2:] == [TAIL, TAIL]
    summary = json.loads(done.out)
    assert (summary["events"], summary["complete"], summary["complete_through"]) == (5, False, {"log": 6})
    again = extaudit("events", "export", "--out", out)
    assert (again.code, again.err, len(service.gets)) == (3, done.err, 1), "it is told again, and not asked for again"


def test_of_a_chunk_that_is_lost_on_the_way_the_rest_is_named(service: FakeService, extaudit: Command) -> None:
    def broken(request: pb.ExportEventsRequest) -> Iterator[pb.ExportEventsResponse]:
        (answer,) = exported(request)
        for column, _ in answer.columns.ListFields():
            if column.is_repeated:
                del getattr(answer.columns, column.name)[1:]
        answer.columns.json, answer.through_sequence, answer.done = STORED[0], 1, False
        yield answer
        raise Refused(grpc.StatusCode.DATA_LOSS, "", "it is damaged")

    service.export = broken
    done = extaudit("events", "export", "--out", "out.jsonl")
    assert (done.code, done.err) == (3, "INCOMPLETE: it is damaged [object_missing] default log 2-3\n")
    assert Path("out.jsonl").read_bytes() == STORED[0] + b"\n" + TAIL + b"\n"


def test_foreign_objects_are_counted(service: FakeService, extaudit: Command) -> None:
    service.chunks = lambda request: pb.ListEventChunksResponse(foreign_objects=2)
    assert b"2 foreign objects" in extaudit("events", "export", "--out", "out.jsonl").out

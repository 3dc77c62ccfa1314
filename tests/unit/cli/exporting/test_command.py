"""The command: what it refuses, what it says, and what its exit code is."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import click
import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as audit_pb
from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1 import event_watch_pb2 as watch_pb
from extaudit_cli.exporting.destination import destination
from extaudit_cli.exporting.forms import Form
from extaudit_cli.exporting.outputs import StreamOutput
from extaudit_cli.exporting.state import ExportState, held
from extaudit_cli.main import run
from extaudit_cli.output import write_bytes

from tests.unit.cli.conftest import Command
from tests.unit.cli.exported import exported as events_of
from tests.unit.cli.exported_log import STORED
from tests.unit.cli.exporting.conftest import ALL, TAIL
from tests.unit.client.fake_service import FakeService, Refused


@pytest.mark.parametrize("name", ["../log", "/tmp/log", "a/b", "..", ""])
def test_a_service_gives_no_file_a_place_outside_the_folder(
    service: FakeService, extaudit: Command, folder: Path, name: str
) -> None:
    listed = pb.EventChunk(id="c", storage="default", log_id=name, first_sequence=1, last_sequence=3, events=3)
    service.chunks = lambda _: pb.ListEventChunksResponse(
        chunks=[listed], complete_through=watch_pb.LogPlace(logs={name: 3})
    )
    done = extaudit("events", "export", "--out", "deep/out/")
    assert done.code == 1
    assert "a name that no log has" in done.err
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_folder_gets_a_file_for_each_batch_and_the_state(service: FakeService, extaudit: Command) -> None:
    done = extaudit("events", "export", "--out", "out/")
    assert (done.code, done.err) == (0, "")
    assert b"4 events" in done.out
    assert b"log  4" in done.out
    assert sorted(os.listdir("out")) == [
        ".export-owner",
        "export-state.json",
        "export-state.json.lock",
        "log-1-3.jsonl",
        "tail-000001.jsonl",
    ]
    assert Path("out/log-1-3.jsonl").read_bytes() == b"\n".join([*STORED, b""])
    assert Path("out/tail-000001.jsonl").read_bytes() == TAIL + b"\n"
    assert {stat.S_IMODE(os.stat(f"out/{name}").st_mode) for name in os.listdir("out")} == {0o600}
    assert stat.S_IMODE(os.stat("out").st_mode) == 0o700
    again = extaudit("events", "export", "--out", "out")
    assert (again.code, b"0 new events" in again.out, b"4 events" in again.out) == (0, True, True)


def test_stdout_gets_the_events_and_stderr_the_rest(service: FakeService, extaudit: Command) -> None:
    done = extaudit("events", "export", "--out", "-")
    assert (done.code, done.out) == (0, ALL)
    assert "4 events" in done.err
    assert done.err.splitlines()[0].endswith(" to stdout")
    assert not os.listdir("."), "no state is kept"
    kept = extaudit("events", "export", "--out", "-", "--state", "feed.json")
    again = extaudit("events", "export", "--out", "-", "--state", "feed.json", "--output", "json")
    assert (kept.out, again.out) == (ALL, b"")
    assert json.loads(again.err)["complete_through"] == {"log": 4}


def test_json_output_is_the_summary_alone(service: FakeService, extaudit: Command) -> None:
    done = extaudit("events", "export", "--out", "out.jsonl", "--output", "json")
    summary = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert summary == {
        "events": 4,
        "json_bytes": len(ALL) - 4,
        "all_events": 4,
        "files": 1,
        "complete": True,
        "complete_through": {"log": 4},
        "missing": [],
        "foreign_objects": 0,
        "out": "out.jsonl",
        "state": "out.jsonl.export-state.json",
        "interrupted": False,
    }
    assert Path("out.jsonl").read_bytes() == ALL


OTHERS = [
    (["--type", "x"], "--type"),
    (["--from", "-2h"], "--from"),
    (["--to", "2026-01-01"], "--to"),
    (["--storage", "all"], "--storage"),
    (["--receipts"], "--receipts"),
    (["--user", "a", "--field", "n=1"], "--field, --user"),
]


@pytest.mark.parametrize(("flags", "named"), OTHERS)
def test_another_question_with_the_same_state_is_refused(
    service: FakeService, extaudit: Command, flags: list[str], named: str
) -> None:
    assert extaudit("events", "export", "--out", "out/").code == 0
    before = {name: Path("out", name).read_bytes() for name in os.listdir("out")}
    refused = extaudit("events", "export", "--out", "out/", *flags)
    assert refused.code == 1
    assert f"other {named}:" in refused.err
    assert {name: Path("out", name).read_bytes() for name in os.listdir("out")} == before


def test_a_relative_time_means_on_every_run_what_it_meant_on_the_first(service: FakeService, extaudit: Command) -> None:
    for _ in range(2):
        assert extaudit("events", "export", "--out", "out/", "--from", "-1h", "--to", "now").code == 0
    first, second = service.watches
    assert first.filter == second.filter
    assert first.filter.HasField("from_time")


def test_two_exports_on_one_state_are_refused(service: FakeService, extaudit: Command) -> None:
    os.mkdir("out")
    with held(Path("out/export-state.json")):
        refused = extaudit("events", "export", "--out", "out/")
    assert (refused.code, "another export is using out/export-state.json" in refused.err) == (1, True)
    assert extaudit("events", "export", "--out", "out/").code == 0


TAKEN = {
    "a file": ("out.jsonl", lambda: Path("out.jsonl").write_text("mine")),
    "a folder that isn't empty": ("out/", lambda: (Path("out").mkdir(), Path("out/mine").write_text("mine"))),
    "a link": ("out.jsonl", lambda: (Path("mine").write_text("mine"), Path("out.jsonl").symlink_to("mine"))),
    "a pipe": ("out.jsonl", lambda: os.mkfifo("out.jsonl")),
    "a file for a folder": ("out.d/", lambda: Path("out.d").write_text("mine")),
}


@pytest.mark.parametrize("case", TAKEN)
def test_nothing_of_others_is_overwritten(service: FakeService, extaudit: Command, case: str) -> None:
    out, make = TAKEN[case]
    make()
    refused = extaudit("events", "export", "--out", out)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert not service.exports


USAGE = {
    "an ending that says nothing": ["--out", "out.txt"],
    "an ending and another format": ["--out", "out.csv", "--format", "jsonl"],
    "one Parquet file": ["--out", "out.parquet"],
    "Parquet on stdout": ["--out", "-", "--format", "parquet"],
    "gzip of Parquet": ["--out", "out/", "--format", "parquet", "--gzip"],
    "receipts of CSV": ["--out", "out.csv", "--receipts"],
    "no target": [],
}


@pytest.mark.parametrize("flags", USAGE.values(), ids=USAGE)
def test_what_does_not_fit_together_is_wrong_usage(service: FakeService, extaudit: Command, flags: list[str]) -> None:
    assert extaudit("events", "export", *flags).code == 2
    assert not os.listdir(".")


def test_one_is_said_as_one(service: FakeService, extaudit: Command) -> None:
    assert extaudit("events", "export", "--out", "out.jsonl").code == 0

    def another(request: watch_pb.WatchEventsRequest) -> Iterator[watch_pb.WatchEventsResponse]:
        row = event_pb2.EventRow(uid="t", json=TAIL, type="a.b")
        row.receipts.add(storage="default", log_id="log", sequence=5)
        yield watch_pb.WatchEventsResponse(events=[row], place=watch_pb.LogPlace(logs={"log": 5}), caught_up=True)

    service.watch = another
    assert extaudit("events", "export", "--out", "out.jsonl").out.startswith(b"1 new event, ")


def test_another_service_is_refused_and_leaves_the_export_as_it_is(service: FakeService, extaudit: Command) -> None:
    """Its profile was mistyped: the right service must be able to go on, and nothing be called missing that isn't."""
    assert extaudit("events", "export", "--out", "out/").code == 0
    before = {name: Path("out", name).read_bytes() for name in os.listdir("out") if name != "export-state.json"}
    state = json.loads(Path("out/export-state.json").read_bytes())
    chunks, watches = service.chunks, len(service.watches)
    unknown = query_pb.MissingPart(
        reason=query_pb.MISSING_REASON_JOURNAL_HOLE,
        name="log",
        first_sequence=1,
        last_sequence=4,
        description="unknown",
    )
    service.chunks = lambda request: pb.ListEventChunksResponse(
        missing=[unknown], complete_through=watch_pb.LogPlace(logs={"log": 4, "other": 0})
    )
    refused = extaudit("events", "export", "--out", "out/")
    assert (refused.code, "it is another service" in refused.err, refused.err.count("\n")) == (1, True, 1)
    assert len(service.watches) == watches
    assert {name: Path("out", name).read_bytes() for name in os.listdir("out") if name != "export-state.json"} == before
    after = json.loads(Path("out/export-state.json").read_bytes())
    assert after | {"finished": True} == state
    service.chunks = chunks
    assert extaudit("events", "export", "--out", "out/").code == 0


def test_a_state_of_another_file_cuts_nothing_off_this_one(service: FakeService, extaudit: Command) -> None:
    assert extaudit("events", "export", "--out", "a.jsonl", "--state", "s.json").code == 0
    mine = b"x" * 10_000
    Path("b.jsonl").write_bytes(mine)
    refused = extaudit("events", "export", "--out", "b.jsonl", "--state", "s.json")
    assert (refused.code, "an export to a.jsonl, not to b.jsonl" in refused.err) == (1, True)
    assert Path("b.jsonl").read_bytes() == mine


def test_what_was_written_of_an_answer_that_fails_in_its_middle_does_not_come_again(
    service: FakeService, extaudit: Command
) -> None:
    """The second event is too large for an answer, and can't be fetched at first."""

    def watch(request: watch_pb.WatchEventsRequest) -> Iterator[watch_pb.WatchEventsResponse]:
        rows = [event_pb2.EventRow(uid="t", json=TAIL, type="a.b"), event_pb2.EventRow(uid="u", payload_omitted=True)]
        for sequence, row in enumerate(rows, 4):
            row.receipts.add(storage="default", log_id="log", sequence=sequence)
        left = [row for row in rows if row.receipts[0].sequence > request.after.logs.get("log", 0)]
        yield watch_pb.WatchEventsResponse(events=left, place=watch_pb.LogPlace(logs={"log": 5}), caught_up=True)

    def fail(request: audit_pb.GetEventRequest) -> Iterator[audit_pb.GetEventResponse]:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
        yield

    def get(request: audit_pb.GetEventRequest) -> Iterator[audit_pb.GetEventResponse]:
        digest = hashlib.sha256(b"{}").hexdigest()
        yield audit_pb.GetEventResponse(event=event_pb2.EventRow(uid="u", digest=digest, payload_size=2))
        yield audit_pb.GetEventResponse(chunk=b"{}")

    service.watch, service.get = watch, fail
    failed = extaudit("events", "export", "--out", "-", "--state", "s.json")
    assert (failed.code, failed.out) == (1, ALL)
    service.get = get
    again = extaudit("events", "export", "--out", "-", "--state", "s.json")
    assert (again.code, again.out) == (0, b"{}\n")


def test_the_state_of_what_goes_to_a_file_by_stdout_is_kept_after_its_bytes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: done.append("synced"))
    with Path("out").open("wb") as file:
        monkeypatch.setattr(sys, "stdout", file)
        output = StreamOutput(ExportState({}), lambda state: done.append("saved"), b"")
        output.append(b"x")
        output.checkpoint()
    assert done == ["synced", "saved"]


@pytest.mark.parametrize("before", [b"", b"{}\n", b'{"torn'])
def test_a_line_that_a_full_disk_has_torn_takes_no_event_with_it(
    service: FakeService, extaudit: Command, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    ended = before + b"\n" * before.endswith(b"torn")
    events = ALL[ALL.index(TAIL) :]
    for command, expected in (
        (["tail", "--no-follow", "--output", "jsonl"], ended + events),
        (["export", "--out", "-"], ended + ALL),
        (["export", "--out", "-", "--format", "csv"], None),
    ):
        Path("all").write_bytes(before)
        with Path("all").open("a") as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", file)
            code = run(["events", *command])
        if expected is None and ended != before:
            assert (code, Path("all").read_bytes()) == (1, before)
        else:
            assert code == 0
            assert Path("all").read_bytes() == expected or expected is None


@contextmanager
def screen() -> Iterator[int]:
    """A terminal as stdout; what it is sent can be read here, without waiting for more than there is."""
    master, slave = os.openpty()
    os.set_blocking(master, False)
    with os.fdopen(slave, "w") as terminal, redirect_stdout(terminal):
        yield master
    os.close(master)


def test_a_terminal_acts_on_nothing_of_an_event() -> None:
    """CSV has texts as they are, and JSON may have C1 controls, directions, and carriage returns between its tokens."""
    event = '{"event":"a.b",\r"x":"\x9b2J\u202e"}'.encode()
    json_shown = '{"event":"a.b", "x":"\\u009b2J\\u202e"}'
    with screen() as shown:
        for form, text in (("csv", "\\u001b]0;owned\\u0007"), ("jsonl", json_shown)):
            output = StreamOutput(ExportState({}), None, b"")
            output.append(Form(form).encoder().encode(events_of([event], users=["\x1b]0;owned\x07"])))
            sent = os.read(shown, 10_000).decode()
            assert text in sent
            assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(sent)
        write_bytes(event)
        assert os.read(shown, 10_000).decode() == json_shown


def test_gzip_is_not_for_a_terminal() -> None:
    with screen(), pytest.raises(click.UsageError, match="isn't for a terminal"):
        destination("-", None, gzip=True, receipts=False, state=None)


@pytest.mark.parametrize("change", ["cut", "gone"])
def test_files_that_something_else_has_changed_are_told(service: FakeService, extaudit: Command, change: str) -> None:
    assert extaudit("events", "export", "--out", "out.jsonl").code == 0
    if change == "cut":
        os.truncate("out.jsonl", 5)
    else:
        os.unlink("out.jsonl")
    again = extaudit("events", "export", "--out", "out.jsonl")
    assert (again.code, "something else has changed it" in again.err) == (1, True)


@pytest.mark.parametrize("state", [b"{}", b"[", b'{"version": 2}', b'{"version": 1, "open": null, "missing": []}'])
def test_a_state_that_can_not_be_read_is_told(service: FakeService, extaudit: Command, state: bytes) -> None:
    Path("s.json").write_bytes(state)
    refused = extaudit("events", "export", "--out", "out/", "--state", "s.json")
    assert (refused.code, "s.json isn't the state of an export" in refused.err) == (1, True)


@pytest.mark.parametrize("out", ["/proc/nothing/", "/proc/nothing.jsonl"])
def test_a_target_that_can_not_be_written_is_one_line(service: FakeService, extaudit: Command, out: str) -> None:
    refused = extaudit("events", "export", "--out", out)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "can't write /proc/nothing" in refused.err


@pytest.mark.parametrize("out", ["out/", "out.jsonl"])
def test_what_is_refused_at_once_leaves_nothing_and_may_be_asked_otherwise(
    service: FakeService, extaudit: Command, out: str
) -> None:
    chunks = service.chunks

    def refused(request: pb.ListEventChunksRequest) -> pb.ListEventChunksResponse:
        raise Refused(grpc.StatusCode.NOT_FOUND, "STORAGE_NOT_FOUND")

    service.chunks = refused
    assert extaudit("events", "export", "--out", out, "--storage", "nope").code == 1
    assert {path.name for path in Path().rglob("*")} <= {"out.jsonl.export-state.json.lock"}
    service.chunks = chunks
    assert extaudit("events", "export", "--out", out).code == 0
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    service.chunks = refused
    assert extaudit("events", "export", "--out", out).code == 1
    after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert after.keys() == before.keys(), "an export that had begun stays"


def test_a_service_that_fails_on_the_way_leaves_a_state_to_go_on_from(service: FakeService, extaudit: Command) -> None:
    watch = service.watch

    def failing(request: watch_pb.WatchEventsRequest) -> Iterator[watch_pb.WatchEventsResponse]:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")
        yield

    service.watch = failing
    failed = extaudit("events", "export", "--out", "out/")
    assert (failed.code, failed.err.startswith("Error: refused (ACCESS_DENIED)")) == (1, True)
    service.watch = watch
    assert extaudit("events", "export", "--out", "out/").code == 0
    assert len(service.exports) == 1, "the chunk wasn't read again"

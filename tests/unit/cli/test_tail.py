from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import grpc
import pytest
from extaudit.v1 import event_pb2
from extaudit.v1 import event_watch_pb2 as pb
from extaudit_cli.event_tail import _Note
from extaudit_cli.place_file import PlaceProblem, held_place, read_place, write_place
from extaudit_client import ExtauditError

from tests.unit.cli.conftest import Command
from tests.unit.cli.test_commands import PAYLOAD, message, page, whole
from tests.unit.client.fake_service import FakeService, Refused

MISSING = page(missing=True).missing


def answer(done: int, *rows: event_pb2.EventRow, caught_up: bool = False, **members: Any) -> pb.WatchEventsResponse:
    return pb.WatchEventsResponse(events=rows, place=pb.LogPlace(logs={"log1": done}), caught_up=caught_up, **members)


def ends_with(*answers: pb.WatchEventsResponse) -> Any:
    """A watch that gives these answers and then says that it is caught up."""
    last = answers[-1].place.logs["log1"]
    return lambda _: iter([*answers, answer(last, caught_up=True)])


def test_a_table_has_a_line_for_each_event_and_nothing_that_a_terminal_acts_on(
    service: FakeService, extaudit: Command
) -> None:
    service.watch = ends_with(answer(1, message()), answer(2, message()))
    outcome = extaudit("events", "tail", "--no-follow")
    head, *rows = outcome.out.decode().splitlines()
    assert (outcome.code, outcome.err) == (0, "")
    assert head.split() == ["TIME", "TYPE", "USER", "UID", "SUMMARY"]
    assert len(rows) == 2
    for row in rows:
        assert row.startswith("2024-05-01T12:00:00.000Z  t.x")
        assert "al\\u202eice" in row
        assert "name=b\\x1b[2J" in row
        assert "\x1b" not in row
        assert "\u202e" not in row


def test_columns_of_a_pipe_have_room_for_a_person_s_address(service: FakeService, extaudit: Command) -> None:
    short, long = message(), message()
    short.user, long.user = "bob", "idirs.of.the.night@harbour.test"
    service.watch = ends_with(answer(1, short), answer(2, long))
    head, *rows = extaudit("events", "tail", "--no-follow").out.decode().splitlines()
    assert [row.index("u1") for row in rows] == [head.index("UID")] * 2


@pytest.mark.parametrize(
    ("members", "colour"),
    [({}, "36"), ({"code": "T1000W"}, "33"), ({"code": "T1000E"}, "31"), ({"success": False}, "33")],
)
def test_colours_tell_how_an_event_is_and_columns_stay_aligned(
    service: FakeService, extaudit: Command, monkeypatch: pytest.MonkeyPatch, members: dict[str, Any], colour: str
) -> None:
    service.watch = ends_with(answer(1, message(json.dumps({"event": "t.x", **members}).encode())))
    plain = extaudit("events", "tail", "--no-follow").out.decode()
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    painted = extaudit("events", "tail", "--no-follow").out.decode()
    assert f"\x1b[{colour}mt.x" in painted
    for code in ("0", "1", "2", "31", "33", "36"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert [line.rstrip() for line in painted.splitlines()] == plain.splitlines()


def test_jsonl_is_the_stored_json_and_json_has_receipts(service: FakeService, extaudit: Command) -> None:
    service.watch = ends_with(answer(1, message()))
    assert extaudit("events", "tail", "--no-follow", "--output", "jsonl").out == PAYLOAD.replace(b"\n", b" ") + b"\n"
    row = json.loads(extaudit("events", "tail", "--no-follow", "--output", "json").out)
    assert (row["receipts"][0]["sequence"], row["event"]["n"]) == (3, 1.1)


def test_an_event_too_large_for_an_answer_is_fetched(service: FakeService, extaudit: Command) -> None:
    service.watch = ends_with(answer(1, message(omitted=True)))
    service.get = lambda _: whole(PAYLOAD)
    assert extaudit("events", "tail", "--no-follow", "--output", "jsonl").out == PAYLOAD.replace(b"\n", b" ") + b"\n"
    assert service.gets[0].position.sequence == 3


def test_filters_and_the_time_of_receipt_are_asked_for(service: FakeService, extaudit: Command) -> None:
    service.watch = ends_with(answer(1))
    extaudit(
        "events", "tail", "--no-follow", "--since", "2026-01-01", "--type", "a", "--emitter", "n", "--storage", "all"
    )
    [request] = service.watches
    assert (list(request.filter.types), list(request.filter.emitters), request.storage) == (["a"], ["n"], "all")
    assert request.received_from.seconds == 1_767_225_600


def test_what_is_missing_and_why_it_connects_again_are_told_beside_the_events(
    service: FakeService, extaudit: Command
) -> None:
    def watch(request: pb.WatchEventsRequest) -> Iterator[pb.WatchEventsResponse]:
        if not request.after.logs:
            yield answer(1, message(), missing=MISSING)
            raise Refused(grpc.StatusCode.UNAVAILABLE, "STOPPING", "\x1bstopping", retry_after=0.01)
        yield answer(2, message(), caught_up=True)

    service.watch = watch
    outcome = extaudit("events", "tail", "--no-follow", "--output", "jsonl")
    assert outcome.code == 3
    assert len(outcome.out.splitlines()) == 2
    lost, again = outcome.err.splitlines()
    assert lost == "INCOMPLETE: lost [journal_hole] log1 4-6"
    assert again.startswith("\\x1bstopping; connecting again in 0.")


def test_a_place_is_kept_and_gone_on_from(service: FakeService, extaudit: Command, tmp_path: Path) -> None:
    place = tmp_path / "place.json"
    service.watch = ends_with(answer(1, message()), answer(7))
    for _ in range(2):
        extaudit("events", "tail", "--no-follow", "--place", str(place), "--since", "2026-01-01")
        assert read_place(place) == {"log1": 7}
    first, second = service.watches
    assert (first.WhichOneof("start"), second.WhichOneof("start")) == ("received_from", "after")
    assert dict(second.after.logs) == {"log1": 7}
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".json"] == ["place.json"]


def test_two_never_go_on_from_one_place(service: FakeService, extaudit: Command, tmp_path: Path) -> None:
    service.watch = ends_with(answer(1, message()))
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "place.json")
    with held_place(tmp_path / "place.json"):
        for place in (tmp_path / "place.json", link):
            refused = extaudit("events", "tail", "--no-follow", "--place", str(place))
            assert (refused.code, refused.out) == (1, b"")
            assert refused.err == f"Error: another process is using {place}\n"
    assert extaudit("events", "tail", "--no-follow", "--place", str(link)).code == 0


def test_a_place_that_can_not_be_written_is_told_before_anything_is_printed(
    service: FakeService, extaudit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.watch = ends_with(answer(1, message()))
    refused = extaudit("events", "tail", "--no-follow", "--place", str(tmp_path / "none/place.json"))
    assert (refused.code, refused.out, "can't write" in refused.err) == (1, b"", True)
    place = tmp_path / "place.json"
    write_place(place, {"log1": 0})

    def full(*_: object) -> None:
        raise PlaceProblem("the disk is full")

    monkeypatch.setattr("extaudit_cli.event_tail.write_place", full)
    refused = extaudit("events", "tail", "--no-follow", "--place", str(place))
    assert (refused.code, refused.out) == (1, b"")


def test_a_place_notes_only_what_was_printed(service: FakeService, extaudit: Command, tmp_path: Path) -> None:
    place = tmp_path / "place.json"

    def watch(_: pb.WatchEventsRequest) -> Iterator[pb.WatchEventsResponse]:
        yield answer(1, message())
        yield answer(2, message(omitted=True))

    def get(_: Any) -> Any:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED")

    service.watch, service.get = watch, get
    outcome = extaudit("events", "tail", "--place", str(place), "--output", "jsonl")
    assert (outcome.code, len(outcome.out.splitlines())) == (1, 1)
    assert read_place(place) == {"log1": 1}


@pytest.mark.parametrize(
    ("end", "code"), [(KeyboardInterrupt(), 130), (ExtauditError("UNAVAILABLE", "STOPPING", "it can't be fetched"), 1)]
)
def test_an_end_in_the_middle_of_an_answer_notes_what_was_printed(
    service: FakeService,
    extaudit: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: BaseException,
    code: int,
) -> None:
    place = tmp_path / "place.json"
    write_place(place, {"log1": 1, "log2": 5})
    rows = [message() for _ in range(3)]
    for number, row in enumerate(rows):
        row.receipts[0].sequence = number + 2
    service.watch = ends_with(answer(9, *rows))
    printed: list[int] = []

    def print_two(row: Any) -> bytes:
        if len(printed) == 2:
            raise end
        printed.append(row.receipts[0].sequence)
        return b""

    monkeypatch.setattr("extaudit_cli.tail_printers.payload_of", lambda _, row: print_two(row))
    assert extaudit("events", "tail", "--place", str(place), "--output", "jsonl").code == code
    assert printed == [2, 3]
    assert read_place(place) == {"log1": 3, "log2": 5}


def test_a_place_is_kept_after_what_was_printed_into_a_file_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: done.append("synced"))
    monkeypatch.setattr("extaudit_cli.event_tail.write_place", lambda path, place: done.append("noted"))
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr("sys.stdout", file)
        _Note(tmp_path / "place.json", None).write({"log1": 1})
    assert done == ["synced", "noted"]


def test_a_place_that_is_given_is_left_as_it_is_unless_one_is_kept(
    service: FakeService, extaudit: Command, tmp_path: Path
) -> None:
    given, kept = tmp_path / "given.json", tmp_path / "kept.json"
    write_place(given, {"log1": 4})
    service.watch = ends_with(answer(9))
    for _ in range(2):
        extaudit("events", "tail", "--no-follow", "--after-place", str(given), "--place", str(kept))
    assert [dict(request.after.logs) for request in service.watches] == [{"log1": 4}, {"log1": 9}]
    assert read_place(given) == {"log1": 4}


@pytest.mark.parametrize("content", ["", "[]", '{"place": 1}', '{"place": {"l": -1}}', '{"place": {"l": "1"}}', "{"])
def test_a_file_that_holds_no_place_is_left_alone(extaudit: Command, tmp_path: Path, content: str) -> None:
    place = tmp_path / "place.json"
    place.write_text(content)
    outcome = extaudit("events", "tail", "--place", str(place))
    assert (outcome.code, outcome.err) == (
        1,
        f"Error: {place} holds no place in the log; move it away to begin anew\n",
    )
    assert place.read_text() == content


def test_a_place_that_can_not_be_kept_is_told_in_one_line(
    service: FakeService, extaudit: Command, tmp_path: Path
) -> None:
    service.watch = ends_with(answer(1, message()))
    missing = tmp_path / "none" / "place.json"
    outcome = extaudit("events", "tail", "--place", str(missing))
    assert (outcome.code, outcome.err) == (1, f"Error: can't write {missing}: No such file or directory\n")
    assert extaudit("events", "tail", "--after-place", str(missing)).err == f"Error: there is no file {missing}\n"


def test_the_name_of_a_place_is_durable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: done.append("folder" if S_ISDIR(os.fstat(fd).st_mode) else "file"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("named"), replace(*names)))
    write_place(tmp_path / "place.json", {"log1": 1})
    assert done == ["file", "named", "folder"]


def test_a_place_is_written_through_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    write_place(target, {"l": 1})
    link.symlink_to(target)
    write_place(link, {"l": 2})
    assert link.is_symlink()
    assert read_place(target) == {"l": 2}
    link.unlink()
    target.unlink()
    target.mkdir()
    with pytest.raises(PlaceProblem, match="can't read"):
        read_place(target)

"""How tables and errors look: whole in a pipe, as wide as the screen on a terminal, one line for every failure."""

from __future__ import annotations

import os

import grpc
import pytest
from extaudit_cli import output
from extaudit_cli.event_printers import event_columns
from extaudit_cli.main import run
from extaudit_cli.output import print_table
from extaudit_cli.table import cells
from extaudit_cli.text import count_text, width

from tests.unit.cli.conftest import Command
from tests.unit.cli.test_commands import message, page
from tests.unit.client.fake_service import FakeService, Refused

Captured = pytest.CaptureFixture[str]
HEADERS = ("ID", "WHO", "REASON")
LONG = "漢" * 300
ROWS = [("1" * 36, "alice", "short"), ("2" * 36, "b\u202eob", LONG)]


def printed(capsys: Captured, headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    print_table(headers, rows)
    return capsys.readouterr().out.splitlines()


def test_in_a_pipe_nothing_is_cut(capsys: Captured) -> None:
    lines = printed(capsys, HEADERS, ROWS)
    assert lines[2] == f"{'2' * 36}  b\\u202eob  {LONG}"
    assert lines[1] == f"{'1' * 36}  alice      short"


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_on_a_terminal_a_table_is_cut_to_fit_but_for_its_ids(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(output, "screen_columns", lambda: columns)
    lines = printed(capsys, HEADERS, ROWS)
    assert [width(line) <= columns for line in lines] == [True] * 3
    assert lines[2].endswith("…")
    assert width(lines[2]) >= columns - 1
    assert lines[2].startswith("2" * 36 + "  ")


def test_on_a_terminal_no_column_takes_the_screen(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "screen_columns", lambda: 60)
    lines = printed(capsys, ("A", "B"), [("x" * 300, "why"), ("z", "y")])
    assert lines[1].endswith("…  why")
    assert width(lines[1]) <= 60


def test_a_screen_too_narrow_for_columns_has_cells_below_each_other_and_whole(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "screen_columns", lambda: 50)
    lines = printed(capsys, HEADERS, ROWS)
    assert lines == [
        *(f"ID      {'1' * 36}", "WHO     alice", "REASON  short", ""),
        *(f"ID      {'2' * 36}", "WHO     b\\u202eob", f"REASON  {LONG}"),
    ]


def test_a_sentence_is_no_id(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "screen_columns", lambda: 60)
    lines = printed(capsys, ("ID", "CONDITION"), [("1" * 30, "words and words and words and words"), ("2" * 30, "")])
    assert lines[1] == f"{'1' * 30}  words and words and words a…"


def test_one_long_cell_makes_no_other_long(capsys: Captured) -> None:
    assert len(printed(capsys, ("A", "B"), [("x" * 100_000, "y"), ("z", "y")])[2]) < 100


EVENT = ["2026-11-28T09:00:00.000Z", "a.rather.long.type.of.event", "alice@example.org", "u" * 36, "s" * 500]


@pytest.mark.parametrize(("screen", "shows_uid"), [(80, False), (100, False), (140, True), (250, True), (None, True)])
def test_events_have_a_line_each_and_show_uids_where_there_is_room(screen: int | None, shows_uid: bool) -> None:
    columns = event_columns([EVENT], screen)
    line = cells(EVENT, columns)
    assert line.startswith("2026-11-28T09:00:00.000Z")
    assert ("u" * 36 in line) == shows_uid
    assert screen is None or width(line) <= screen
    assert screen is not None or "s" * 500 in line


def test_a_table_without_rows_says_so_beside_the_output(capsys: Captured) -> None:
    print_table(HEADERS, [], "nothing here")
    assert capsys.readouterr() == ("", "nothing here\n")


@pytest.mark.parametrize(
    ("count", "words", "text"),
    [(0, ("file",), "0 files"), (1, ("file",), "1 file"), (1234, ("batch", "batches"), "1,234 batches")],
)
def test_a_count_has_its_plural(count: int, words: tuple[str, ...], text: str) -> None:
    assert count_text(count, *words) == text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serach"], "Error: there is no command 'serach'; did you mean 'search'? (see: extaudit events --help)"),
        (["\x1b[2Jx"], "Error: there is no command '\\x1b[2Jx' (see: extaudit events --help)"),
        (
            ["search", "--ouput"],
            "Error: No such option '--ouput'. Did you mean '--output'? (see: extaudit events search ",
        ),
        (["search", "--from", "soon"], "Error: Invalid value for '--from': 'soon' is none; a time is RFC 3339 "),
        (
            ["search", "--to", "2026-11-01", "--from", "2026-11-02"],
            "Error: --from 2026-11-02T00:00:00.000Z must be before ",
        ),
        (
            ["search", "--from", "2026-11-01", "--to", "2026-11-01"],
            "Error: --from 2026-11-01T00:00:00.000Z must be before ",
        ),
        (["export", "--out", "-", "--from", "now", "--to", "-1h"], "Error: --from "),
        (["get"], "Error: Missing argument 'UID|LOG_ID:SEQUENCE' (see: extaudit events get --help)"),
        (["emit", "--file", "no\nsuch"], "Error: Invalid value for '--file': 'no"),
    ],
)
def test_wrong_usage_is_one_line_that_says_where_help_is(arguments: list[str], told: str, capsys: Captured) -> None:
    assert run(["events", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(told)
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("group", [[], ["events"], ["profile"]])
def test_a_group_alone_shows_its_help(group: list[str], capsys: Captured) -> None:
    assert run(group) == 2
    assert "Commands:" in capsys.readouterr().err


def test_a_denial_says_what_the_command_needs(service: FakeService, extaudit: Command) -> None:
    def deny(_: object) -> None:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "ACCESS_DENIED", "access denied")

    service.search = deny  # type: ignore[assignment]
    assert extaudit("events", "search").err == (
        "Error: access denied (ACCESS_DENIED); this needs event:list, and each of your roles to be loaded\n"
    )


def test_somebody_in_the_wrong_folder_is_told_what_to_give(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["status"]) == 1
    assert capsys.readouterr().err.startswith(
        "Error: no service is known here: there is no folder data; give --data-dir"
    )


def test_a_search_has_colours_only_where_they_are_asked_for(
    service: FakeService, extaudit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.search = lambda _: page(message(b'{"event":"t.x","code":"T1W","n":"\\u001b[2J"}'), missing=True)
    assert b"\x1b" not in extaudit("events", "search").out
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    out = extaudit("events", "search").out
    assert b"\x1b[33mt.x \x1b[0m" in out
    assert b"\x1b[33mINCOMPLETE: lost" in out
    assert b"n=\\x1b[2J" in out
    assert b"\x1b" not in extaudit("events", "search", "--output", "jsonl").out
    assert b"\x1b" not in extaudit("events", "search", "--output", "json").out


def test_a_long_user_is_whole_in_a_pipe(service: FakeService, extaudit: Command) -> None:
    row = message()
    row.user = "a.very.long.name@of.some.department.example"
    service.search = lambda _: page(row)
    assert row.user.encode() in extaudit("events", "search").out

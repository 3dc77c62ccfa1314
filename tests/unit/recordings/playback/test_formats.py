"""Recordings in formats of others."""

from __future__ import annotations

import base64
import json

from server.recordings.playback.formats import asciicast, json_lines, plain_text
from tests.unit.recordings.playback.recorded import BEGAN, Recorded, happened, printed

SHELL = [
    happened("session.start", size="100:30", login="root", server_hostname="web-1"),
    printed(b"$ ls\r\n", 1_500),
    happened("resize", 2_000, size="120:40"),
    printed(b"\x1b]52;c;ZXZpbA==\x07file\r\n", 2_250),
    happened("session.end", 3_000),
]


def test_an_asciicast_has_the_terminal_s_size_what_it_showed_and_nothing_unsafe() -> None:
    header, *events = [json.loads(line) for line in asciicast(SHELL)]
    assert header == {"version": 2, "width": 100, "height": 30, "timestamp": int(BEGAN.timestamp())}
    assert events == [[1.5, "o", "$ ls\r\n"], [2.0, "r", "120x40"], [2.25, "o", "file\r\n"]]


def test_an_asciicast_of_nothing_still_is_one() -> None:
    assert [json.loads(line) for line in asciicast([])] == [{"version": 2, "width": 80, "height": 24}]


def test_sizes_that_are_none_are_passed_over() -> None:
    for size in ("0:5", "99999:1", "x", "1:2:3", "", 5, None):
        header, *events = [json.loads(line) for line in asciicast([happened("session.start", size=size)])]
        assert (header["width"], header["height"], events) == (80, 24, [])


def test_times_never_go_backwards() -> None:
    events = [printed(b"a", 5_000), printed(b"b", 1_000), printed(b"c", -7)]
    lines = [json.loads(line) for line in asciicast(events)][1:]
    assert [line[0] for line in lines] == [5.0, 5.0, 5.0]


def test_a_time_beyond_any_session_is_none() -> None:
    events = [printed(b"a", 1_000), Recorded("print", BEGAN, 2**63 - 1, b"b"), printed(b"c", 2_000)]
    assert [json.loads(line)[0] for line in list(asciicast(events))[1:]] == [1.0, 1.0, 2.0]


def test_plain_text_has_times_and_what_else_happened() -> None:
    assert list(plain_text(SHELL)) == [
        "0:00:00.000  [session.start root web-1 100:30]",
        "0:00:01.500  $ ls",
        "0:00:02.000  [resize 120:40]",
        "0:00:02.250  file",
        "0:00:03.000  [session.end]",
    ]


def test_text_and_events_can_begin_later() -> None:
    assert list(plain_text(SHELL, 2_250)) == ["0:00:02.250  file", "0:00:03.000  [session.end]"]
    assert [json.loads(line)["event"] for line in json_lines(SHELL, 2_250)] == ["print", "session.end"]


def test_a_database_session_is_its_queries() -> None:
    events = [
        happened("db.session.start", db_service="orders", db_protocol="postgres"),
        happened("db.session.query", 61_005, db_query="SELECT 1\n; --\x1b", db_query_parameters=["a", "b"]),
    ]
    assert list(plain_text(events)) == [
        "0:00:00.000  [db.session.start orders postgres]",
        "0:01:01.005  [db.session.query SELECT 1\\n; --\\x1b a b]",
    ]


def test_json_lines_have_every_event_and_its_data() -> None:
    lines = [json.loads(line) for line in json_lines(SHELL)]
    assert [line["event"] for line in lines] == ["session.start", "print", "resize", "print", "session.end"]
    assert base64.b64decode(lines[1]["data"]) == b"$ ls\r\n"

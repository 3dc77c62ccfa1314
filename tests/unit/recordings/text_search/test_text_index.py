"""Which lines a search in recorded text finds."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from server.errors import DeadlineExceeded
from server.recordings.playback.lines import Line
from server.recordings.text_search.text_index import TextIndex, has_text
from server.recordings.text_search.text_query import MAX_LINE, IndexedRecording, TextQuery

LINES = [
    "$ SUDO reboot",
    "straße Ärger",
    'say "quoted" text',
    "100% of_it",
    "a NEAR b AND c OR d NOT e",
    "C:\\path\\*",
    "日本語のテキスト",
    "tab(x);--",
    "col:umn ^start -minus +plus {brace}",
]


def added(index: TextIndex, upload: str, lines: list[str], started_ms: int = 0, user: str = "", note: str = "") -> None:
    addition = index.add(upload, f"session of {upload}")
    addition.add(Line(at * 10, line) for at, line in enumerate(lines))
    addition.end(started_ms, user, note)


def found(index: TextIndex, text: str, **filters: object) -> list[str]:
    query = TextQuery(text, **filters)  # type: ignore[arg-type]
    hits = index.find(query, None, 1000, time.monotonic() + 30)
    return [hit.line for hit in hits if has_text(hit, text)]


@pytest.fixture
def index(tmp_path: Path) -> TextIndex:
    return TextIndex(tmp_path / "text.sqlite")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("sudo", [0]),
        ("STRAß", [1]),
        ("ärger", []),
        ("Ärger", [1]),
        ("strasse", []),
        ('"quoted"', [2]),
        ('y "q', [2]),
        ("0% ", [3]),
        ("f_i", [3]),
        ("fxi", []),
        ("near B and", [4]),
        ("NOT e", [4]),
        ("\\path\\*", [5]),
        ("path\\", [5]),
        ("本語の", [6]),
        ("x);--", [7]),
        ("col:umn ^start", [8]),
        ("-minus +plus {", [8]),
        ("nowhere", []),
    ],
)
def test_a_line_is_found_by_any_text_in_it_with_a_to_z_in_either_case(
    index: TextIndex, text: str, lines: list[int]
) -> None:
    added(index, "u", LINES)
    assert found(index, text) == [LINES[at] for at in lines]


def test_newest_recordings_come_first_and_their_lines_in_order(index: TextIndex) -> None:
    added(index, "old", ["one x1x", "two x1x"], started_ms=1000)
    added(index, "new", ["three x1x", "four x1x"], started_ms=2000)
    added(index, "same", ["five x1x"], started_ms=2000)
    assert found(index, "x1x") == ["five x1x", "three x1x", "four x1x", "one x1x", "two x1x"]


def test_pages_of_any_size_give_each_line_once(index: TextIndex) -> None:
    for upload in range(5):
        added(index, f"u{upload}", [f"line {upload} {at}" for at in range(7)], started_ms=upload // 2)
    query = TextQuery("line")
    whole = index.find(query, None, 1000, time.monotonic() + 30)
    assert len(whole) == 35
    for size in (1, 2, 5, 34, 35):
        hits, after = [], None
        while page := index.find(query, after, size, time.monotonic() + 30):
            hits += page
            after = page[-1].position
        assert hits == whole


def test_filters(index: TextIndex) -> None:
    added(index, "a", ["text of a"], started_ms=1000, user="alice")
    added(index, "b", ["text of b"], started_ms=2000, user="bob")
    assert found(index, "text", users=frozenset({"alice", "o'hara"})) == ["text of a"]
    assert found(index, "text", from_ms=1001) == ["text of b"]
    assert found(index, "text", to_ms=2000) == ["text of a"]
    assert found(index, "text", from_ms=1000, to_ms=2001) == ["text of b", "text of a"]


def test_a_recording_that_is_given_up_is_not_there(index: TextIndex) -> None:
    addition = index.add("u", "s")
    addition.add([Line(0, "some text")])
    addition.give_up()
    assert (index.count(), index.indexed(), found(index, "some")) == (0, set(), [])
    added(index, "u", ["some text"])
    assert found(index, "some") == ["some text"]


def test_a_recording_that_is_being_added_is_not_there_yet(index: TextIndex) -> None:
    """Else a search meanwhile would neither find its lines nor tell that it misses them."""
    addition = index.add("one", "its session")
    addition.add([Line(0, "some line")])
    assert (index.indexed(), index.count(), found(index, "line")) == (set(), 0, [])
    addition.end(0, "", "")
    assert (index.indexed(), index.count(), found(index, "line")) == ({"one"}, 1, ["some line"])


def test_what_is_not_wholly_there_is_told(index: TextIndex) -> None:
    added(index, "u", ["text"])
    added(index, "v", ["text"], note="2 places of it couldn't be read")
    assert index.notes(10) == (1, [("session of v", "2 places of it couldn't be read")])
    assert index.indexed() == {"u", "v"}


def test_long_lines_are_cut(index: TextIndex) -> None:
    added(index, "u", ["abc" + "x" * 5000])
    (line,) = found(index, "abc")
    assert len(line) == MAX_LINE


def test_it_outlives_a_restart(index: TextIndex, tmp_path: Path) -> None:
    added(index, "u", ["kept text"])
    index.close()
    assert found(TextIndex(tmp_path / "text.sqlite"), "kept") == ["kept text"]


def test_of_what_is_let_go_nothing_is_left_in_the_file(index: TextIndex, tmp_path: Path) -> None:
    """Neither the lines, nor the groups of three of which the full-text index is made."""

    def in_files(text: str) -> bool:
        return any(text.encode() in path.read_bytes() for path in tmp_path.iterdir())

    started = {"gone": 1, "kept": 2, "interrupted": 3}
    for upload, ms in started.items():
        added(index, upload, [f"{upload} 龘靐齉"], ms, user=f"user of {upload}")
    assert all(in_files(text) for text in ("gone 龘靐齉", "user of gone"))
    index.let_go(["gone"], lambda: True)
    index.let_go(["interrupted"], lambda: False)
    assert (found(index, "gone"), found(index, "interrupted"), found(index, "kept")) == ([], [], ["kept 龘靐齉"])
    assert (index.count_expired(None, None), index.notes(9)) == (2, (0, []))
    assert index.gone() == {"gone": True, "interrupted": False}
    assert [index.count_expired(*began) for began in ((1, 3), (2, None), (None, 1))] == [1, 1, 0]
    index.let_go(["interrupted", "kept"], lambda: True)
    assert index.gone() == dict.fromkeys(started, True)
    assert not any(in_files(text) for text in ("user of", "gone 龘", "kept 龘", "interrupted 龘", "龘", "齉"))
    index.take_back(["gone", "kept"])
    assert index.indexed() == {"interrupted"}


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b"", None], ids=["other bytes", "none", "a FIFO"])
def test_a_damaged_file_is_thrown_away_and_can_be_filled_again(tmp_path: Path, damage: bytes | None) -> None:
    index = TextIndex(tmp_path / "text.sqlite")
    added(index, "u", ["old text"])
    index.close()
    (tmp_path / "text.sqlite").unlink()
    if damage is None:
        os.mkfifo(tmp_path / "text.sqlite")
    else:
        (tmp_path / "text.sqlite").write_bytes(damage)
    again = TextIndex(tmp_path / "text.sqlite")
    assert again.count() == 0
    added(again, "u", ["new text"])
    assert found(again, "text") == ["new text"]


def test_a_file_of_another_version_is_made_anew(index: TextIndex, tmp_path: Path) -> None:
    added(index, "u", ["text"])
    index.close()
    with sqlite3.connect(tmp_path / "text.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert TextIndex(tmp_path / "text.sqlite").indexed() == set()


def test_a_file_whose_making_was_stopped_anywhere_opens_and_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a kill before any statement leaves it, which is no damage; or one of a version that made each by itself."""
    making, left = tmp_path / "making", list[Path]()
    making.mkdir()
    connect = sqlite3.connect

    def keep(statement: str) -> None:
        left.append(tmp_path / f"{len(left)} {statement.split()[0]}")
        shutil.copytree(making, left[-1])

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(keep)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", traced)
        made = TextIndex(making / "text.sqlite")
        added(made, "before", ["old text"])
        made.close()
    assert [path.name.split()[1] for path in left].count("CREATE") >= 3
    left.append(tmp_path / "made by itself")
    left[-1].mkdir()
    connection = connect(left[-1] / "text.sqlite", isolation_level=None)
    connection.execute("CREATE TABLE recordings (number)")
    connection.close()
    for folder in left:
        index = TextIndex(folder / "text.sqlite")
        assert index.indexed() in (set(), {"before"}), folder
        added(index, "after", ["new text"])
        assert found(index, "new") == ["new text"]
        index.close()
        assert bool(caplog.records) == (folder.name == "made by itself"), folder


def test_a_search_ends_with_its_time_or_when_nobody_waits_for_it_any_more(index: TextIndex) -> None:
    added(index, "u", [f"line {at} of many" for at in range(20_000)])
    with pytest.raises(DeadlineExceeded):
        index.find(TextQuery("line"), None, 1000, time.monotonic() - 1)
    with pytest.raises(DeadlineExceeded):
        index.find(TextQuery("line"), None, 1000, time.monotonic() + 600, lambda: True)


def test_the_file_is_for_the_service_alone(index: TextIndex, tmp_path: Path) -> None:
    added(index, "u", ["text"])
    assert (tmp_path / "text.sqlite").stat().st_mode & 0o777 == 0o600


def test_what_is_read_of_some_recordings_is_theirs_whatever_became_of_the_index(index: TextIndex) -> None:
    def found_in(recordings: list[IndexedRecording]) -> list[str]:
        return [hit.line for hit in index.find_in(recordings, "X1x", None, 1000, time.monotonic() + 30)]

    def recordings() -> list[IndexedRecording]:
        return index.recordings(TextQuery("any"), None, 10, None)

    added(index, "seen", ["seen x1x", "other"])
    added(index, "gone", ["gone x1x", "gone x1X"], started_ms=1)
    gone, seen = recordings()
    assert [gone.upload_id, seen.upload_id] == ["gone", "seen"]
    assert found_in([seen]) == ["seen x1x"]
    index.let_go({"gone"}, lambda: True)
    added(index, "hidden", ["hidden x1x", "more x1x"], started_ms=2)  # with the numbers of lines that are free now
    hidden = recordings()[0]
    assert (hidden.first_line, hidden.lines) == (gone.first_line, 2)
    assert recordings() == [hidden, seen]
    assert found_in([gone]) == []
    index.forget_all()
    added(index, "hidden", ["hidden x1x"])
    assert found_in([seen]) == []

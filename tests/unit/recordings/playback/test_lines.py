"""Lines of text are what a person read on the terminal."""

from __future__ import annotations

import pytest

from server.recordings.playback.lines import MAX_COLUMNS, Line, LineReader

CASES = {
    "lines": (b"one\r\ntwo\r\n", ["one", "two"]),
    "no end": (b"$ ls", ["$ ls"]),
    "empty lines": (b"\r\n \r\na\r\n", ["a"]),
    "typed and corrected": (b"$ rm\b \b\b \bls\r\n", ["$ ls"]),
    "corrected by sequences": (b"$ abc\x1b[2D\x1b[Kx\r\n", ["$ ax"]),
    "overwritten": (b"10%\r100%\r\n", ["100%"]),
    "erased": (b"secret\r\x1b[Kshown\r\n", ["shown"]),
    "erased to the left": (b"abc\x1b[1Kd\r\n", ["   d"]),
    "deleted": (b"abcdef\r\x1b[2P\r\n", ["cdef"]),
    "inserted": (b"ad\b\x1b[2@bc\r\n", ["abcd"]),
    "blanked": (b"abc\r\x1b[2Xx\r\n", ["x c"]),
    "tabs": (b"a\tb\r\n", ["a       b"]),
    "colours": (b"\x1b[1;31mred\x1b[0m\r\n", ["red"]),
    "title": (b"\x1b]0;title\x07$ \r\n", ["$"]),
    "another row": (b"one\x1b[5;1Htwo\x1b[Athree", ["one", "two", "three"]),
    "alternate screen": (b"$ vim\x1b[?1049hfile\x1b[?1049l$ ", ["$ vim", "file", "$"]),
    "bidi": ("a\u202eb\r\n".encode(), ["a\\u202eb"]),
}


@pytest.mark.parametrize(("data", "lines"), CASES.values(), ids=CASES)
def test_lines_are_as_they_were_read(data: bytes, lines: list[str]) -> None:
    reader = LineReader()
    found = [line.text for line in (*reader.feed(data, 0), *reader.finish(0))]
    assert found == lines


def test_a_line_has_the_time_of_its_first_character() -> None:
    reader = LineReader()
    found = [*reader.feed(b"$ ", 100), *reader.feed(b"ls\r\n", 900), *reader.feed(b"file\r\n", 1000)]
    assert found == [Line(100, "$ ls"), Line(1000, "file")]


@pytest.mark.parametrize(
    "data", [b"x" * 10_000, b"\x1b[9999C" * 50 + b"x", b"\x1b[9999@" * 50, b"ab\r" + b"\x1b[9999@" * 50]
)
def test_a_line_is_bounded(data: bytes) -> None:
    reader = LineReader()
    found = [*reader.feed(data, 0), *reader.finish(0)]
    assert all(len(line.text) <= MAX_COLUMNS for line in found)


def test_a_long_line_becomes_several_and_loses_nothing() -> None:
    reader = LineReader()
    text = "".join(chr(97 + at % 26) for at in range(10_000))
    assert "".join(line.text for line in (*reader.feed(text.encode(), 0), *reader.finish(0))) == text

"""Which text of a recording is indexed, and that what isn't is told."""

from __future__ import annotations

import pytest
from extaudit.recording.v1 import recorded_event_pb2 as pb

from server.recordings.format.reader import read_recording
from server.recordings.format.writer import RecordingWriter
from server.recordings.text_search import recorded_text
from server.recordings.text_search.recorded_text import RecordedText
from server.recordings.text_search.text_query import MAX_LINE, MOST_CHARACTERS


def lines_of(*messages: pb.SessionPrint | pb.DatabaseSessionQuery) -> tuple[list[str], RecordedText]:
    writer, text = RecordingWriter(), RecordedText()
    data = b"".join(map(writer.add, messages)) + writer.finish()
    lines = [line.text for line in text.lines(read_recording([data]))]
    return lines + [line.text for line in text.finish()], text


def printed(data: str) -> pb.SessionPrint:
    message = pb.SessionPrint(data=data.encode())
    message.metadata.type = "print"
    message.metadata.time.FromSeconds(1_790_000_000)
    return message


def asked(query: str) -> pb.DatabaseSessionQuery:
    message = pb.DatabaseSessionQuery(database_query=query)
    message.metadata.type = "db.session.query"
    message.metadata.time.FromSeconds(1_790_000_000)
    return message


@pytest.mark.parametrize("length", [1, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 2 * MAX_LINE, 3000, 10_000])
def test_every_text_that_may_be_looked_for_is_whole_in_a_piece_of_a_long_line(length: int) -> None:
    query = "".join(chr(0x4E00 + at) for at in range(length))
    pieces, text = lines_of(asked(query))
    assert max(map(len, pieces)) <= MAX_LINE
    assert (len(pieces) == 1) == (length <= MAX_LINE)
    for start in range(max(length - MOST_CHARACTERS, 0) + 1):
        assert any(query[start : start + MOST_CHARACTERS] in piece for piece in pieces)
    assert not text.is_cut


def test_control_characters_of_queries_are_spaces_and_hide_nothing() -> None:
    assert lines_of(asked("a\x00b\tc\nd\x1be\x7ff"))[0] == ["a b c", "d e f"]


def test_what_is_beyond_the_most_lines_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_text, "MAX_LINES", 2)
    assert not lines_of(printed("one\r\ntwo\r\n"))[1].is_cut
    lines, text = lines_of(printed("one\r\ntwo\r\nthree\r\n"))
    assert (lines, text.is_cut) == (["one", "two"], True)


def test_few_bytes_that_print_very_many_characters_are_cut_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_text, "MAX_CHARACTERS", 10_000)
    lines, text = lines_of(printed("\x1b[1000Cx\r\n" * 1000))
    assert sum(map(len, lines)) <= 10_000
    assert text.is_cut

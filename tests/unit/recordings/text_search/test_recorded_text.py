"""Which lines of a recording can be found."""

from __future__ import annotations

from extaudit.recording.v1 import recorded_event_pb2 as pb

from server.recordings.format.reader import RecordingReader
from server.recordings.format.writer import RecordingWriter
from server.recordings.text_search.recorded_text import RecordedText


def lines_of_query(query: str) -> list[str]:
    message = pb.DatabaseSessionQuery(database_query=query)
    message.metadata.type = "db.session.query"
    message.metadata.time.FromSeconds(1_790_000_000)
    writer, reader, text = RecordingWriter(), RecordingReader(), RecordedText()
    data = writer.add(message) + writer.finish()
    items = [*reader.feed(data), *reader.finish()]
    return [line.text for line in (*text.lines(items), *text.finish())]


def test_a_query_hides_nothing_behind_control_characters() -> None:
    assert lines_of_query("select\t1 \x00 from \x1b\x9bhidden\x7f") == ["select 1  from hidden"]


def test_a_query_of_several_lines_is_several_lines_without_the_empty_ones() -> None:
    assert lines_of_query("select 1\n\n \x00\nfrom t") == ["select 1", "from t"]

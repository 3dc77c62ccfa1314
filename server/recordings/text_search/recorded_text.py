"""From the items of a recording to the lines of text that can be found in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from server.recordings.format.items import Damage, EncryptedPart
from server.recordings.format.reader import Item
from server.recordings.format.recorded_event import PRINT, RecordedEvent
from server.recordings.playback.lines import Line, LineReader
from server.recordings.playback.session_events import LONGEST_MS
from server.recordings.playback.terminal_filter import shown
from server.recordings.text_search.text_query import MAX_LINE, MOST_CHARACTERS

MAX_LINES: Final = 1_000_000
"""Lines of one recording; more aren't indexed, which is told."""
MAX_CHARACTERS: Final = 32 << 20
"""Characters of one recording's lines; more aren't indexed, which is told. Few bytes can print very many."""
_STEP: Final = MAX_LINE - MOST_CHARACTERS + 1
"""From piece to piece of a long line: pieces overlap so that every text that may be looked for is whole in one."""
_SPACES: Final = dict.fromkeys((*range(32), *range(127, 160)), " ")
"""Control characters: nobody can look for them, and SQLite's index reads no further than a NUL."""
_SEARCHED: Final = {
    "db.session.query": ("db_query",),
    "db.session.query.failed": ("db_query",),
    "session.command": ("path", "argv"),
    "exec": ("command",),
    "app.session.request": ("method", "path", "raw_query"),
}
"""The members that can be found, by an event's type."""
_NS: Final = 1_000_000
_FIRST_TIME_NS: Final = 0
"""Events without a time have one before this."""


class RecordedText:
    """Reads one recording. Its memory is bounded by a line."""

    def __init__(self) -> None:
        self._lines = LineReader()
        self._count = 0
        self._characters = 0
        self._offset_ms = 0
        self.started_ms: int | None = None
        """When its first event with a time was, in ms since 1970."""
        self.user = ""
        """The user whose session it was, as its first event with one says."""
        self.is_cut = False
        """Not all of its lines were given."""
        self.unread = 0
        """Places that couldn't be read, encrypted parts among them."""

    def lines(self, items: Iterable[Item]) -> Iterator[Line]:
        """The lines that are whole with these items."""
        for item in items:
            if isinstance(item, RecordedEvent):
                yield from self._counted(self._of_event(item))
            elif isinstance(item, Damage | EncryptedPart):
                self.unread += 1

    def finish(self) -> Iterator[Line]:
        """The last line, if it has no end."""
        yield from self._counted(self._lines.finish(self._offset_ms))

    def _counted(self, lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            for piece in _pieces(line.text):
                if self._count >= MAX_LINES or self._characters + len(piece) > MAX_CHARACTERS:
                    self.is_cut = True
                    return
                self._count += 1
                self._characters += len(piece)
                yield Line(line.offset_ms, piece)

    def _of_event(self, event: RecordedEvent) -> Iterator[Line]:
        if self.started_ms is None and event.time_ns >= _FIRST_TIME_NS:
            self.started_ms = event.time_ns // _NS
        if event.variant == PRINT:
            self._reach(event.delay_ms)
            return self._lines.feed(event.data, self._offset_ms)
        return self._of_fields(event)

    def _reach(self, offset_ms: int) -> None:
        """Go on to a time, if it may be one: a false one mustn't spoil those that follow."""
        if 0 <= offset_ms <= LONGEST_MS:
            self._offset_ms = offset_ms

    def _of_fields(self, event: RecordedEvent) -> Iterator[Line]:
        if event.type not in _SEARCHED and self.user:
            return
        fields = json.loads(event.json)
        self.user = self.user or _text(fields.get("user"))
        if self.started_ms is not None:
            self._reach(event.time_ns // _NS - self.started_ms)
        for member in _SEARCHED.get(event.type, ()):
            for text in _text(fields.get(member)).splitlines():
                # The full-text index reads no further than a NUL, and lines are promised without control characters.
                if plain := shown(text.translate(_SPACES)).strip():
                    yield Line(self._offset_ms, plain)


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, max(len(text) - MAX_LINE, 0) + _STEP, _STEP):
        yield text[start : start + MAX_LINE]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return value if isinstance(value, str) else ""

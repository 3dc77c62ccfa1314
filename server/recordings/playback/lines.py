"""What a terminal showed, as lines of text: enough of a terminal to read what was typed, corrected and printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from server.recordings.playback.sequences import Control, ControlSequence, EscapeSequence, SequenceReader, Text, Token
from server.recordings.playback.terminal_filter import shown

MAX_COLUMNS: Final = 4_096
"""Characters of one line; a longer one becomes several."""
_ROWS: Final = frozenset("ABEFHfdeJLMSTr")
"""Sequences that lead to another line or change others: the line so far is given as it is."""
_ALTERNATE_SCREEN: Final = frozenset({47, 1047, 1049})


@dataclass(frozen=True, slots=True)
class Line:
    """One line that was shown; `offset_ms` is when its first character was, since the session began."""

    offset_ms: int
    text: str


class LineReader:
    """Makes lines of what a terminal was sent. Its memory is bounded by a line."""

    def __init__(self) -> None:
        self._reader = SequenceReader()
        self._cells: list[str] = []
        self._column = 0
        self._offset_ms = 0

    def feed(self, data: bytes, offset_ms: int) -> Iterator[Line]:
        """The lines that are whole with what was sent at this time."""
        yield from self._read(self._reader.feed(data), offset_ms)

    def finish(self, offset_ms: int) -> Iterator[Line]:
        """The last line, if it has no end."""
        yield from self._read(self._reader.finish(), offset_ms)
        yield from self._end_line()

    def _read(self, tokens: Iterable[Token], offset_ms: int) -> Iterator[Line]:
        for token in tokens:
            match token:
                case Text(text=text):
                    yield from self._write(text, offset_ms)
                case Control(character="\n" | "\v" | "\f"):
                    yield from self._end_line()
                case Control(character=character):
                    self._move(character)
                case ControlSequence() if self._leaves_line(token):
                    yield from self._end_line()
                case ControlSequence(private="", intermediate=""):
                    self._edit(token)
                case EscapeSequence(intermediate="", final="D" | "E" | "M" | "c"):
                    yield from self._end_line()

    def _write(self, text: str, offset_ms: int) -> Iterator[Line]:
        while text:
            if not self._cells:
                self._offset_ms = offset_ms
            room = MAX_COLUMNS - self._column
            piece, text = text[:room], text[room:]
            self._pad()
            self._cells[self._column : self._column + len(piece)] = piece
            self._column += len(piece)
            if self._column >= MAX_COLUMNS:
                yield from self._end_line()

    def _end_line(self) -> Iterator[Line]:
        text = shown("".join(self._cells)).rstrip()
        self._cells, self._column = [], 0
        if text:
            yield Line(self._offset_ms, text)

    def _move(self, character: str) -> None:
        match character:
            case "\r":
                self._column = 0
            case "\b":
                self._column = max(self._column - 1, 0)
            case "\t":
                self._to(self._column // 8 * 8 + 8)

    def _leaves_line(self, sequence: ControlSequence) -> bool:
        if sequence.private == "?" and sequence.final in "hl":
            return not _ALTERNATE_SCREEN.isdisjoint(_bounded(sequence, 0))
        return not sequence.private and not sequence.intermediate and sequence.final in _ROWS

    def _edit(self, sequence: ControlSequence) -> None:
        count = max(_bounded(sequence, 1)[0], 1)
        match sequence.final:
            case "C" | "a":
                self._to(self._column + count)
            case "D":
                self._to(self._column - count)
            case "G" | "`":
                self._to(count - 1)
            case "K":
                self._erase(_bounded(sequence, 0)[0])
            case "P":
                del self._cells[self._column : self._column + count]
            case "@":
                self._pad()
                self._cells[self._column : self._column] = " " * min(count, MAX_COLUMNS - len(self._cells))
            case "X":
                self._blank(self._column, self._column + count)

    def _erase(self, which: int) -> None:
        if which == 0:
            del self._cells[self._column :]
        elif which == 1:
            self._blank(0, self._column + 1)
        else:
            self._cells = []

    def _blank(self, start: int, end: int) -> None:
        end = min(end, len(self._cells))
        self._cells[start:end] = " " * max(end - start, 0)

    def _to(self, column: int) -> None:
        self._column = min(max(column, 0), MAX_COLUMNS - 1)

    def _pad(self) -> None:
        self._cells += " " * (self._column - len(self._cells))


def _bounded(sequence: ControlSequence, default: int) -> list[int]:
    return [min(number, MAX_COLUMNS) for number in sequence.numbers(default)]

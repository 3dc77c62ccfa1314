"""What a terminal was sent, taken apart: text, controls and control sequences. Knows the form, not the meaning.

Forms are those of ECMA-48, introducers also in their 8-bit form. Strings (of OSC, DCS, APC, PM and SOS) are never
given: no display needs them, and terminals act on them.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_SEQUENCE: Final = 64
"""Characters of one control sequence; a longer one is none, and what follows is text."""
MAX_STRING: Final = 65_536
"""Characters of one string; what follows is text, so that a string without an end hides no more than that."""

_ESCAPE: Final = "\x1b"
_INTRODUCERS: Final = {"\x9b": "[", "\x9d": "]", "\x90": "P", "\x98": "X", "\x9e": "^", "\x9f": "_"}
"""8-bit controls and the second character of their 7-bit form."""
_STRINGS: Final = frozenset("]PX^_")
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f"
_TEXT: Final = re.compile(rf"[^{_CONTROLS}]+")
_STRING_END: Final = re.compile(r"[\x07\x18\x1a\x1b\x9c]")
_CSI: Final = re.compile(r"([<-?]?)([0-9;:]*)([ -/]*)([@-~])")
_CSI_BEGUN: Final = re.compile(r"[<-?]?[0-9;:]*[ -/]*")
_PLAIN: Final = re.compile(r"([ -/]*)([0-~])")
_PLAIN_BEGUN: Final = re.compile(r"[ -/]*")


@dataclass(frozen=True, slots=True)
class Text:
    """Characters to show; no control is among them."""

    text: str


@dataclass(frozen=True, slots=True)
class Control:
    """One control character, such as a carriage return."""

    character: str


@dataclass(frozen=True, slots=True)
class ControlSequence:
    """A sequence that CSI introduces."""

    private: str
    """`?`, `>`, `=`, `<` or ''."""
    parameters: str
    """Digits, `;` and `:`."""
    intermediate: str
    final: str

    def numbers(self, default: int) -> list[int]:
        """The parameters as numbers, `default` for those left out; without subparameters."""
        return [int(each.split(":")[0] or default) for each in self.parameters.split(";")]


@dataclass(frozen=True, slots=True)
class EscapeSequence:
    """A sequence that ESC alone introduces."""

    intermediate: str
    final: str


Token = Text | Control | ControlSequence | EscapeSequence


class SequenceReader:
    """Takes a terminal's input apart, piece by piece; how it is cut into pieces makes no difference.

    Bytes that are no UTF-8 become U+FFFD. Its memory is bounded by one sequence and one piece.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""
        """A sequence that isn't whole yet, from its ESC."""
        self._string_left = 0
        """How much longer the string may be that is being passed over; 0 outside of one."""

    def feed(self, data: bytes) -> Iterator[Token]:
        """The tokens that are whole with this piece. Must be read to its end before the next call."""
        yield from self._read(self._begun + self._decoder.decode(data))

    def finish(self) -> Iterator[Token]:
        """The tokens that were not whole, as far as they are some."""
        yield from self._read(self._begun + self._decoder.decode(b"", final=True))
        self._begun = ""
        self._string_left = 0

    def _read(self, text: str) -> Iterator[Token]:
        self._begun = ""
        at = 0
        while at < len(text):
            if self._string_left:
                at = self._pass_over(text, at)
            elif found := _TEXT.match(text, at):
                yield Text(found.group())
                at = found.end()
            elif text[at] == _ESCAPE or text[at] in _INTRODUCERS:
                token, end = self._sequence(text, at)
                if end < 0:
                    self._begun = text[at:]
                    return
                if token is not None:
                    yield token
                at = end
            else:
                yield Control(text[at])
                at += 1

    def _pass_over(self, text: str, at: int) -> int:
        """Where the string ends, or the piece does."""
        limit = at + self._string_left
        found = _STRING_END.search(text, at, limit)
        if found is None:
            self._string_left -= min(len(text), limit) - at
            return min(len(text), limit)
        self._string_left = 0
        # An escape is read as one: with `\\` it is the string's end, else it begins something else.
        return found.start() if found.group() == _ESCAPE else found.end()

    def _sequence(self, text: str, at: int) -> tuple[Token | None, int]:
        """The sequence that begins here and where it ends; -1 if it isn't whole."""
        if text[at] == _ESCAPE:
            if at + 1 == len(text):
                return None, -1
            introducer, body = text[at + 1], at + 2
        else:
            introducer, body = _INTRODUCERS[text[at]], at + 1
        if introducer in _STRINGS:
            self._string_left = MAX_STRING
            return None, body
        if introducer == "[":
            return _control_sequence(text, body)
        return _escape_sequence(text, at + 1)


def _control_sequence(text: str, at: int) -> tuple[Token | None, int]:
    if found := _CSI.match(text, at, at + MAX_SEQUENCE):
        return ControlSequence(*found.groups()), found.end()
    return None, _end_of_none(_CSI_BEGUN, text, at)


def _escape_sequence(text: str, at: int) -> tuple[Token | None, int]:
    if found := _PLAIN.match(text, at, at + MAX_SEQUENCE):
        return EscapeSequence(*found.groups()), found.end()
    return None, _end_of_none(_PLAIN_BEGUN, text, at)


def _end_of_none(begun: re.Pattern[str], text: str, at: int) -> int:
    """Where what isn't a sequence ends; -1 if it may still become one."""
    found = begun.match(text, at, at + MAX_SEQUENCE)
    end = at if found is None else found.end()
    return -1 if end == len(text) and end - at < MAX_SEQUENCE else end

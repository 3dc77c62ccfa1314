"""What of a recording may reach the terminal that plays it: what draws, and nothing that asks, sets or sends.

By a list of what may pass, since terminals differ in what else they know. Whoever is recorded chooses what their
terminal is sent, so a recording can be made to attack whoever plays it: by the clipboard, the window's title, answers
to queries that land in the shell's input.
"""

from __future__ import annotations

import re
from typing import Final

from server.recordings.playback.sequences import (
    Control,
    ControlSequence,
    EscapeSequence,
    SequenceReader,
    Text,
    Token,
)

_CONTROLS: Final = frozenset("\b\t\n\v\f\r\x0e\x0f")
_CURSOR_AND_TEXT: Final = frozenset("@ABCDEFGHILMPXZ`abdefrs") | frozenset("mu")
"""Cursor movement, insertion and deletion, scroll region, colours, saving and restoring the cursor."""
_ERASES: Final = frozenset("JK")
_SCROLLS: Final = frozenset("ST")
_MODES: Final = {
    **{("?", each): "l" for each in (47, 1047, 1049)},
    ("", 4): "l",
    ("?", 5): "l",
    ("?", 6): "l",
    ("?", 7): "h",
    ("?", 25): "h",
}
"""The alternate screen, insertion, reverse video, origin, wrap, the cursor shown; and how each is to begin with."""
_ESCAPES: Final = frozenset({("", each) for each in "78DEM"} | {(side, each) for side in "()" for each in "0AB"})
"""Saving and restoring the cursor, moving by lines, line drawing characters."""
_MAX_NUMBER: Final = 9_999
_HIDDEN: Final = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e0fff]")
"""Characters that turn the direction of what follows, or show nothing and carry text all the same."""


class TerminalFilter:
    """Filters a terminal's input, piece by piece. Its memory is bounded."""

    def __init__(self) -> None:
        self._reader = SequenceReader()
        self._changed: set[tuple[str, int]] = set()
        self._has_region = False

    def feed(self, data: bytes) -> str:
        """What of this piece may be written to a terminal."""
        return "".join(map(self._passed, self._reader.feed(data)))

    def finish(self) -> str:
        """What is left at the end."""
        return "".join(map(self._passed, self._reader.finish()))

    def restoring(self) -> str:
        """What brings the terminal back from all that it was told so far, with the cursor where it is."""
        modes = [mode for mode in _MODES if mode in self._changed]  # the alternate screen first: it moves the cursor
        region = "\x1b7\x1b[r\x1b8" if self._has_region else ""
        ends = "".join(f"\x1b[{kind}{mode}{_MODES[kind, mode]}" for kind, mode in modes)
        return f"{ends}{region}\x1b(B\x1b)B\x0f\x1b[0m"

    def _passed(self, token: Token) -> str:
        match token:
            case Text(text=text):
                return shown(text)
            case Control(character=character):
                return character if character in _CONTROLS else ""
            case ControlSequence():
                return self._passed_sequence(token)
            case EscapeSequence(intermediate=intermediate, final=final):
                return f"\x1b{intermediate}{final}" if (intermediate, final) in _ESCAPES else ""

    def _passed_sequence(self, sequence: ControlSequence) -> str:
        if sequence.intermediate or max(_numbers(sequence)) > _MAX_NUMBER:
            return ""
        if sequence.final in "hl":
            return self._passed_modes(sequence)
        if not _draws(sequence):
            return ""
        self._has_region |= sequence.final == "r"
        return f"\x1b[{sequence.private}{sequence.parameters}{sequence.final}"

    def _passed_modes(self, sequence: ControlSequence) -> str:
        modes = [mode for each in sequence.numbers(0) if (mode := (sequence.private, each)) in _MODES]
        for mode in modes:
            (self._changed.discard if _MODES[mode] == sequence.final else self._changed.add)(mode)
        numbers = ";".join(str(number) for _, number in modes)
        return f"\x1b[{sequence.private}{numbers}{sequence.final}" if modes else ""


def shown(text: str) -> str:
    """Text with its hidden characters written out, such as `\\u202e`."""
    return text if text.isascii() else _HIDDEN.sub(_escaped, text)


def _draws(sequence: ControlSequence) -> bool:
    if sequence.final in _ERASES:
        # 3 would erase what the terminal has kept of before.
        return sequence.private in ("", "?") and all(number in (0, 1, 2) for number in sequence.numbers(0))
    if sequence.private:
        return False
    if sequence.final in _SCROLLS:
        return ";" not in sequence.parameters  # with more it is about the mouse
    if sequence.final in "su":
        return not sequence.parameters
    return sequence.final in _CURSOR_AND_TEXT


def _numbers(sequence: ControlSequence) -> list[int]:
    return [int(each) for each in re.split("[;:]", sequence.parameters) if each] or [0]


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

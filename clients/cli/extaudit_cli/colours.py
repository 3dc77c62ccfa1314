"""Colours for people at a terminal; what is piped into a file or another program has none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Final, Literal

import click

Style = Literal["heading", "quiet", "plain", "good", "warning", "bad"]
"""What a text is to the reader: what it looks like follows from that, everywhere alike."""

_CODES: Final[Mapping[Style, str]] = {
    "heading": "1",
    "quiet": "2",
    "plain": "36",
    "good": "32",
    "warning": "33",
    "bad": "31",
}


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours texts for one stream, or leaves them as they are."""

    enabled: bool

    @classmethod
    def for_stream(cls, stream: IO[str], environment: Mapping[str, str] = os.environ) -> Paint:
        """Decide for a stream. The first that applies holds:

        1. NO_COLOR, if it isn't empty: no colours.
        2. CLICOLOR_FORCE, if it is neither empty nor 0: colours, even into a pipe (for `less -R`).
        3. The stream is no terminal, CLICOLOR is 0, or TERM is dumb: no colours.
        """
        if environment.get("NO_COLOR"):
            return cls(False)
        if environment.get("CLICOLOR_FORCE", "0") not in ("", "0"):
            return cls(True)
        allowed = environment.get("CLICOLOR") != "0" and environment.get("TERM") != "dumb"
        return cls(allowed and stream.isatty())

    def __call__(self, text: str, style: Style) -> str:
        """Give the text in a style. It must have been made visible before: a colour is never told from its escapes."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.enabled and text else text

    def echo(self, line: str, *, err: bool = False) -> None:
        """Print a line that was painted."""
        click.echo(line, err=err, color=self.enabled)


def event_style(code: object, success: object) -> Style:
    """The style of an event's type, from its members `code` (Teleport's end in I, W or E) and `success`."""
    severity = code[-1:] if isinstance(code, str) else ""
    if severity == "E":
        return "bad"
    return "warning" if severity == "W" or success is False else "plain"

"""How far an export is, for people who watch."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import click

from extaudit_cli.search_summary import describe
from extaudit_cli.text import count_text
from extaudit_cli.transfers import size_text

if TYPE_CHECKING:
    from extaudit_client import MissingPart

_WATCHED_SECONDS: Final = 0.2
_PLAIN_SECONDS: Final = 10.0


@dataclass
class Progress:
    """Shows events, bytes, rate and time left on stderr: to a terminal one line written over, else a line now and then.

    What is missing is told at once, in any case.
    """

    quiet: bool = False
    events: int = 0
    json_bytes: int = 0
    _total: int = 0
    _done: int = 0
    _watched: bool = field(default_factory=lambda: sys.stderr.isatty())
    _began: float = field(default_factory=time.monotonic)
    _shown: float = field(default_factory=time.monotonic)
    _told: set[tuple[object, ...]] = field(default_factory=set)

    def expect(self, sequences: int) -> None:
        """So many more sequences are in chunks."""
        self._total += sequences

    def add(self, sequences: int, events: int, json_bytes: int) -> None:
        """So many sequences of chunks were looked at, and so much written."""
        self._done += sequences
        self.events += events
        self.json_bytes += json_bytes
        every = _WATCHED_SECONDS if self._watched else _PLAIN_SECONDS
        if not self.quiet and time.monotonic() - self._shown >= every:
            self._show()

    def caught_up(self) -> None:
        """All that is acknowledged was written: a person who watches sees it at once."""
        if self._watched and not self.quiet:
            self._show()

    def missing(self, parts: Iterable[MissingPart]) -> None:
        """Tell of each part once."""
        for part in parts:
            # Whatever the words: they may have the number of a request in them.
            what = part.reason, part.storage, part.name, part.first_sequence
            if what not in self._told:
                self._told.add(what)
                self.clear()
                click.echo(f"INCOMPLETE: {describe(part)}", err=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._watched and not self.quiet:
            click.echo("\r\x1b[K", err=True, nl=False)

    def line(self, adjective: str = "") -> str:
        """How far it is, in words."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        rate = f"{self.events / seconds:,.0f} events/s, {size_text(int(self.json_bytes / seconds))}/s"
        text = f"{count_text(self.events, adjective + 'event')}, {size_text(self.json_bytes)} ({rate})"
        if 0 < self._done < self._total:
            left = int((self._total - self._done) * seconds / self._done)
            text += f", {100 * self._done // self._total} %, {left // 60}:{left % 60:02d} left"
        return text

    def _show(self) -> None:
        self._shown = time.monotonic()
        if self._watched:
            click.echo(f"\r\x1b[K{self.line()}", err=True, nl=False)
        else:
            click.echo(self.line(), err=True)

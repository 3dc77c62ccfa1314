"""How far a transfer is, for a person who watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click

_SECONDS = 0.1
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass
class Meter:
    """Shows bytes on stderr, one line that is written over; nothing where stderr is no terminal."""

    total: int | None = None
    """All bytes there are to come; None where it isn't known."""
    _watched: bool = field(default_factory=lambda: sys.stderr.isatty())
    _shown: float = 0.0

    def show(self, done: int) -> None:
        """Show that so many bytes are done."""
        now = time.monotonic()
        if self._watched and now - self._shown >= _SECONDS:
            self._shown = now
            of = f" of {size_text(self.total)}" if self.total is not None else ""
            click.echo(f"\r\x1b[K{size_text(done)}{of}", err=True, nl=False)

    def clear(self) -> None:
        """Take the line away."""
        if self._watched:
            click.echo("\r\x1b[K", err=True, nl=False)


@contextmanager
def meter(total: int | None = None) -> Iterator[Meter]:
    """Meter what is done in the block."""
    found = Meter(total)
    try:
        yield found
    finally:
        found.clear()


def size_text(size: int) -> str:
    """A size as people read it."""
    value, unit = float(size), _UNITS[0]
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return ("1 byte" if size == 1 else f"{size} bytes") if unit == _UNITS[0] else f"{value:.1f} {unit}"

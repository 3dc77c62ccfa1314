"""The three forms of output that every command has, and bytes on stdout."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from extaudit_cli.colours import Paint
from extaudit_cli.text import fit, json_visible, visible, width

FORMS: Final = ("table", "json", "jsonl")
_MAX_COLUMN: Final = 60
_MIN_LAST: Final = 20
GAP: Final = "  "
"""What is between columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """How wide a column is, and whether a longer text is cut or shown all the same."""

    width: int
    cut: bool = False

    def lay(self, text: str) -> str:
        """Give a visible text as it stands in this column."""
        return fit(text, self.width) if self.cut else text + " " * (self.width - width(text))


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--output`."""
    choice = click.Choice(FORMS)
    return click.option("--output", type=choice, default="table", show_default=True, help="Form of the output.")(
        command
    )


def write_bytes(data: bytes) -> None:
    """Write bytes to stdout as they are; to a terminal with control and bidi characters as JSON escapes."""
    sys.stdout.flush()
    if sys.stdout.isatty():
        data = json_visible(data.decode("utf-8", "backslashreplace")).encode()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def write_json(value: object, indent: int | None = 2) -> None:
    """Write a value as JSON and a newline; non-ASCII is escaped, so any terminal can show it."""
    click.echo(json.dumps(value, indent=indent))


def screen_columns() -> int | None:
    """How wide the terminal is that stdout is; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], empty: str = "") -> None:
    """Print a table; where it has no rows, `empty` instead, on stderr so that nothing takes it for a row."""
    if not rows and empty:
        click.echo(empty, err=True)
        return
    paint = Paint.for_stream(sys.stdout)
    heading, *lines = table_lines(headers, rows)
    paint.echo("\n".join([paint(heading, "heading"), *lines]))


def table_lines(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out cells under headers, every cell made visible; on a terminal cut so that it fits, else whole."""
    lines = [headers, *([visible(cell) for cell in row] for row in rows)]
    widths = column_widths(lines, screen_columns())
    return [cells(line, widths) for line in lines]


def column_widths(lines: Sequence[Sequence[str]], screen: int | None) -> list[Column]:
    """How wide each column of visible cells is, in a terminal of so many columns (None for none).

    The last takes what is left; the others keep what they need up to a bound, so that ids can be copied.
    """
    needed = [min(_MAX_COLUMN, max(width(line[i]) for line in lines)) for i in range(len(lines[0]))]
    if screen is None:
        return [Column(columns) for columns in needed]
    left = screen - sum(needed[:-1]) - len(GAP) * (len(needed) - 1)
    return [*(Column(columns, cut=True) for columns in needed[:-1]), Column(max(left, _MIN_LAST), cut=True)]


def cells(texts: Sequence[str], columns: Sequence[Column]) -> str:
    """Lay out one line of visible texts."""
    return GAP.join(column.lay(text) for text, column in zip(texts, columns, strict=True)).rstrip()

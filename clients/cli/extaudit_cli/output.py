"""The three forms of output that every command has, and bytes on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from extaudit_cli.text import fit, json_visible, visible, width

_MAX_COLUMN = 80


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--output`."""
    choice = click.Choice(["table", "json", "jsonl"])
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


def table_lines(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out cells under headers, every cell made visible and cut to a sane width."""
    lines = [headers, *([visible(cell) for cell in row] for row in rows)]
    widths = [min(_MAX_COLUMN, max(width(line[i]) for line in lines)) for i in range(len(headers))]
    return [cells(line, widths) for line in lines]


def cells(texts: Sequence[str], widths: Sequence[int]) -> str:
    """Lay out one line of visible texts."""
    return "  ".join(fit(text, columns) for text, columns in zip(texts, widths, strict=True)).rstrip()

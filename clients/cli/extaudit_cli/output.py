"""The three forms of output that every command has, and bytes on stdout."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from extaudit_cli.colours import Paint
from extaudit_cli.table import cells, fitting_columns, natural_columns, record_lines, table_lines, visible_rows
from extaudit_cli.text import json_visible

FORMS: Final = ("table", "json", "jsonl")


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--output`."""
    choice = click.Choice(FORMS)
    return click.option("--output", type=choice, default="table", show_default=True, help="Form of the output.")(
        command
    )


def write_bytes(data: bytes) -> None:
    """Write bytes of text to stdout, see `for_stdout`."""
    sys.stdout.flush()
    sys.stdout.buffer.write(for_stdout(data))
    sys.stdout.buffer.flush()


def for_stdout(data: bytes) -> bytes:
    """Bytes of text as they are; for a terminal with control and bidi characters as JSON escapes."""
    if not sys.stdout.isatty():
        return data
    return json_visible(data.decode("utf-8", "backslashreplace")).encode()


def sync_stdout() -> None:
    """Make what was written to stdout durable, where it is a file: of a pipe nobody can tell."""
    sys.stdout.flush()
    if stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
        os.fdatasync(sys.stdout.fileno())


def ends_torn() -> bool:
    """Whether stdout is a file, and what comes next stands behind a line without an end, as a full disk leaves it."""
    sys.stdout.flush()
    stdout = sys.stdout.fileno()
    if not stat.S_ISREG(os.fstat(stdout).st_mode):
        return False
    appends = fcntl.fcntl(stdout, fcntl.F_GETFL) & os.O_APPEND
    end = os.fstat(stdout).st_size if appends else os.lseek(stdout, 0, os.SEEK_CUR)
    try:
        readable = os.open(f"/dev/fd/{stdout}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # a file that may only be written: nobody can tell
    try:
        return end > 0 and os.pread(readable, 1, end - 1) not in (b"\n", b"")
    finally:
        os.close(readable)


def end_torn_line() -> None:
    """End the line that a full disk has torn, lest the first event that comes now be taken for a part of it."""
    if ends_torn():
        os.write(sys.stdout.fileno(), b"\n")


def write_json(value: object, indent: int | None = 2) -> None:
    """Write a value as JSON and a newline; non-ASCII is escaped, so any terminal can show it."""
    click.echo(json.dumps(value, indent=indent))


def screen_columns() -> int | None:
    """How wide the terminal is that stdout is; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], empty: str = "") -> None:
    """Print a table, every cell made visible.

    Where it has no rows, `empty` instead, on stderr so that nothing takes it for a row. On a terminal that is too
    narrow for it, cells are cut, or else stand below each other; in a pipe all is whole.
    """
    if not rows and empty:
        click.echo(empty, err=True)
        return
    paint = Paint.for_stream(sys.stdout)
    shown, screen = visible_rows(rows), screen_columns()
    lines = [headers, *shown]
    columns = natural_columns(lines) if screen is None else fitting_columns(lines, screen)
    if columns is None:
        click.echo("\n".join(record_lines(headers, shown)))
        return
    paint.echo("\n".join([paint(cells(headers, columns), "heading"), *(cells(row, columns) for row in shown)]))


def print_facts(heading: tuple[str, str], facts: Sequence[tuple[str, str]]) -> None:
    """Print names with their values, made visible and never cut."""
    paint = Paint.for_stream(sys.stdout)
    first, *lines = table_lines(heading, facts)
    paint.echo("\n".join([paint(first, "heading"), *lines]))


def tell_more(more: bool, limit: int) -> None:
    """Say on stderr that a limit left something out, if it did."""
    if more:
        click.echo(f"more: there are others beyond --limit {limit}", err=True)

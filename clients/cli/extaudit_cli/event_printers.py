"""How a search's rows are printed, page by page: one printer for each form of output."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import click

from extaudit_cli.colours import Paint, Style, event_style
from extaudit_cli.event_json import one_line_json, row_json
from extaudit_cli.output import screen_columns, write_bytes
from extaudit_cli.table import GAP, Column, cells, fitting_columns, natural_columns
from extaudit_cli.text import visible
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import Client, EventRow

    from extaudit_cli.search_summary import Summary

_HEADERS: Final = ("TIME", "TYPE", "USER", "UID", "SUMMARY")
_UID: Final = 3
_WHOLE: Final = (0, _UID)
_LEAST: Final = 12
# Shown in columns of their own, or the same in every row of a cluster.
_NOT_IN_SUMMARY = frozenset({"event", "time", "uid", "user", "sid", "ei", "cluster_name"})


class Printer(Protocol):
    """Prints rows as they come, then the end."""

    def rows(self, rows: Sequence[EventRow]) -> None:
        """Print one page's rows."""

    def end(self, summary: Summary) -> None:
        """Print what the pages say together."""


def printer(output: str, client: Client) -> Printer:
    """Choose by the form of output."""
    if output == "json":
        return _JsonPrinter(client)
    return _JsonlPrinter(client) if output == "jsonl" else TablePrinter()


def event_columns(lines: Sequence[Sequence[str]], screen: int | None) -> list[Column]:
    """Columns for events like these; a screen that is too narrow for them shows no uids."""
    lines = [_HEADERS, *lines]
    if screen is None:
        return natural_columns(lines)
    if columns := fitting_columns(lines, screen, _WHOLE):
        return columns
    others = [[*line[:_UID], *line[_UID + 1 :]] for line in lines]
    narrow = fitting_columns(others, screen, (0,), _LEAST) or [Column(_LEAST, cut=True)] * len(others[0])
    return [*narrow[:_UID], Column(0, hidden=True), *narrow[_UID:]]


class TablePrinter:
    """Lays columns out as it is told, else by the first page: what is longer is shown all the same, out of line."""

    def __init__(self, columns: Sequence[Column] = ()) -> None:
        self._paint = Paint.for_stream(sys.stdout)
        self._columns = columns
        self._headed = False

    def rows(self, rows: Sequence[EventRow]) -> None:
        """Print rows, under the headers."""
        lines = [[visible(text) for text in _texts(row)] for row in rows]
        if rows and not self._headed:
            self._headed = True
            self._columns = self._columns or event_columns(lines, screen_columns())
            self._paint.echo(self._paint(cells(_HEADERS, self._columns), "heading"))
        for row, line in zip(rows, lines, strict=True):
            self._paint.echo(self._painted(row, line))

    def _painted(self, row: EventRow, line: list[str]) -> str:
        time, kind = (column.lay(text) for text, column in zip(line[:2], self._columns[:2], strict=True))
        others = cells(line[2:], self._columns[2:])
        return GAP.join([self._paint(time, "quiet"), self._paint(kind, _style(row)), others]).rstrip()

    def end(self, summary: Summary) -> None:
        """Print what the pages say together."""
        warnings = summary.warnings()
        for line in [*warnings, *summary.lines()]:
            self._paint.echo(self._paint(line, "warning" if line in warnings else "plain"))
        if any(column.hidden for column in self._columns):
            self._paint.echo("uids don't fit in here: widen the terminal, or give --output json")
        if not sys.stdout.isatty():
            _warn(summary)  # where the table went into a pipe, whoever watches sees it all the same


class _JsonlPrinter:
    def __init__(self, client: Client) -> None:
        self._client = client

    def rows(self, rows: Sequence[EventRow]) -> None:
        for row in rows:
            write_bytes(one_line_json(payload_of(self._client, row)) + b"\n")

    def end(self, summary: Summary) -> None:
        _warn(summary)
        if summary.next_page_token:
            click.echo(f"more: --page-token {visible(summary.next_page_token)}", err=True)


class _JsonPrinter:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._separator = b'{"rows": [\n'

    def rows(self, rows: Sequence[EventRow]) -> None:
        for row in rows:
            write_bytes(self._separator + row_json(row, payload_of(self._client, row)))
            self._separator = b",\n"

    def end(self, summary: Summary) -> None:
        opening = self._separator if self._separator.startswith(b"{") else b"\n"
        rest = json.dumps(summary.document(), indent=2).encode().removeprefix(b"{")
        write_bytes(opening + b"]," + rest + b"\n")
        _warn(summary)


def _warn(summary: Summary) -> None:
    for line in summary.warnings():
        click.echo(line, err=True)


def payload_of(client: Client, row: EventRow) -> bytes:
    """Give the row's JSON, fetched where it was too large for the page."""
    if not row.payload_omitted:
        return row.json
    from extaudit_client import Position

    receipt = row.receipts[0]
    if receipt.log_id:
        return client.get(Position(receipt.log_id, receipt.sequence), storage=receipt.storage)[1]
    return client.get(row.uid, row.digest, receipt.storage)[1]


def _texts(row: EventRow) -> tuple[str, ...]:
    return time_text(row.time), row.type, row.user, row.uid, _gist(row)


def _style(row: EventRow) -> Style:
    event = _event(row)
    return event_style(event.get("code"), event.get("success")) if isinstance(event, dict) else "plain"


def _event(row: EventRow) -> object:
    """Give the row's event; None where it can't be read."""
    try:
        return json.loads(row.json)
    except (ValueError, RecursionError):
        return None


def _gist(row: EventRow) -> str:
    """Give the plain members that no column shows, in their order."""
    if row.payload_omitted:
        return f"({row.payload_size} bytes)"
    event = _event(row)
    if not isinstance(event, dict):
        return "(not an object)"
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in event.items()
        if name not in _NOT_IN_SUMMARY and isinstance(value, str | int | float) and value != ""
    )

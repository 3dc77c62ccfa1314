"""How events are printed as they come: one printer for each form of output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from extaudit_cli.event_json import one_line_json, row_json
from extaudit_cli.event_printers import TablePrinter, event_columns, payload_of
from extaudit_cli.output import screen_columns, write_bytes
from extaudit_cli.table import Column

if TYPE_CHECKING:
    from extaudit_client import Client, EventRow

_USER: Final = 20
_USER_IN_PIPE: Final = 32
"""A pipe has room for most addresses of people."""
_LEAST_SUMMARY: Final = 20


class TailPrinter(Protocol):
    """Prints rows as they come."""

    def rows(self, rows: Sequence[EventRow]) -> None:
        """Print rows, at once."""


def tail_printer(output: str, client: Client) -> TailPrinter:
    """Choose by the form of output."""
    return _Lines(client, whole=output == "json") if output in ("json", "jsonl") else TablePrinter(_columns())


class _Lines:
    """A JSON object a line: the stored JSON, or with `whole` the row with its receipts and the event in it."""

    def __init__(self, client: Client, *, whole: bool) -> None:
        self._client = client
        self._whole = whole

    def rows(self, rows: Sequence[EventRow]) -> None:
        for row in rows:
            payload = payload_of(self._client, row)
            write_bytes((row_json(row, payload) if self._whole else one_line_json(payload)) + b"\n")


def _columns() -> list[Column]:
    """Fixed ones; in a terminal the summary is cut at its edge, so that each event has a line."""
    screen = screen_columns()
    widths = (24, 24, _USER_IN_PIPE if screen is None else _USER, 36, 0)  # what is to come isn't known
    columns = event_columns([["x" * columns for columns in widths]], screen)
    return [*columns[:-1], replace(columns[-1], width=max(columns[-1].width, _LEAST_SUMMARY))]

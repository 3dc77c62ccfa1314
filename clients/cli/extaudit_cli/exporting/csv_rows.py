"""Events as rows of CSV (RFC 4180), safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from extaudit_cli.exporting.json_lines import payload_lines
from extaudit_cli.exporting.milliseconds import time_of
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import ExportedEvents

COLUMNS: Final = ("time", "type", "uid", "user", "session_id", "log_id", "sequence", "emitter", "received", "json")
CSV_HEAD: Final = ",".join(COLUMNS).encode() + b"\r\n"

# A spreadsheet takes a cell that begins so for a formula, or skips what it begins with and then does.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


class CsvEncoder:
    """One event a row; the JSON in one line, as in JSON lines."""

    def encode(self, events: ExportedEvents) -> bytes:
        """The rows of these events."""
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        lines = payload_lines(events)
        for index, line in enumerate(lines):
            rows.writerow(_row(events, index, line))
        return text.getvalue().encode()

    def finish(self) -> bytes:
        """Nothing: each row is whole."""
        return b""


def emitter_text(events: ExportedEvents, index: int) -> str:
    """Kind and name of who emitted an event; '' where the receipt can't be read."""
    found = events.emitter(index)
    return f"{found.emitter.kind} {found.emitter.name}" if found else ""


def safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: `'` goes before what could begin one. NUL becomes U+FFFD."""
    cell = cell.replace("\0", "\ufffd")
    return "'" + cell if cell.startswith(_FORMULA_STARTS) else cell


def _row(events: ExportedEvents, index: int, line: bytes) -> list[str]:
    received = events.received_ms[index]
    return [
        time_text(time_of(events.times_ms[index])),
        safe(events.types[index]),
        safe(events.uids[index]),
        safe(events.users[index]),
        safe(events.session_ids[index]),
        safe(events.log_id),
        str(events.sequences[index]),
        safe(emitter_text(events, index)),
        time_text(time_of(received)) if received else "",
        safe(line.decode()),
    ]

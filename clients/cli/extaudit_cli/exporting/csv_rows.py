"""Events as rows of CSV (RFC 4180), safe to open in a spreadsheet."""

from __future__ import annotations

import re
from itertools import repeat
from typing import TYPE_CHECKING, Final

from extaudit_cli.exporting.json_lines import payload_lines
from extaudit_cli.exporting.milliseconds import received_texts, time_texts

if TYPE_CHECKING:
    from extaudit_client import ExportedEvents

COLUMNS: Final = ("time", "type", "uid", "user", "session_id", "log_id", "sequence", "emitter", "received", "json")
CSV_HEAD: Final = ",".join(COLUMNS).encode() + b"\r\n"

# A spreadsheet takes a cell that begins so for a formula, or skips what it begins with and then does.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
# One whose language separates cells by semicolons begins cells in the middle of ours: as it finds no quotes at a line's
# beginning, it minds none within it.
_INNER_START: Final = re.compile(r"""([;\t\r\n][" ]*)([=+\-@＝＋－＠])""")  # noqa: RUF001
_INNER_START_OF_JSON: Final = re.compile(r"(; *)([=+\-@＝＋－＠])")  # noqa: RUF001


class CsvEncoder:
    """One event a row; the JSON in one line, as in JSON lines.

    Texts are always quoted. The standard library's writer looks at every character, which takes many times as long.
    """

    def encode(self, events: ExportedEvents) -> bytes:
        """The rows of these events."""
        columns = zip(
            time_texts(events.times_ms),
            map(quoted, events.types),
            map(quoted, events.uids),
            map(quoted, events.users),
            map(quoted, events.session_ids),
            repeat(quoted(events.log_id), len(events)),
            map(str, events.sequences),
            map(quoted, emitter_texts(events)),
            received_texts(events),
            (_quoted_json(line.decode()) for line in payload_lines(events)),
            strict=True,
        )
        return "".join(",".join(row) + "\r\n" for row in columns).encode()

    def finish(self) -> bytes:
        """Nothing: each row is whole."""
        return b""


def emitter_texts(events: ExportedEvents) -> list[str]:
    """Kind and name of who emitted each event; '' where the receipt can't be read."""
    names = ["", *(f"{each.emitter.kind} {each.emitter.name}" for each in events.emitters)]
    return [names[number] for number in events.emitter_numbers]


def safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula, nor a part of it: `'` goes before what could begin one. NUL
    becomes U+FFFD."""
    if ";" in cell or not cell.isprintable():  # else it has no separator
        cell = _INNER_START.sub(r"\1'\2", cell.replace("\0", "\ufffd"))
    return "'" + cell if cell.startswith(_FORMULA_STARTS) else cell


def quoted(cell: str) -> str:
    """A safe cell in quotes."""
    return '"' + safe(cell).replace('"', '""') + '"'


def _quoted_json(line: str) -> str:
    """The same of JSON, which stays the same: semicolons are in its strings alone, and what follows one is escaped."""
    if ";" in line:
        line = _INNER_START_OF_JSON.sub(lambda found: f"{found[1]}\\u{ord(found[2]):04x}", line)
    line = "'" + line if line.startswith(_FORMULA_STARTS) else line
    return '"' + line.replace('"', '""') + '"'

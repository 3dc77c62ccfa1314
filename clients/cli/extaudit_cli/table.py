"""How tables are laid out: whole in a pipe, no wider than the screen on a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from extaudit_cli.text import fit, visible, width

GAP: Final = "  "
"""What is between columns."""
_MAX_COLUMN: Final = 64
"""Wide enough for a SHA-256; longer texts of a pipe stand out of line."""
_ID: Final = 20
"""Columns of words of one length that are at least so long are ids, digests or times: these are never cut."""
_LEAST: Final = 24
_LEAST_OF_LAST: Final = 20


@dataclass(frozen=True, slots=True)
class Column:
    """How wide a column is, whether a longer text is cut or shown all the same, and whether it is left out."""

    width: int
    cut: bool = False
    hidden: bool = False

    def lay(self, text: str) -> str:
        """Give a visible text as it stands in this column."""
        return fit(text, self.width) if self.cut else text + " " * (self.width - width(text))


def cells(texts: Sequence[str], columns: Sequence[Column]) -> str:
    """Lay out one line of visible texts."""
    shown = zip(texts, columns, strict=True)
    return GAP.join(column.lay(text) for text, column in shown if not column.hidden).rstrip()


def natural_columns(lines: Sequence[Sequence[str]]) -> list[Column]:
    """Columns as wide as their visible texts, up to a bound, with nothing cut."""
    return [Column(columns) for columns in _needed(lines)]


def table_lines(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out cells under headers, every cell made visible and nothing cut."""
    lines = [headers, *visible_rows(rows)]
    columns = natural_columns(lines)
    return [cells(line, columns) for line in lines]


def fitting_columns(
    lines: Sequence[Sequence[str]], screen: int, whole: Collection[int] | None = None, least: int = _LEAST
) -> list[Column] | None:
    """Columns that fit into a screen, by cutting what can be cut; None if that isn't enough.

    `whole` are those never cut; where it isn't given, those that look like ids, digests or times. The others are cut to
    no less than `least`. The first line is the headers'.
    """
    needed = _needed(lines)
    kept = _ids(lines) if whole is None else whole
    last = len(needed) - 1
    widths = [
        columns if i in kept else min(columns, _LEAST_OF_LAST if i == last else least)
        for i, columns in enumerate(needed)
    ]
    left = screen - sum(widths) - len(GAP) * last
    if left < 0:
        return None
    for i, columns in enumerate(needed):
        more = min(columns - widths[i], left)
        widths[i] += more
        left -= more
    widths[last] += left
    return [Column(columns, cut=True) for columns in widths]


def record_lines(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay each row out as lines of its own, one for each cell that isn't empty, where columns don't fit."""
    name = max(width(header) for header in headers)
    lines: list[str] = []
    for row in rows:
        lines += [f"{fit(header, name)}{GAP}{text}" for header, text in zip(headers, row, strict=True) if text]
        lines.append("")
    return lines[:-1]


def visible_rows(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows with every cell made visible."""
    return [[visible(cell) for cell in row] for row in rows]


def _needed(lines: Sequence[Sequence[str]]) -> list[int]:
    return [min(_MAX_COLUMN, max(width(line[i]) for line in lines)) for i in range(len(lines[0]))]


def _ids(lines: Sequence[Sequence[str]]) -> list[int]:
    found = []
    for i in range(len(lines[0])):
        texts = [line[i] for line in lines[1:] if line[i]]
        widths = {width(text) for text in texts}
        if len(widths) == 1 and min(widths) >= _ID and not any(" " in text for text in texts):
            found.append(i)
    return found

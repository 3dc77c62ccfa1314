"""SQL literals for Athena's execution parameters. Every value of a query goes through here, and none into its text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from server.storage.finding import FinderUnsuited

MOST_CHARACTERS: Final = 1024
"""Of a parameter, its quotes included."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
EARLIEST_MS: Final = -62_135_596_800_000
LATEST_MS: Final = 253_402_300_799_999
"""The times that a literal can say: from year 1 to year 9999."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of SQL with `?` for each of its parameters, which are texts of literals."""

    sql: str
    parameters: tuple[str, ...] = ()


def text(value: str, of: str) -> Clause:
    """A text. What isn't printable goes as hexadecimal digits, since no literal is sure to keep it.

    Raises:
        FinderUnsuited: it is longer than a parameter may be; `of` says in the error what it is.
    """
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise FinderUnsuited(f"{of} isn't valid Unicode") from None
    if any(ord(character) < 32 or ord(character) == 127 or character == "\\" for character in value):
        return Clause("from_utf8(from_hex(?))", (_checked("'" + raw.hex().upper() + "'", of),))
    return Clause("?", (_checked("'" + value.replace("'", "''") + "'", of),))


def day(text: str) -> Clause:
    """A date, given as `YYYY-MM-DD`.

    Raises:
        ValueError: it is none.
    """
    return Clause("?", (f"DATE '{date.fromisoformat(text).isoformat()}'",))


def timestamp(time_ms: int) -> Clause:
    """A time in ms since 1970, within EARLIEST_MS to LATEST_MS."""
    moment = _EPOCH + time_ms * _MILLISECOND
    return Clause("?", (f"TIMESTAMP '{moment.isoformat(' ', 'milliseconds')[:23]}'",))


def joined(word: str, clauses: Iterable[Clause]) -> Clause:
    """The clauses one after the other, each in brackets."""
    found = list(clauses)
    return Clause(
        word.join(f"({clause.sql})" for clause in found),
        tuple(parameter for clause in found for parameter in clause.parameters),
    )


def listed(clauses: Iterable[Clause]) -> Clause:
    """The clauses with commas between them."""
    found = list(clauses)
    return Clause(
        ", ".join(clause.sql for clause in found),
        tuple(parameter for clause in found for parameter in clause.parameters),
    )


def _checked(literal: str, of: str) -> str:
    # Java counts a character outside the first plane as two.
    if len(literal.encode("utf-16-le")) // 2 > MOST_CHARACTERS:
        raise FinderUnsuited(f"{of} is longer than Athena takes in a parameter")
    return literal

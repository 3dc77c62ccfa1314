"""What an object must be like for a caller to be allowed: formulas without negation, in which the user is known.

A test holds only of a value that is there and has the test's type, whether it asks that something is so or that it
isn't. So a value that isn't there makes every test false, and no third truth value is ever needed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MAX_TESTS: Final = 500
"""Tests and values of one formula together; engines have bounds of their own on queries."""

Value = str | int | bool


class Operator(enum.Enum):
    """What a test asks of a value. The first two take one text (ONE_OF also an int or a bool), the others a list of
    texts, for which one text counts as well."""

    ONE_OF = "one_of"
    """It is one of the values."""
    PREFIX = "prefix"
    """It begins with the one value."""
    HAS_ANY = "has_any"
    """At least one of its items is among the values."""
    HAS_ALL = "has_all"
    """Each of the values is among its items."""
    ALL_IN = "all_in"
    """It has items, and each is among the values. Of an empty list neither this nor its opposite holds."""
    ALL_END = "all_end"
    """It has items, and each ends with the one value. Of an empty list neither this nor its opposite holds."""


@dataclass(frozen=True, slots=True)
class Test:
    """A test of the value at a path of keys of the object's JSON; with `holds` false, of the opposite."""

    __test__ = False  # no test case, whatever pytest thinks of the name

    path: tuple[str, ...]
    operator: Operator
    values: tuple[Value, ...]
    """Sorted, without repeats, of one type. ONE_OF may have none: then nothing is one of them, but texts aren't."""
    holds: bool


@dataclass(frozen=True, slots=True)
class AllOf:
    """All parts hold; without parts it always does."""

    parts: tuple[Formula, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A part holds; without parts none ever does."""

    parts: tuple[Formula, ...] = ()


Formula = Test | AllOf | AnyOf

ALWAYS: Final = AllOf()
NEVER: Final = AnyOf()


def all_of(parts: Iterable[Formula]) -> Formula:
    """All of them, as simply as it can be said."""
    kept = tuple(part for part in parts if part != ALWAYS)
    if NEVER in kept:
        return NEVER
    return kept[0] if len(kept) == 1 else AllOf(kept)


def any_of(parts: Iterable[Formula]) -> Formula:
    """Any of them, as simply as it can be said."""
    kept = tuple(part for part in parts if part != NEVER)
    if ALWAYS in kept:
        return ALWAYS
    return kept[0] if len(kept) == 1 else AnyOf(kept)


def size_of(formula: Formula) -> int:
    """Tests and their values."""
    if isinstance(formula, Test):
        return 1 + len(formula.values)
    return sum(size_of(part) for part in formula.parts)

"""Conditions on rows that go beyond a search's own filters: tests of values in the JSON, joined by and and or.

A test holds only of a value that is there and has the test's type, whether it asks that something is so or that it
isn't. So there is no negation, and a value that isn't there makes a test false in every engine.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

TestValue = str | int | bool


class Operator(enum.Enum):
    """What a test asks of a value. The first two take one text (ONE_OF also an int64 or a bool), the others a list of
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
class ValueTest:
    """A test of the value at a path of object keys in the JSON; with `holds` false, of the opposite.

    `path` is at least one key of printable ASCII without quotes and backslashes, none of them a number; `values` are of
    one type, and only ONE_OF may have none, which then asks for a text.
    """

    path: tuple[str, ...]
    operator: Operator
    values: tuple[TestValue, ...]
    holds: bool


@dataclass(frozen=True, slots=True)
class AllOf:
    """All parts hold; without parts it always does."""

    parts: tuple[RowCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A part holds; without parts none ever does."""

    parts: tuple[RowCondition, ...] = ()


RowCondition = ValueTest | AllOf | AnyOf

"""Pieces of SQL with the values of their parameters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of SQL and the values of its `?`, in order."""

    sql: str
    values: tuple[Any, ...] = ()


TRUE = Condition("true")
FALSE = Condition("false")


def all_of(conditions: Collection[Condition]) -> Condition:
    """A condition that holds when all of `conditions` do; of none it always does."""
    return _joined(" AND ", conditions) if conditions else TRUE


def any_of(conditions: Collection[Condition]) -> Condition:
    """A condition that holds when one of `conditions` does; of none it never does."""
    return _joined(" OR ", conditions) if conditions else FALSE


def _joined(word: str, conditions: Collection[Condition]) -> Condition:
    return Condition(
        word.join(f"({condition.sql})" for condition in conditions),
        tuple(value for condition in conditions for value in condition.values),
    )

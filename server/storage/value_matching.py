"""Conditions on values in plain Python, for what isn't in an object yet. Held equal to the engines by test."""

from __future__ import annotations

from typing import Any

from server.storage.value_tests import AllOf, AnyOf, Operator, RowCondition, ValueTest

_INT64 = range(-(1 << 63), 1 << 63)
_ABSENT = object()


def holds(condition: RowCondition, document: Any) -> bool:
    """Whether a condition holds of parsed JSON."""
    match condition:
        case ValueTest():
            return _passes(_find(document, condition.path), condition)
        case AllOf(parts=parts):
            return all(holds(part, document) for part in parts)
        case AnyOf(parts=parts):
            return any(holds(part, document) for part in parts)


def _find(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return _ABSENT
        document = document[key]
    return document


def _passes(found: Any, test: ValueTest) -> bool:
    if test.operator in (Operator.ONE_OF, Operator.PREFIX):
        return _is_of_type(found, test) and _scalar_passes(found, test) is test.holds
    items = [found] if isinstance(found, str) else found
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return False
    passed = _list_passes(items, test)
    return passed is not None and passed is test.holds


def _is_of_type(found: Any, test: ValueTest) -> bool:
    wanted = type(test.values[0]) if test.values else str
    return type(found) is wanted and (wanted is not int or found in _INT64)


def _scalar_passes(found: Any, test: ValueTest) -> bool:
    if test.operator is Operator.ONE_OF:
        return found in test.values
    return bool(found.startswith(test.values[0]))


def _list_passes(items: list[str], test: ValueTest) -> bool | None:
    """None where it can't be said, as of all items of an empty list."""
    match test.operator:
        case Operator.HAS_ANY:
            return not set(items).isdisjoint(test.values)
        case Operator.HAS_ALL:
            return set(items).issuperset(test.values)
        case Operator.ALL_IN:
            return set(items).issubset(test.values) if items else None
        case Operator.ALL_END:
            return all(item.endswith(str(test.values[0])) for item in items) if items else None
    raise ValueError(f"{test.operator} is no test of lists")

"""The `Condition` of a policy's statement, over the values that a request carries."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

Context = Mapping[str, tuple[str, ...]]
"""Values by key, keys in lower case."""


def pattern_matches(pattern: str, text: str, *, ignoring_case: bool = False) -> bool:
    """Whether `text` fits a pattern with `*` and `?`."""
    return _compiled(pattern, ignoring_case).fullmatch(text) is not None


@functools.lru_cache(4096)  # policies ask of the same few patterns at every request
def _compiled(pattern: str, ignoring_case: bool) -> re.Pattern[str]:
    parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignoring_case else 0))


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda expected, actual: compare(float(actual), float(expected))


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda expected, actual: expected == actual,
    "StringEqualsIgnoreCase": lambda expected, actual: expected.lower() == actual.lower(),
    "StringLike": pattern_matches,
    "ArnEquals": pattern_matches,
    "ArnLike": pattern_matches,
    "Bool": lambda expected, actual: expected.lower() == actual.lower(),
    "NumericEquals": _number(lambda actual, expected: actual == expected),
    "NumericLessThan": _number(lambda actual, expected: actual < expected),
    "NumericLessThanEquals": _number(lambda actual, expected: actual <= expected),
    "NumericGreaterThan": _number(lambda actual, expected: actual > expected),
    "NumericGreaterThanEquals": _number(lambda actual, expected: actual >= expected),
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
}


class UnknownOperator(ValueError):
    """An operator that this evaluator doesn't have; nothing may be decided by it."""


def conditions_hold(condition: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Whether every operator holds for every key; raises UnknownOperator."""
    return all(
        _holds(operator, _texts(expected), context.get(key.lower(), ()))
        for operator, keys in condition.items()
        for key, expected in keys.items()
    )


def _holds(operator: str, expected: tuple[str, ...], actual: tuple[str, ...]) -> bool:
    qualifier, _, name = operator.rpartition(":")
    if name == "Null":
        return expected == (("false" if actual else "true"),)
    if name.endswith("IfExists"):
        if not actual:
            return True
        name = name.removesuffix("IfExists")
    negated = name in _NEGATED
    compare = _OPERATORS.get(_NEGATED.get(name, name))
    if compare is None or qualifier not in ("", "ForAnyValue", "ForAllValues"):
        raise UnknownOperator(operator)

    def fits(value: str) -> bool:
        return any(compare(each, value) for each in expected) is not negated

    if qualifier == "ForAllValues":
        return all(fits(value) for value in actual)
    if qualifier == "ForAnyValue" or not negated:
        return any(fits(value) for value in actual)
    return all(fits(value) for value in actual)


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(str(each).lower() if isinstance(each, bool) else str(each) for each in values)

"""Conditions on values as SQL for DuckDB. Every value and every path is a bound parameter."""

from __future__ import annotations

from typing import Final

from server.storage.query import FieldEquality
from server.storage.scan.fields import extract, extract_json, field_equality, holds_text
from server.storage.scan.sql import FALSE, Condition, all_of, any_of
from server.storage.value_tests import AllOf, AnyOf, Operator, RowCondition, TestValue, ValueTest

MOST_TEXTS: Final = 16
"""Texts that are looked for before the JSON is parsed; more would cost as much as parsing."""

FEW_VALUES: Final = 4
"""Of so few in an IN DuckDB makes equalities, each with an extraction of its own. So each has its text before it."""


def row_condition(condition: RowCondition) -> Condition:
    """The SQL of a condition. A test of a value that isn't there is false or NULL, and nothing here negates a test."""
    match condition:
        case ValueTest():
            return _scalar(condition) if condition.operator in (Operator.ONE_OF, Operator.PREFIX) else _list(condition)
        case AllOf(parts=parts):
            return all_of([row_condition(part) for part in parts])
        case AnyOf(parts=parts):
            return any_of([row_condition(part) for part in parts])


def _scalar(test: ValueTest) -> Condition:
    text = extract(test.path)
    if test.operator is Operator.PREFIX:
        json = extract_json(test.path)
        found = Condition(f"starts_with(json_extract_string({json.sql}, '$'), ?)", (*json.values, test.values[0]))
    elif test.holds and len(test.values) <= FEW_VALUES:
        return any_of([field_equality(FieldEquality(test.path, value)) for value in test.values])
    else:
        found = _one_of(text, test.values)
        if test.holds:
            return _holding(test, found)
    return all_of([_is_of_type(text, test), _asked(found, test)])


def _one_of(text: Condition, values: tuple[TestValue, ...]) -> Condition:
    # One extraction for all values: each takes time, and a hundred of them more memory than a search has.
    if not values:
        return FALSE
    return Condition(f"{text.sql} IN ({', '.join(['to_json(?)::VARCHAR'] * len(values))})", (*text.values, *values))


def _is_of_type(text: Condition, test: ValueTest) -> Condition:
    kind = type(test.values[0]) if test.values else str
    if kind is bool:
        return Condition(f"{text.sql} IN ('true', 'false')", text.values)
    if kind is int:
        is_int = f"regexp_full_match({text.sql}, '-?[0-9]+') AND TRY_CAST({text.sql} AS BIGINT) IS NOT NULL"
        return Condition(is_int, text.values * 2)
    return Condition(f"starts_with({text.sql}, '\"')", text.values)


def _list(test: ValueTest) -> Condition:
    asked = _asked_of_list(test)
    return asked if not test.holds or test.operator is Operator.ALL_END else _holding(test, asked)


def _holding(test: ValueTest, found: Condition) -> Condition:
    """`found`, asked only where the JSON has one of the texts."""
    texts = tuple(value for value in test.values if isinstance(value, str))
    return all_of([holds_text(texts), found]) if 0 < len(texts) <= MOST_TEXTS else found


def _asked_of_list(test: ValueTest) -> Condition:
    items, values = _items(test.path), list(test.values)
    match test.operator:
        case Operator.HAS_ANY:
            return _asked(Condition(f"list_has_any({items.sql}, ?::VARCHAR[])", (*items.values, values)), test)
        case Operator.HAS_ALL:
            return _asked(Condition(f"list_has_all({items.sql}, ?::VARCHAR[])", (*items.values, values)), test)
        case Operator.ALL_IN:
            found = Condition(f"list_has_all(?::VARCHAR[], {items.sql})", (values, *items.values))
        case _:
            ends = f"list_filter({items.sql}, lambda item: ends_with(item, ?))"
            found = Condition(f"len({ends}) = len({items.sql})", (*items.values, values[0], *items.values))
    return all_of([Condition(f"len({items.sql}) > 0", items.values), _asked(found, test)])


def _asked(found: Condition, test: ValueTest) -> Condition:
    return found if test.holds else Condition(f"NOT ({found.sql})", found.values)


def _items(path: tuple[str, ...]) -> Condition:
    """The texts at a path, one text as a list; NULL where there is something else or nothing."""
    json = extract_json(path)
    all_text = f"list_has_all(['VARCHAR'], json_type({json.sql}, '$[*]'))"
    return Condition(
        f"CASE json_type({json.sql}) WHEN 'VARCHAR' THEN [json_extract_string({json.sql}, '$')] "
        f"WHEN 'ARRAY' THEN CASE WHEN {all_text} THEN json_extract_string({json.sql}, '$[*]') END END",
        json.values * 4,
    )

"""Conditions on values as SQL for Athena (Trino), whose parameters are literals in the text."""

from __future__ import annotations

from typing import Final

from server.storage.ports import ConditionUnsupported
from server.storage.value_tests import AllOf, AnyOf, Operator, RowCondition, TestValue, ValueTest

MAX_SQL_BYTES: Final = 128 * 1024
"""Athena takes queries of up to 256 KiB; the rest is for the other filters."""


def row_condition(condition: RowCondition) -> str:
    """The SQL of a condition on a row that has `event_data`.

    A test of a value that isn't there is false or NULL, and nothing here negates a test.

    Raises:
        ConditionUnsupported: it can't be said in a query.
    """
    sql = _condition(condition)
    if len(sql.encode()) > MAX_SQL_BYTES:
        raise ConditionUnsupported("the conditions are larger than a query may be")
    return sql


def literal(text: str) -> str:
    """A text as a literal, which nothing in it can end.

    Raises:
        ConditionUnsupported: it holds a character that a query can't.
    """
    if any(ord(character) < 32 or 0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise ConditionUnsupported("the conditions have a character that a query can't hold")
    return "'" + text.replace("'", "''") + "'"


def _condition(condition: RowCondition) -> str:
    match condition:
        case ValueTest():
            return _scalar(condition) if condition.operator in (Operator.ONE_OF, Operator.PREFIX) else _list(condition)
        case AllOf(parts=parts):
            return " AND ".join(f"({_condition(part)})" for part in parts) or "true"
        case AnyOf(parts=parts):
            return " OR ".join(f"({_condition(part)})" for part in parts) or "false"


def _scalar(test: ValueTest) -> str:
    path = _path(test.path)
    text = f"json_format(json_extract(event_data, {path}))"
    kind = type(test.values[0]) if test.values else str
    if kind is str:
        found = f"json_extract_scalar(event_data, {path})"
        is_of_type = _begins(text, '"')
    else:
        found = text
        is_of_type = f"{text} IN ('true', 'false')" if kind is bool else _is_int(text)
    if test.operator is Operator.PREFIX:
        asked = f"starts_with({found}, {_value(test.values[0])})"
    else:
        asked = f"{found} IN ({', '.join(map(_value, test.values))})" if test.values else "false"
    return f"{is_of_type} AND {_asked(asked, test)}"


def _list(test: ValueTest) -> str:
    items = _items(test.path)
    values = f"ARRAY[{', '.join(map(_value, test.values))}]"
    match test.operator:
        case Operator.HAS_ANY:
            return _asked(f"arrays_overlap({items}, {values})", test)
        case Operator.HAS_ALL:
            return _asked(f"cardinality(array_except({values}, {items})) = 0", test)
        case Operator.ALL_IN:
            found = f"cardinality(array_except({items}, {values})) = 0"
        case _:
            end = str(test.values[0])
            ends = f"substr(item, -{len(end)}) = {literal(end)}" if end else "true"
            found = f"cardinality(filter({items}, item -> {ends})) = cardinality({items})"
    return f"cardinality({items}) > 0 AND {_asked(found, test)}"


def _asked(found: str, test: ValueTest) -> str:
    return found if test.holds else f"NOT ({found})"


def _items(path: tuple[str, ...]) -> str:
    """The texts at a path, one text as a list; NULL where there is something else or nothing."""
    where = _path(path)
    json = f"json_extract(event_data, {where})"
    texts = f"CAST({json} AS ARRAY(VARCHAR))"
    # Every item is a text just when the items, read as texts, are written as they were, and none is null, which is
    # read as no text and written as it was. A list in a list can't be read.
    is_same = f"json_format(CAST({texts} AS JSON)) = json_format({json})"
    none_is_null = f"cardinality(filter({texts}, item -> item IS NULL)) = 0"
    return (
        f"CASE WHEN {_begins(f'json_format({json})', chr(34))} "
        f"THEN ARRAY[json_extract_scalar(event_data, {where})] "
        f"WHEN {_begins(f'json_format({json})', '[')} "
        f"THEN TRY(CASE WHEN {is_same} AND {none_is_null} THEN {texts} END) END"
    )


def _begins(text: str, character: str) -> str:
    return f"substr({text}, 1, 1) = {literal(character)}"


def _is_int(text: str) -> str:
    return f"regexp_like({text}, '^-?[0-9]+$') AND TRY_CAST({text} AS BIGINT) IS NOT NULL"


def _value(value: TestValue) -> str:
    if isinstance(value, str):
        return literal(value)
    return literal(str(value).lower())


def _path(path: tuple[str, ...]) -> str:
    return literal("$" + "".join(f'["{key}"]' for key in path))

"""SQL conditions on rows of events. Every value is a bound parameter."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from server.storage.needles import needle_forms
from server.storage.query import FieldEquality, Filters, Order, Position

_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True)
class Condition:
    """A piece of SQL and the values of its `?`, in order."""

    sql: str
    values: tuple[Any, ...] = ()


FALSE = Condition("false")


def all_of(conditions: Collection[Condition]) -> Condition:
    """A condition that holds when all of `conditions` do; there must be one at least."""
    return Condition(
        " AND ".join(f"({condition.sql})" for condition in conditions),
        tuple(value for condition in conditions for value in condition.values),
    )


def filter_conditions(filters: Filters) -> list[Condition]:
    """One condition for each filter that is set."""
    found = []
    if filters.from_ms is not None:
        found.append(_at_or_after(filters.from_ms))
    if filters.to_ms is not None:
        found.append(_before(filters.to_ms))
    for column, wanted in (("event_type", filters.types), ('"user"', filters.users), ("uid", filters.uids)):
        if wanted:
            found.append(Condition(f"{column} IN ({', '.join('?' * len(wanted))})", tuple(sorted(wanted))))
    if filters.session_id:
        found.append(Condition("session_id = ?", (filters.session_id,)))
    if filters.text:
        found.append(Condition("regexp_matches(event_data, ?, 's')", (_pattern(filters.text),)))
    found.extend(_field(wanted) for wanted in filters.fields)
    return found


def beyond(position: Position, order: Order, tie: Condition) -> Condition:
    """Rows after `position` in `order`, and of those whose key equals it the ones where `tie` holds.

    The outer bound on time is said first and alone, so that DuckDB can leave out row groups and files by it.
    """
    if order is Order.NEWEST_FIRST:
        bound, past, sign = _before(position.time_ms + 1), _before(position.time_ms), "<"
    else:
        bound, past, sign = _at_or_after(position.time_ms), _at_or_after(position.time_ms + 1), ">"
    digest = "sha256(event_data)"
    sql = (
        f"{bound.sql} AND ({past.sql} OR uid {sign} ? OR "
        f"(uid = ? AND ({digest} {sign} ? OR ({digest} = ? AND ({tie.sql})))))"
    )
    key = (position.uid, position.uid, position.digest, position.digest)
    return Condition(sql, (*bound.values, *past.values, *key, *tie.values))


def _at_or_after(time_ms: int) -> Condition:
    return Condition("event_time >= make_timestamptz(?::BIGINT)", (time_ms * 1000,))


def _before(time_ms: int) -> Condition:
    return Condition("event_time < make_timestamptz(?::BIGINT)", (time_ms * 1000,))


def _pattern(text: str) -> str:
    # [aA] folds A-Z and nothing else, and is as fast as (?i), which takes K for the Kelvin sign as well.
    return "|".join("".join(_either_case(char) for char in form) for form in needle_forms(text))


def _either_case(char: str) -> str:
    return f"[{char}{char.upper()}]" if "a" <= char <= "z" else re.escape(char)


def _field(wanted: FieldEquality) -> Condition:
    value = wanted.value
    if not wanted.path or (isinstance(value, int) and value not in _INT64):
        return FALSE
    found = _extract(wanted.path)
    if isinstance(value, float):
        return _float_field(found, value)
    equal = Condition(f"{found.sql} = to_json(?)", (*found.values, value))
    if value is None:
        return Condition(f"{found.sql} = 'null'", found.values)
    if isinstance(value, bool):
        return Condition(f"{found.sql} = ?", (*found.values, "true" if value else "false"))
    if isinstance(value, int):
        return Condition(f"{found.sql} = ?", (*found.values, str(value)))
    # A JSON string without a backslash holds its value as it is, and most events can be left out by that, unparsed.
    likely = Condition(r"contains(event_data, ?) OR contains(event_data, '\')", (value,))
    return all_of([likely, equal])


def _float_field(found: Condition, value: float) -> Condition:
    if not math.isfinite(value):
        return FALSE
    is_float = f"regexp_matches({found.sql}, '[.eE]') OR TRY_CAST({found.sql} AS BIGINT) IS NULL"
    return Condition(
        f"TRY_CAST({found.sql} AS DOUBLE) = ? AND ({is_float})", (*found.values, value, *found.values, *found.values)
    )


def _extract(path: tuple[str, ...]) -> Condition:
    """The JSON text at a path of keys, NULL where there is none or the row isn't JSON."""
    sql = "event_data"
    steps = _steps(path)
    for _ in steps:
        sql = f"json_extract({sql}, ?)"
    return Condition(f"TRY({sql})::VARCHAR", tuple(steps))


def _steps(path: tuple[str, ...]) -> list[str]:
    """DuckDB's paths, to be applied one after the other.

    A JSON pointer takes any key, but would take a number for an index of an array; `$."0"` takes keys only.
    """
    steps: list[str] = []
    joinable = False
    for key in path:
        if key.isascii() and key.isdigit():
            steps.append(f'$."{key}"')
            joinable = False
            continue
        pointer = "/" + key.replace("~", "~0").replace("/", "~1")
        if joinable:
            steps[-1] += pointer
        else:
            steps.append(pointer)
        joinable = True
    return steps

"""SQL about values in the JSON of events. Every value and every path is a bound parameter."""

from __future__ import annotations

import math

from server.storage.query import FieldEquality
from server.storage.scan.sql import FALSE, Condition, all_of, any_of

INT64 = range(-(1 << 63), 1 << 63)


def field_equality(wanted: FieldEquality) -> Condition:
    """The JSON has this value at this path."""
    value = wanted.value
    if not wanted.path or (isinstance(value, int) and value not in INT64):
        return FALSE
    found = extract(wanted.path)
    if isinstance(value, float):
        return _float_field(found, value)
    equal = Condition(f"{found.sql} = to_json(?)", (*found.values, value))
    if value is None:
        return Condition(f"{found.sql} = 'null'", found.values)
    if isinstance(value, bool):
        return Condition(f"{found.sql} = ?", (*found.values, "true" if value else "false"))
    if isinstance(value, int):
        return Condition(f"{found.sql} = ?", (*found.values, str(value)))
    return all_of([holds_text((value,)), equal])


def holds_text(texts: tuple[str, ...]) -> Condition:
    """True of every event in whose JSON one of the texts is a value, and false of most others, which are left unparsed.

    A JSON string without a backslash holds its value as it is.
    """
    found = [Condition("contains(event_data, ?)", (text,)) for text in texts]
    return any_of([*found, Condition(r"contains(event_data, '\')")])


def _float_field(found: Condition, value: float) -> Condition:
    if not math.isfinite(value):
        return FALSE
    is_float = f"regexp_matches({found.sql}, '[.eE]') OR TRY_CAST({found.sql} AS BIGINT) IS NULL"
    return Condition(
        f"TRY_CAST({found.sql} AS DOUBLE) = ? AND ({is_float})", (*found.values, value, *found.values, *found.values)
    )


def extract(path: tuple[str, ...]) -> Condition:
    """The JSON text at a path of keys, NULL where there is none or the row isn't JSON."""
    found = extract_json(path)
    return Condition(f"{found.sql}::VARCHAR", found.values)


def extract_json(path: tuple[str, ...]) -> Condition:
    """As `extract`, as JSON."""
    sql = "event_data"
    steps = _steps(path)
    for _ in steps:
        sql = f"json_extract({sql}, ?)"
    return Condition(f"TRY({sql})", tuple(steps))


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

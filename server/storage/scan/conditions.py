"""SQL conditions on rows of events. Every value is a bound parameter."""

from __future__ import annotations

import re

from server.storage.needles import needle_forms
from server.storage.query import Filters, Order, Position
from server.storage.scan.fields import field_equality
from server.storage.scan.sql import Condition
from server.storage.scan.value_tests import row_condition


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
    found.extend(field_equality(wanted) for wanted in filters.fields)
    if filters.condition is not None:
        found.append(row_condition(filters.condition))
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

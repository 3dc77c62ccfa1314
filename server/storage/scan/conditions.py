"""SQL conditions on rows of events. Every value is a bound parameter."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from typing import Final

from server.storage.needles import needle_forms
from server.storage.query import Filters, Order, Position
from server.storage.scan.fields import field_equality
from server.storage.scan.sql import Condition, any_of
from server.storage.scan.value_tests import row_condition

PATTERN_CHARACTERS: Final = 256
"""Of all forms of a text together that a pattern may have. RE2 keeps its states of so many easily; of three times as
many it forgets them again and again, and an event costs up to 150 times as much. DuckDB looks at 2,048 events before it
heeds a deadline."""
PREFIX_CHARACTERS: Final = 32
"""Of each form that the pattern of a longer text has."""
# `lower` folds more than A-Z.
_FOLDED: Final = f"translate(event_data, '{string.ascii_uppercase}', '{string.ascii_lowercase}')"


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
        found.append(_text(needle_forms(filters.text)))
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


def _text(forms: tuple[str, ...]) -> Condition:
    """The JSON has one of the forms."""
    matches = "regexp_matches(event_data, ?, 's')"
    if sum(map(len, forms)) <= PATTERN_CHARACTERS:
        return Condition(matches, (_pattern(forms),))
    # The pattern of prefixes spares nearly all events the folding, which takes ten times as long.
    prefixes = _pattern(dict.fromkeys(form[:PREFIX_CHARACTERS] for form in forms))
    has_form = any_of([Condition(f"contains({_FOLDED}, ?)", (form,)) for form in forms])
    return Condition(f"CASE WHEN {matches} THEN {has_form.sql} ELSE false END", (prefixes, *has_form.values))


def _pattern(forms: Iterable[str]) -> str:
    # [aA] folds A-Z and nothing else, and is as fast as (?i), which takes K for the Kelvin sign as well.
    return "|".join("".join(_either_case(char) for char in form) for form in forms)


def _either_case(char: str) -> str:
    return f"[{char}{char.upper()}]" if "a" <= char <= "z" else re.escape(char)

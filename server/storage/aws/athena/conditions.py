"""The filters of a search as SQL for Athena. They mean what `server.storage.matching` says."""

from __future__ import annotations

import math
import re
import string
from typing import Final

from server.storage.aws.athena.literals import EARLIEST_MS, LATEST_MS, Clause, joined, listed, text, timestamp
from server.storage.aws.value_tests import row_condition
from server.storage.finding import FinderUnsuited
from server.storage.needles import needle_forms
from server.storage.ports import ConditionUnsupported
from server.storage.query import FieldEquality, Filters

_INT64: Final = range(-(1 << 63), 1 << 63)
# Keys that Athena's paths take as they are: no quote or backslash ends one, and no number is taken for an index.
_PLAIN_KEY: Final = re.compile(r"(?![0-9]+$)[ !#-\[\]-~]+", re.ASCII)
_NEVER: Final = Clause("false")
# `lower` folds more than A-Z, and so does LIKE nothing at all; strpos has no wildcards to escape.
_FOLDED: Final = f"translate(event_data, '{string.ascii_uppercase}', '{string.ascii_lowercase}')"


def filter_clauses(filters: Filters) -> list[Clause]:
    """One clause for each filter that is set; a row that is no JSON makes none of them fail.

    Raises:
        FinderUnsuited: a value can't be put to Athena.
    """
    found = _time(filters)
    for column, name, wanted in (
        ("event_type", "a type", filters.types),
        ('"user"', "a user", filters.users),
        ("uid", "a uid", filters.uids),
    ):
        if wanted:
            values = listed(text(value, name) for value in sorted(wanted))
            found.append(Clause(f"{column} IN ({values.sql})", values.parameters))
    if filters.session_id:
        session = text(filters.session_id, "the session id")
        found.append(Clause(f"session_id = {session.sql}", session.parameters))
    if filters.text:
        found.append(_text(filters.text))
    found += [_guarded(_field(wanted)) for wanted in filters.fields]
    if filters.condition is not None:
        try:
            found.append(_guarded(Clause(row_condition(filters.condition))))
        except ConditionUnsupported as error:
            raise FinderUnsuited("Athena can't be told the conditions of the caller's roles") from error
    return found


def _time(filters: Filters) -> list[Clause]:
    found = []
    if filters.from_ms is not None and filters.from_ms > EARLIEST_MS:
        if filters.from_ms > LATEST_MS:
            return [_NEVER]
        low = timestamp(filters.from_ms)
        found.append(Clause(f"event_time >= {low.sql}", low.parameters))
    if filters.to_ms is not None and filters.to_ms <= LATEST_MS:
        if filters.to_ms < EARLIEST_MS:
            return [_NEVER]
        high = timestamp(filters.to_ms)
        found.append(Clause(f"event_time < {high.sql}", high.parameters))
    return found


def _guarded(clause: Clause) -> Clause:
    return Clause(f"TRY({clause.sql})", clause.parameters)


def _text(wanted: str) -> Clause:
    forms = [text(form, "the text, in a form that JSON may have it in,") for form in needle_forms(wanted)]
    return joined(" OR ", [Clause(f"strpos({_FOLDED}, {form.sql}) > 0", form.parameters) for form in forms])


def _field(wanted: FieldEquality) -> Clause:
    value = wanted.value
    if not wanted.path or (isinstance(value, int) and value not in _INT64):
        return _NEVER
    if any(_PLAIN_KEY.fullmatch(key) is None for key in wanted.path):
        raise FinderUnsuited(
            "the path of a field has a key that Athena's paths can't be sure to mean: one with quotes, backslashes or "
            "other than ASCII characters, or a number"
        )
    path = text("$" + "".join(f'["{key}"]' for key in wanted.path), "the path of a field")
    found = Clause(f"json_format(json_extract(event_data, {path.sql}))", path.parameters)
    if isinstance(value, str):
        return _text_field(found, path, value)
    if isinstance(value, float):
        return _float_field(found, value)
    if value is None or isinstance(value, bool):
        value = {None: "null", True: "true", False: "false"}[value]
    equal = text(str(value), "the value of a field")
    return Clause(f"{found.sql} = {equal.sql}", (*found.parameters, *equal.parameters))


def _text_field(found: Clause, path: Clause, value: str) -> Clause:
    equal = text(value, "the value of a field")
    return Clause(
        f"substr({found.sql}, 1, 1) = '\"' AND json_extract_scalar(event_data, {path.sql}) = {equal.sql}",
        (*found.parameters, *path.parameters, *equal.parameters),
    )


def _float_field(found: Clause, value: float) -> Clause:
    if not math.isfinite(value):
        return _NEVER
    equal = text(repr(value), "the value of a field")
    # A text stands in quotes, so it is no number; a whole one is no float, unless it is larger than 64 bits.
    sql = (
        f"TRY_CAST({found.sql} AS DOUBLE) = CAST({equal.sql} AS DOUBLE) "
        f"AND (regexp_like({found.sql}, '[.eE]') OR TRY_CAST({found.sql} AS BIGINT) IS NULL)"
    )
    return Clause(sql, (*found.parameters, *equal.parameters, *found.parameters * 2))

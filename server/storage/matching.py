"""The filters of a search in plain Python, for rows that aren't in an object yet. Held equal to the engines by test."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import orjson

from server.storage.needles import needle_forms
from server.storage.query import FieldValue, Filters
from server.storage.value_matching import holds

Matcher = Callable[[int, str, str, str, str, bytes], bool]
"""(time in ms, type, uid, session id, user, JSON) -> is it wanted."""

INT64 = range(-(1 << 63), 1 << 63)
_ABSENT = object()


def compile_filters(filters: Filters) -> Matcher:
    """The filters as one function; it asks the cheap ones first and parses JSON only for fields."""
    needles = [form.encode() for form in needle_forms(filters.text)] if filters.text else []
    low = -math.inf if filters.from_ms is None else filters.from_ms
    high = math.inf if filters.to_ms is None else filters.to_ms
    types, users, uids, session = filters.types, filters.users, filters.uids, filters.session_id

    def matches(time_ms: int, type_: str, uid: str, session_id: str, user: str, data: bytes) -> bool:
        if not low <= time_ms < high or (session and session_id != session):
            return False
        if (types and type_ not in types) or (users and user not in users) or (uids and uid not in uids):
            return False
        if needles:
            folded = data.lower()  # of bytes: A-Z only
            if not any(needle in folded for needle in needles):
                return False
        return not (filters.fields or filters.condition) or _has_values(data, filters)

    return matches


def _has_values(data: bytes, filters: Filters) -> bool:
    document = document_of(data)
    if not all(_equal(_find(document, wanted.path), wanted.value) for wanted in filters.fields):
        return False
    return filters.condition is None or holds(filters.condition, document)


def document_of(data: bytes) -> Any:
    """The parsed JSON as every engine reads it; of what is no JSON, an object that nothing is in."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _ABSENT  # what asks for nothing still holds
    if orjson.dumps(document) == data:
        return document
    # There may be keys given twice. DuckDB and Athena take the first one, orjson the last.
    try:
        return json.loads(data, object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    except RecursionError:
        return document


def _find(document: Any, path: tuple[str, ...]) -> Any:
    if not path:
        return _ABSENT
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return _ABSENT
        document = document[key]
    return document


def _equal(found: Any, wanted: FieldValue) -> bool:
    if isinstance(found, int) and not isinstance(found, bool) and found not in INT64:
        found = float(found)
    if wanted is None or isinstance(wanted, bool):
        return found is wanted
    return type(found) is type(wanted) and bool(found == wanted)

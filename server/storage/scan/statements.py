"""The SQL of a scan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from server.storage.query import (
    CUT_CHARACTERS,
    LONG_USER_BYTES,
    MOST_UID_BYTES,
    Order,
    ScanObject,
    ScanRequest,
)
from server.storage.scan.conditions import beyond, filter_conditions
from server.storage.scan.sql import FALSE, Condition, all_of

# The types are stated, so they don't depend on which object is first, and DuckDB needn't look into it to plan.
# Strings stored as binary are read as strings; a cast would write bytes outside ASCII as escapes.
SOURCE = "read_parquet(?, hive_partitioning = false, binary_as_string = true, bound_schema = ?)"
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "event_type": "VARCHAR",
        "event_time": "TIMESTAMP WITH TIME ZONE",
        "uid": "VARCHAR",
        "session_id": "VARCHAR",
        "user": "VARCHAR",
        "event_data": "VARCHAR",
    }
)

_TEXTS = 'uid, event_type, session_id, "user"'
# Of texts as long as others like, so much that a page of them fits into memory. It takes longer to be planned.
_CUT_TEXTS = f"""CASE WHEN strlen(uid) <= {MOST_UID_BYTES} THEN uid END,
    left(event_type, {CUT_CHARACTERS}), left(session_id, {CUT_CHARACTERS}),
    CASE WHEN strlen("user") <= {LONG_USER_BYTES} THEN "user" ELSE left("user", {CUT_CHARACTERS}) END"""
# The digest of JSON that is given back is left to the caller, whose SHA-256 is several times as fast.
_JSON = "strlen(event_data), CASE WHEN strlen(event_data) <= ? THEN event_data ELSE sha256(event_data) END"

_FETCH = f"SELECT event_data FROM {SOURCE} WHERE file_row_number = ? AND event_data IS NOT NULL"  # noqa: S608

# A hash needs every value; for less, as a length, DuckDB reads less and finds less wrong.
_PROBE = (
    f"""SELECT bit_xor(hash(event_type, epoch_us(event_time), uid, session_id, "user", event_data)) FROM {SOURCE}"""  # noqa: S608
)

_PATTERN = re.compile(r"[*?\[]")

# A foreign row without these isn't an event; the columns needn't be marked as required.
_WHOLE = Condition(f"strlen(uid) <= {MOST_UID_BYTES} AND event_data IS NOT NULL")
_FINITE = Condition("event_time > '-infinity'::TIMESTAMPTZ AND event_time < 'infinity'::TIMESTAMPTZ")


@dataclass(frozen=True, slots=True)
class Plan:
    """A scan's objects in the order DuckDB is to read them, and the condition on their rows."""

    objects: Sequence[ScanObject]
    paths: list[str]
    where: Condition
    descending: bool
    limit: int
    inline_bytes: int

    def by_time(self, limit: int, *, whole: bool) -> Condition:
        """The first `limit` rows by time alone; with `whole` only those that have JSON and a uid that isn't too long.

        DuckDB leaves out row groups and objects that can't be among them, which it can only do for a bare column.
        """
        return self._first("event_time {way}", limit, self._whole if whole else self.where)

    def by_key(self) -> Condition:
        """The first rows by the whole order."""
        # A foreign object may tell microseconds, and epoch_ms would round them.
        time = "date_trunc('millisecond', event_time) {way}"
        return self._first(
            f"{time}, uid {{way}}, sha256(event_data) {{way}}, file_index {{way}}, file_row_number",
            self.limit,
            self._whole,
        )

    @property
    def _whole(self) -> Condition:
        return all_of([_WHOLE, self.where])

    def _first(self, order: str, limit: int, where: Condition) -> Condition:
        by = order.format(way="DESC" if self.descending else "ASC")
        is_cut = self.inline_bytes == 0 or any(item.is_foreign for item in self.objects)
        texts = _CUT_TEXTS if is_cut else _TEXTS
        return Condition(
            f"SELECT file_index, file_row_number, epoch_us(event_time), {texts}, {_JSON} "  # noqa: S608
            f"FROM {SOURCE} WHERE {where.sql} ORDER BY {by} LIMIT {int(limit)}",
            (self.inline_bytes, *source(self.paths), *where.values),
        )


def plan(request: ScanRequest, objects: Sequence[ScanObject]) -> Plan:
    """What to ask for `request` of `objects`.

    They are read by key, which is close to order by time, in the direction of the scan: so the first ones fill the
    page and the others can be left out.
    """
    descending = request.order is Order.NEWEST_FIRST
    ordered = sorted(objects, key=lambda item: item.key, reverse=descending)
    conditions = filter_conditions(request.filters)
    if request.filters.from_ms is None or request.filters.to_ms is None:
        conditions.append(_FINITE)
    if request.beyond is not None:
        conditions.append(beyond(request.beyond, request.order, FALSE))
    if request.after is not None:
        position, key, row = request.after
        conditions.append(beyond(position, request.order, _later_rows(ordered, key, row)))
    if any(item.rows is not None for item in ordered):
        conditions.append(_listed_rows(ordered))
    return Plan(
        objects=ordered,
        paths=[item.path for item in ordered],
        where=all_of(conditions),
        descending=descending,
        limit=request.limit,
        inline_bytes=request.inline_bytes,
    )


def fetch(path: str, row_number: int) -> Condition:
    """The JSON of one row."""
    return Condition(_FETCH, (*source([path]), row_number))


def probe(path: str) -> Condition:
    """What fails if any value of an object can't be read."""
    return Condition(_PROBE, source([path]))


def source(paths: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The values of `SOURCE`."""
    return [_literal(path) for path in paths], dict(_TYPES)


def _literal(path: str) -> str:
    """`path` as DuckDB must be told it, which takes `*`, `?` and `[` for a pattern."""
    return _PATTERN.sub(r"[\g<0>]", path)


def _later_rows(ordered: Sequence[ScanObject], key: str, row: int) -> Condition:
    later = [index for index, item in enumerate(ordered) if item.key > key]
    same = [index for index, item in enumerate(ordered) if item.key == key]
    return Condition(
        "list_contains(?::BIGINT[], file_index) OR (list_contains(?::BIGINT[], file_index) AND file_row_number > ?)",
        (later, same, row),
    )


def _listed_rows(ordered: Sequence[ScanObject]) -> Condition:
    whole = [index for index, item in enumerate(ordered) if item.rows is None]
    listed = [index << 32 | row for index, item in enumerate(ordered) for row in item.rows or ()]
    return Condition(
        "list_contains(?::BIGINT[], file_index) "
        "OR (file_index::BIGINT << 32 | file_row_number) IN (SELECT unnest(?::BIGINT[]))",
        (whole, listed),
    )

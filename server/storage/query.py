"""The types in which searches are put to engines, and rows come back."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from server.storage.value_tests import RowCondition

MOST_UID_BYTES = 1024
"""Of a row that is given: the place of a search has its uid, and so has each page token. Events of ours have 128."""
LONG_USER_BYTES = 16_384
CUT_CHARACTERS = 1024
"""What is given of a longer type or session id, which no event of ours has, and of a user above LONG_USER_BYTES."""

FieldValue = str | int | float | bool | None


class Order(enum.Enum):
    """Order of rows by (time in ms, uid, digest), whole key up or down."""

    NEWEST_FIRST = "newest"
    OLDEST_FIRST = "oldest"


@dataclass(frozen=True, slots=True)
class FieldEquality:
    """The JSON has this value at this path of object keys; types must agree (an int is never equal to a float)."""

    path: tuple[str, ...]
    value: FieldValue


@dataclass(frozen=True, slots=True)
class Filters:
    """What a row must be like; every member must hold, an empty one always does. Times are ms since 1970, UTC."""

    from_ms: int | None = None
    to_ms: int | None = None
    """Exclusive."""
    types: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    session_id: str = ""
    uids: frozenset[str] = frozenset()
    text: str = ""
    fields: tuple[FieldEquality, ...] = ()
    condition: RowCondition | None = None
    """What the caller's rights ask of a row. Part of every engine's query, so that it counts before any limit."""


class Position(NamedTuple):
    """A place in the order: the key of a row."""

    time_ms: int
    uid: str
    digest: str
    """SHA-256 of the JSON, lower-case hex."""


@dataclass(frozen=True, slots=True)
class ScanObject:
    """One stored Parquet object for an engine to read."""

    key: str
    """What the caller knows it by; given back with each row."""
    path: str
    """Where the engine reads it, from the storage."""
    rows: Sequence[int] | None = None
    """Only these row numbers (0-based, ascending) may be given back; None for all."""
    is_foreign: bool = False
    """Whether others made it: its texts may be as long as they like."""


class ScanRow(NamedTuple):
    """A row an engine found. `data` is None where the JSON is larger than the scan's `inline_bytes`. Where others
    made one of its objects, and where memory is scarce, texts may be cut, see CUT_CHARACTERS. Filters compare all.
    """

    position: Position
    object_key: str
    row_number: int
    """0-based row in its object."""
    type: str
    session_id: str
    user: str
    size: int
    """Bytes of the JSON."""
    data: bytes | None


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """One scan: rows of `objects` that pass `filters`, in `order`, beyond `after`, at most `limit`."""

    objects: Sequence[ScanObject]
    filters: Filters
    order: Order
    limit: int
    after: tuple[Position, str, int] | None = None
    """Exclusive: position, object key and row number of a row given before, continuing in the total order
    (time, uid, digest, object key, row number), where the last two always ascend."""
    beyond: Position | None = None
    """Exclusive: rows whose key equals this are left out as well."""
    inline_bytes: int = 16_384


@dataclass(frozen=True, slots=True)
class UnreadableObject:
    """An object that a scan left out, and why, in our own words."""

    key: str
    description: str
    missing: bool = False
    """True when it isn't there at all."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Rows in order; fewer than `limit` means there are no more."""

    rows: list[ScanRow]
    unreadable: list[UnreadableObject] = field(default_factory=list)

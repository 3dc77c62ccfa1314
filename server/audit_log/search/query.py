"""What a search asks and what a page answers, in the use case's own types."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from rbac.identities import IdentityKind
from server.audit_log.receipts import Emitter, Receipt
from server.storage.ports import ObjectArchived, ObjectChanged, ObjectMissing, StorageError
from server.storage.query import Filters, Order, Position

DEFAULT_PAGE_SIZE = 100
WALKERS_PAGE_SIZE = 1000
"""Who asks for so many rows at first is about to ask for the next page; most searches end with the first."""
MAX_PAGE_SIZE = 2000
"""With 1.5 MiB of JSON so many rows stay below the 4 MiB that a default client takes: 256 bytes of columns and 1,000 of
digest and receipt are left for each."""


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far each log was counted, and the catalogue revision up to which foreign objects were."""

    logs: Mapping[str, int]
    catalogue_revision: int


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What events must be like: in themselves, and by who emitted them."""

    filters: Filters = field(default_factory=Filters)
    emitters: frozenset[str] = frozenset()
    emitter_kinds: frozenset[IdentityKind] = frozenset()


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One page asked for. The transport has checked types and bounds of the single fields."""

    filters: Filters = field(default_factory=Filters)
    emitters: frozenset[str] = frozenset()
    emitter_kinds: frozenset[IdentityKind] = frozenset()
    order: Order = Order.NEWEST_FIRST
    storage: str = "active"
    engine: str = "auto"
    """`auto`, `scan` or `athena`."""
    page_size: int = DEFAULT_PAGE_SIZE
    page_token: str = ""
    watermark: Watermark | None = None


def emitter_test(asked: EventFilter | SearchQuery) -> Callable[[Emitter], bool] | None:
    """A test of who emitted an event, or None where none is asked for."""
    if not asked.emitters and not asked.emitter_kinds:
        return None
    names, kinds = asked.emitters, {kind.value for kind in asked.emitter_kinds}
    return lambda emitter: (not names or emitter.name in names) and (not kinds or emitter.kind in kinds)


class FoundEvent(NamedTuple):
    """One row of a page. `data` is None when the payload is omitted for its size."""

    position: Position
    type: str
    session_id: str
    user: str
    size: int
    data: bytes | None
    receipts: tuple[Receipt, ...]


class MissingReason(enum.Enum):
    """Why part of an answer is missing; the values are the proto enum's names without prefix."""

    OBJECT_MISSING = "OBJECT_MISSING"
    OBJECT_CHANGED = "OBJECT_CHANGED"
    OBJECT_UNREADABLE = "OBJECT_UNREADABLE"
    ROWS_UNREADABLE = "ROWS_UNREADABLE"
    JOURNAL_HOLE = "JOURNAL_HOLE"
    TIME_LIMIT = "TIME_LIMIT"
    RECEIPTS_UNREADABLE = "RECEIPTS_UNREADABLE"
    OTHER_STORAGE = "OTHER_STORAGE"
    OUTSIDE_TABLE = "OUTSIDE_TABLE"
    EXPIRED = "EXPIRED"
    OBJECT_ARCHIVED = "OBJECT_ARCHIVED"


def reason_of(error: StorageError) -> MissingReason:
    """Why an object that can't be had is missing."""
    if isinstance(error, ObjectMissing):
        return MissingReason.OBJECT_MISSING
    if isinstance(error, ObjectArchived):
        return MissingReason.OBJECT_ARCHIVED
    return MissingReason.OBJECT_CHANGED if isinstance(error, ObjectChanged) else MissingReason.OBJECT_UNREADABLE


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing missing from an answer."""

    reason: MissingReason
    storage: str
    name: str
    description: str
    first_sequence: int = 0
    last_sequence: int = 0


@dataclass(slots=True)
class Cost:
    """What a page read."""

    objects: int = 0
    rows: int = 0
    bytes: int = 0
    journal_events: int = 0
    queries: int = 0
    """That Athena was asked."""
    query_bytes: int = 0
    """That Athena read for them; 0 to a caller who may not see every event, since they tell of the others."""


class PrepareNext(Protocol):
    """Has the next pages cost less."""

    def __call__(self, is_alone: Callable[[], bool] = ...) -> None:
        """`is_alone`: whether nobody else is held up, asked before more is done than the next page needs."""
        ...


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of an answer."""

    rows: Sequence[FoundEvent]
    next_page_token: str
    engine: str
    cost: Cost
    watermark: Watermark
    missing: list[Missing]
    query_id: str
    engine_reason: str = ""
    """Why this engine, in our own words."""
    prepare_next: PrepareNext | None = None
    """Where the next page is likely to be asked for, has it cost less."""

    @property
    def complete(self) -> bool:
        """True when every event that the page should hold was looked at."""
        return not self.missing


@dataclass(frozen=True, slots=True)
class EventSelector:
    """Names one event: by position (log_id and sequence) or by uid, with a digest to choose among equals."""

    log_id: str = ""
    sequence: int = 0
    uid: str = ""
    digest: str = ""
    storage: str = "active"

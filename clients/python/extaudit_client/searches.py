"""What a search asks for, and a page of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from google.protobuf.timestamp_pb2 import Timestamp

from extaudit_client import names
from extaudit_client.rows import EventRow, row_from

MAX_PAGE = 2000
"""Rows that the service gives in one page at most."""

_TIME_LIMIT = "time_limit"

FieldValue = str | int | float | bool | None

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class FieldEquality:
    """The JSON has this value at this path of keys; types must agree (an int is never equal to a float)."""

    path: tuple[str, ...]
    value: FieldValue


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far each log was read (log id → sequence), and the catalogue revision of the foreign objects counted."""

    logs: Mapping[str, int] = field(default_factory=dict)
    catalogue_revision: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """What rows must be like; all filters must hold, an empty one always does. Times are aware, `to_time` is exclusive.

    `emitter_kinds`: component, user, service. `order`: newest, oldest. `engine`: scan, athena, or empty for the
    service's choice. `storage`: active (or empty), default, all, or an id. `page_size` 0 is the service's default.
    """

    from_time: datetime | None = None
    to_time: datetime | None = None
    types: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    session_id: str = ""
    uids: tuple[str, ...] = ()
    text: str = ""
    fields: tuple[FieldEquality, ...] = ()
    emitters: tuple[str, ...] = ()
    emitter_kinds: tuple[str, ...] = ()
    order: str = "newest"
    storage: str = ""
    engine: str = ""
    page_size: int = 0
    watermark: Watermark | None = None


@dataclass(frozen=True, slots=True)
class SearchCost:
    """What a page read: stored objects, their rows and bytes, and events not yet in batches."""

    objects: int = 0
    rows: int = 0
    bytes: int = 0
    journal_events: int = 0
    athena_queries: int = 0
    athena_bytes: int = 0
    """That Athena read, which AWS bills."""


@dataclass(frozen=True, slots=True)
class MissingPart:
    """One thing missing from an answer. `reason` is a short name of MissingReason, such as `time_limit`."""

    reason: str
    storage: str
    name: str
    first_sequence: int
    last_sequence: int
    description: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows; `next_page_token` is empty at the search's end."""

    rows: tuple[EventRow, ...]
    next_page_token: str
    engine: str
    cost: SearchCost
    watermark: Watermark
    complete: bool
    missing: tuple[MissingPart, ...]
    query_id: str
    engine_reason: str = ""
    """Why this engine, in words."""

    @property
    def lasting_gaps(self) -> tuple[MissingPart, ...]:
        """The missing parts that no later page makes good: one that ran out of time is made good by the next page."""
        return tuple(part for part in self.missing if part.reason != _TIME_LIMIT or not self.next_page_token)

    @property
    def whole(self) -> bool:
        """True when nothing is missing for good."""
        return self.complete or (bool(self.missing) and not self.lasting_gaps)


def request_from(query: Query, page_token: str) -> pb.SearchEventsRequest:
    """Write a query as a request.

    Raises:
        ValueError: an order, engine or emitter kind has no such name, or a time has no zone.
    """
    request = pb.SearchEventsRequest(
        types=query.types,
        users=query.users,
        session_id=query.session_id,
        uids=query.uids,
        text=query.text,
        fields=[field_message(equality) for equality in query.fields],
        emitters=query.emitters,
        storage=query.storage,
        page_size=query.page_size,
        page_token=page_token,
        order=pb.SearchOrder.ValueType(names.value_of(query.order, names.ORDERS)),
        engine=pb.SearchEngine.ValueType(names.value_of(query.engine, names.ENGINES)),
    )
    request.emitter_kinds.extend(
        event_pb2.IdentityKind.ValueType(names.value_of(kind, names.IDENTITY_KINDS)) for kind in query.emitter_kinds
    )
    if query.from_time is not None:
        request.from_time.CopyFrom(timestamp(query.from_time))
    if query.to_time is not None:
        request.to_time.CopyFrom(timestamp(query.to_time))
    if query.watermark is not None:
        request.watermark.logs.update(query.watermark.logs)
        request.watermark.catalogue_revision = query.watermark.catalogue_revision
    return request


def page_from(response: pb.SearchEventsResponse) -> Page:
    """Read a page."""
    cost, mark = response.cost, response.watermark
    return Page(
        rows=tuple(row_from(row) for row in response.events),
        next_page_token=response.next_page_token,
        engine=names.name_of(response.engine, names.ENGINES),
        cost=SearchCost(
            cost.objects, cost.rows, cost.bytes, cost.journal_events, cost.athena_queries, cost.athena_bytes
        ),
        watermark=Watermark(dict(mark.logs), mark.catalogue_revision),
        complete=response.complete,
        missing=tuple(missing_from(part) for part in response.missing),
        query_id=response.query_id,
        engine_reason=response.engine_reason,
    )


def missing_from(part: query_pb.MissingPart) -> MissingPart:
    """Read a part that is missing."""
    reason = names.name_of(part.reason, names.MISSING_REASONS)
    return MissingPart(reason, part.storage, part.name, part.first_sequence, part.last_sequence, part.description)


def field_message(equality: FieldEquality) -> query_pb.FieldEquality:
    """Write what a field must be."""
    path, value = equality.path, equality.value
    if value is None:
        return query_pb.FieldEquality(path=path, null_value=True)
    if isinstance(value, bool):  # before int, which it is as well
        return query_pb.FieldEquality(path=path, bool_value=value)
    if isinstance(value, str):
        return query_pb.FieldEquality(path=path, string_value=value)
    if isinstance(value, int) and value in _INT64:
        return query_pb.FieldEquality(path=path, int64_value=value)
    return query_pb.FieldEquality(path=path, double_value=float(value))


def timestamp(time: datetime) -> Timestamp:
    """Write a time.

    Raises:
        ValueError: it has no zone.
    """
    if time.tzinfo is None:
        raise ValueError("a time needs a zone")
    message = Timestamp()
    message.FromDatetime(time)
    return message

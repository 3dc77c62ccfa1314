"""From requests that look for events to queries; every wrong field is named, all at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from google.protobuf.timestamp_pb2 import Timestamp

from rbac.identities import IdentityKind
from server.audit_log.search.query import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    EventFilter,
    EventSelector,
    SearchQuery,
    Watermark,
)
from server.errors import InvalidRequest, Violation
from server.storage.query import FieldEquality, FieldValue, Filters, Order

MAX_VALUES: Final = 100
MAX_TEXT_CHARACTERS: Final = 1024
MAX_FIELDS: Final = 16
MAX_PATH_KEYS: Final = 16
MAX_LOGS: Final = 1000
MAX_NAME_CHARACTERS: Final = 256
MAX_TOKEN_CHARACTERS: Final = 65_536

_MIN_SECONDS: Final = -62_135_596_800
_MAX_SECONDS: Final = 253_402_300_799
_HEX: Final = frozenset("0123456789abcdef")

_ORDERS: Final[Mapping[int, Order]] = MappingProxyType(
    {
        pb.SEARCH_ORDER_UNSPECIFIED: Order.NEWEST_FIRST,
        pb.SEARCH_ORDER_NEWEST_FIRST: Order.NEWEST_FIRST,
        pb.SEARCH_ORDER_OLDEST_FIRST: Order.OLDEST_FIRST,
    }
)
ENGINES: Final[Mapping[int, str]] = MappingProxyType(
    {pb.SEARCH_ENGINE_UNSPECIFIED: "auto", pb.SEARCH_ENGINE_SCAN: "scan", pb.SEARCH_ENGINE_ATHENA: "athena"}
)
KINDS: Final[Mapping[int, IdentityKind]] = MappingProxyType(
    {
        event_pb2.IDENTITY_KIND_COMPONENT: IdentityKind.COMPONENT,
        event_pb2.IDENTITY_KIND_USER: IdentityKind.USER,
        event_pb2.IDENTITY_KIND_SERVICE: IdentityKind.SERVICE,
    }
)

Filtering: TypeAlias = pb.SearchEventsRequest | query_pb.EventFilter
"""Messages that say with the same members what events must be like."""


def search_query(request: pb.SearchEventsRequest) -> SearchQuery:
    """The query of a SearchEvents request.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    violations = _violations_of_search(request)
    if violations:
        raise InvalidRequest(violations)
    wanted = event_filter(request)
    return SearchQuery(
        filters=wanted.filters,
        emitters=wanted.emitters,
        emitter_kinds=wanted.emitter_kinds,
        order=_ORDERS[request.order],
        storage=request.storage or "active",
        engine=ENGINES[request.engine],
        page_size=min(request.page_size, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE,
        page_token=request.page_token,
        watermark=_watermark(request),
    )


def event_selector(request: pb.GetEventRequest) -> EventSelector:
    """What a GetEvent request names.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    violations = _violations_of_get(request)
    if violations:
        raise InvalidRequest(violations)
    return EventSelector(
        log_id=request.position.log_id,
        sequence=request.position.sequence,
        uid=request.uid,
        digest=request.digest,
        storage=request.storage or "active",
    )


def _violations_of_get(request: pb.GetEventRequest) -> list[Violation]:
    found = []
    match request.WhichOneof("selector"):
        case "position":
            if not 1 <= len(request.position.log_id) <= MAX_NAME_CHARACTERS:
                found.append(Violation("position.log_id", f"must be 1 to {MAX_NAME_CHARACTERS} characters"))
            if request.position.sequence < 1:
                found.append(Violation("position.sequence", "must be at least 1"))
            if request.digest:
                found.append(Violation("digest", "may be given only with a uid"))
        case "uid":
            if not request.uid:
                found.append(Violation("uid", "must not be empty"))
        case _:
            found.append(Violation("selector", "must be set: one of position and uid"))
    if request.digest and not (len(request.digest) == 64 and _HEX.issuperset(request.digest)):
        found.append(Violation("digest", "must be 64 lower-case hexadecimal digits"))
    return found + too_long("storage", request.storage, MAX_NAME_CHARACTERS)


def _violations_of_search(request: pb.SearchEventsRequest) -> list[Violation]:
    found = filter_violations(request)
    if request.order not in _ORDERS:
        found.append(Violation("order", "must be a known order"))
    if request.engine not in ENGINES:
        found.append(Violation("engine", "must be a known engine"))
    if request.page_size < 0:
        found.append(Violation("page_size", "must not be negative"))
    found += too_long("storage", request.storage, MAX_NAME_CHARACTERS)
    found += too_long("page_token", request.page_token, MAX_TOKEN_CHARACTERS)
    mark = request.watermark
    if request.HasField("watermark") and not mark.logs and not mark.catalogue_revision:
        # It counts nothing, and an answer without rows would look complete.
        found.append(Violation("watermark", "must be that of an earlier answer; it is empty"))
    return found + too_many("watermark.logs", len(mark.logs), MAX_LOGS)


def filter_violations(asked: Filtering, prefix: str = "") -> list[Violation]:
    """What is wrong with the members that say what events must be like; `prefix` comes before their names."""
    found = [
        *violations_of_time(f"{prefix}from_time", asked.from_time),
        *violations_of_time(f"{prefix}to_time", asked.to_time),
    ]
    for name in ("types", "users", "uids", "emitters"):
        found += too_many(f"{prefix}{name}", len(getattr(asked, name)), MAX_VALUES)
    found += too_long(f"{prefix}text", asked.text, MAX_TEXT_CHARACTERS)
    found += too_many(f"{prefix}fields", len(asked.fields), MAX_FIELDS)
    for index, wanted in enumerate(asked.fields[:MAX_FIELDS]):
        found += _violations_of_field(f"{prefix}fields[{index}]", wanted)
    if any(kind not in KINDS for kind in asked.emitter_kinds):
        found.append(Violation(f"{prefix}emitter_kinds", "must be known kinds"))
    return found


def event_filter(asked: Filtering) -> EventFilter:
    """What events must be like; `asked` has no violations."""
    return EventFilter(
        _filters(asked), frozenset(asked.emitters), frozenset(KINDS[kind] for kind in asked.emitter_kinds)
    )


def violations_of_time(name: str, time: Timestamp) -> list[Violation]:
    """What is wrong with a time."""
    if _MIN_SECONDS <= time.seconds <= _MAX_SECONDS and 0 <= time.nanos <= 999_999_999:
        return []
    return [Violation(name, "must be from year 1 to 9999, with 0 to 999,999,999 nanoseconds")]


def _violations_of_field(name: str, wanted: query_pb.FieldEquality) -> list[Violation]:
    found = []
    if not 1 <= len(wanted.path) <= MAX_PATH_KEYS:
        found.append(Violation(f"{name}.path", f"must be 1 to {MAX_PATH_KEYS} keys"))
    match wanted.WhichOneof("value"):
        case None:
            found.append(Violation(f"{name}.value", "must be set"))
        case "null_value" if not wanted.null_value:
            found.append(Violation(f"{name}.null_value", "must be true"))
        case "double_value" if not math.isfinite(wanted.double_value):
            found.append(Violation(f"{name}.double_value", "must be neither NaN nor infinity, which no JSON holds"))
    return found


def too_many(name: str, count: int, bound: int) -> list[Violation]:
    """What is wrong with a list of so many."""
    return [Violation(name, f"must be at most {bound}")] if count > bound else []


def too_long(name: str, text: str, characters: int) -> list[Violation]:
    """What is wrong with the length of a text."""
    return [Violation(name, f"must be at most {characters} characters")] if len(text) > characters else []


def _filters(request: Filtering) -> Filters:
    return Filters(
        from_ms=milliseconds(request.from_time) if request.HasField("from_time") else None,
        to_ms=milliseconds(request.to_time) if request.HasField("to_time") else None,
        types=frozenset(request.types),
        users=frozenset(request.users),
        session_id=request.session_id,
        uids=frozenset(request.uids),
        text=request.text,
        fields=tuple(FieldEquality(tuple(wanted.path), _value(wanted)) for wanted in request.fields),
    )


def _value(wanted: query_pb.FieldEquality) -> FieldValue:
    kind = wanted.WhichOneof("value")
    value: FieldValue = None if kind is None or kind == "null_value" else getattr(wanted, kind)
    return value


def _watermark(request: pb.SearchEventsRequest) -> Watermark | None:
    if not request.HasField("watermark"):
        return None
    return Watermark(dict(request.watermark.logs), request.watermark.catalogue_revision)


def milliseconds(time: Timestamp) -> int:
    """A time in ms since 1970."""
    return time.seconds * 1000 + time.nanos // 1_000_000

"""Requests that look for events: mapped field by field, and refused with every wrong field named."""

from __future__ import annotations

import math

import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from google.protobuf.timestamp_pb2 import Timestamp

from rbac.identities import IdentityKind
from server.audit_log.search.query import EventSelector, SearchQuery, Watermark
from server.errors import InvalidRequest
from server.grpc_api.search_requests import event_selector, search_query
from server.storage.query import FieldEquality, Filters, Order

Request = pb.SearchEventsRequest
Equality = query_pb.FieldEquality


def test_an_empty_request_asks_for_the_newest_hundred_of_the_active_storage() -> None:
    assert search_query(Request()) == SearchQuery()


def test_every_field_is_mapped() -> None:
    request = Request(
        from_time=Timestamp(seconds=1, nanos=1_999_999),
        to_time=Timestamp(seconds=-2, nanos=999_999_999),
        types=["a", "b", "a"],
        users=[""],
        session_id="s",
        uids=["u"],
        text="Text",
        fields=[
            Equality(path=["a", ""], string_value=""),
            Equality(path=["i"], int64_value=0),
            Equality(path=["d"], double_value=0.0),
            Equality(path=["b"], bool_value=False),
            Equality(path=["n"], null_value=True),
        ],
        emitters=["e"],
        emitter_kinds=[event_pb2.IDENTITY_KIND_COMPONENT, event_pb2.IDENTITY_KIND_SERVICE],
        order=pb.SEARCH_ORDER_OLDEST_FIRST,
        storage="all",
        engine=pb.SEARCH_ENGINE_ATHENA,
        page_size=7,
        page_token="t",
        watermark=pb.Watermark(logs={"l": 5}, catalogue_revision=6),
    )
    query = search_query(request)
    assert query == SearchQuery(
        filters=Filters(
            from_ms=1001,
            to_ms=-1001,
            types=frozenset({"a", "b"}),
            users=frozenset({""}),
            session_id="s",
            uids=frozenset({"u"}),
            text="Text",
            fields=(
                FieldEquality(("a", ""), ""),
                FieldEquality(("i",), 0),
                FieldEquality(("d",), 0.0),
                FieldEquality(("b",), False),
                FieldEquality(("n",), None),
            ),
        ),
        emitters=frozenset({"e"}),
        emitter_kinds=frozenset({IdentityKind.COMPONENT, IdentityKind.SERVICE}),
        order=Order.OLDEST_FIRST,
        storage="all",
        engine="athena",
        page_size=7,
        page_token="t",
        watermark=Watermark({"l": 5}, 6),
    )
    assert [type(each.value) for each in query.filters.fields] == [str, int, float, bool, type(None)]


@pytest.mark.parametrize("mark", [Watermark({"l": 0}, 0), Watermark({}, 1)])
def test_a_watermark_that_names_anything_is_taken(mark: Watermark) -> None:
    asked = pb.Watermark(logs=mark.logs, catalogue_revision=mark.catalogue_revision)
    assert search_query(Request(watermark=asked)).watermark == mark


@pytest.mark.parametrize(("asked", "given"), [(0, 100), (1, 1), (1000, 1000), (2001, 2000), (2**31 - 1, 2000)])
def test_page_sizes_are_coerced(asked: int, given: int) -> None:
    assert search_query(Request(page_size=asked)).page_size == given


@pytest.mark.parametrize(
    "time",
    [Timestamp(seconds=-62_135_596_800), Timestamp(seconds=253_402_300_799, nanos=999_999_999)],
)
def test_times_from_year_1_to_9999_are_taken(time: Timestamp) -> None:
    assert search_query(Request(from_time=time)).filters.from_ms == time.seconds * 1000 + time.nanos // 1_000_000


MANY = [str(n) for n in range(101)]


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        (Request(from_time=Timestamp(seconds=-62_135_596_801)), "from_time"),
        (Request(to_time=Timestamp(seconds=253_402_300_800)), "to_time"),
        (Request(from_time=Timestamp(nanos=-1)), "from_time"),
        (Request(to_time=Timestamp(nanos=1_000_000_000)), "to_time"),
        (Request(types=MANY), "types"),
        (Request(users=MANY), "users"),
        (Request(uids=MANY), "uids"),
        (Request(emitters=MANY), "emitters"),
        (Request(text="ü" * 1025), "text"),
        (Request(fields=[Equality(path=["a"], bool_value=True)] * 17), "fields"),
        (Request(fields=[Equality(bool_value=True)]), "fields[0].path"),
        (Request(fields=[Equality(path=["a"] * 17, bool_value=True)]), "fields[0].path"),
        (Request(fields=[Equality(path=["a"])]), "fields[0].value"),
        (Request(fields=[Equality(path=["a"], null_value=False)]), "fields[0].null_value"),
        (Request(fields=[Equality(path=["a"], double_value=math.nan)]), "fields[0].double_value"),
        (Request(fields=[Equality(path=["a"], double_value=math.inf)]), "fields[0].double_value"),
        (Request(emitter_kinds=[event_pb2.IDENTITY_KIND_UNSPECIFIED]), "emitter_kinds"),
        (Request(emitter_kinds=[9]), "emitter_kinds"),  # type: ignore[list-item]
        (Request(order=9), "order"),  # type: ignore[arg-type]
        (Request(engine=9), "engine"),  # type: ignore[arg-type]
        (Request(page_size=-1), "page_size"),
        (Request(storage="s" * 257), "storage"),
        (Request(page_token="t" * 65_537), "page_token"),
        (Request(watermark=pb.Watermark(logs={str(n): 1 for n in range(1001)})), "watermark.logs"),
        (Request(watermark=pb.Watermark()), "watermark"),
    ],
)
def test_a_field_out_of_bounds_is_refused(request_message: Request, field: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        search_query(request_message)
    assert [violation.field for violation in refusal.value.violations] == [field]


def test_values_at_their_bounds_are_taken() -> None:
    search_query(
        Request(
            types=MANY[:100],
            users=MANY[:100],
            uids=MANY[:100],
            emitters=MANY[:100],
            text="ü" * 1024,
            fields=[Equality(path=["a"] * 16, bool_value=True)] * 16,
        )
    )


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        search_query(Request(types=MANY, page_size=-1, fields=[Equality(), Equality(path=["a"], null_value=False)]))
    fields = [violation.field for violation in refusal.value.violations]
    assert fields == ["types", "fields[0].path", "fields[0].value", "fields[1].null_value", "page_size"]


DIGEST = "0a" * 32


@pytest.mark.parametrize(
    ("request_message", "selector"),
    [
        (pb.GetEventRequest(uid="u"), EventSelector(uid="u")),
        (pb.GetEventRequest(uid="u", digest=DIGEST, storage="all"), EventSelector("", 0, "u", DIGEST, "all")),
        (pb.GetEventRequest(position=pb.EventPosition(log_id="l", sequence=3)), EventSelector("l", 3)),
    ],
)
def test_an_event_is_named_by_uid_or_position(request_message: pb.GetEventRequest, selector: EventSelector) -> None:
    assert event_selector(request_message) == selector


@pytest.mark.parametrize(
    ("request_message", "fields"),
    [
        (pb.GetEventRequest(), ["selector"]),
        (pb.GetEventRequest(uid=""), ["uid"]),
        (pb.GetEventRequest(position=pb.EventPosition()), ["position.log_id", "position.sequence"]),
        (pb.GetEventRequest(position=pb.EventPosition(log_id="l" * 257, sequence=1)), ["position.log_id"]),
        (pb.GetEventRequest(uid="u", digest="0A" * 32), ["digest"]),
        (pb.GetEventRequest(uid="u", digest="0a"), ["digest"]),
        (pb.GetEventRequest(position=pb.EventPosition(log_id="l", sequence=1), digest=DIGEST), ["digest"]),
        (pb.GetEventRequest(uid="u", storage="s" * 257), ["storage"]),
    ],
)
def test_a_wrong_name_of_an_event_is_refused(request_message: pb.GetEventRequest, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        event_selector(request_message)
    assert [violation.field for violation in refusal.value.violations] == fields

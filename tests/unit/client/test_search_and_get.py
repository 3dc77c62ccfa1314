from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2, status_service_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit_client import (
    Client,
    ExtauditError,
    FieldEquality,
    Identity,
    IncompleteAnswer,
    MissingPart,
    Position,
    Query,
    Receipt,
    Watermark,
)

from tests.unit.client.fake_service import FakeService

NOON = datetime(2024, 5, 1, 12, 0, 0, 123000, UTC)
HOLE, LIMIT = query_pb.MISSING_REASON_JOURNAL_HOLE, query_pb.MISSING_REASON_TIME_LIMIT


def message(uid: str, payload: bytes = b"{}") -> event_pb2.EventRow:
    row = event_pb2.EventRow(
        uid=uid, json=payload, digest=hashlib.sha256(payload).hexdigest(), payload_size=len(payload)
    )
    row.time.FromDatetime(NOON)
    return row


def pages(*listed: pb.SearchEventsResponse) -> dict[str, pb.SearchEventsResponse]:
    """Number pages: the token of page 2 is `1`; a page without a token set here is the last."""
    for number, page in enumerate(listed[:-1], 1):
        page.next_page_token = str(number)
    return {"" if number == 0 else str(number): page for number, page in enumerate(listed)}


def page(*uids: str, missing: tuple[int, ...] = ()) -> pb.SearchEventsResponse:
    parts = [query_pb.MissingPart(reason=query_pb.MissingReason.ValueType(reason), name="x") for reason in missing]
    return pb.SearchEventsResponse(events=[message(uid) for uid in uids], complete=not missing, missing=parts)


def test_every_filter_reaches_the_service(service: FakeService, client: Client) -> None:
    query = Query(
        from_time=NOON,
        to_time=NOON,
        types=("a", "b"),
        users=("u",),
        session_id="s",
        uids=("1",),
        text="t",
        fields=tuple(FieldEquality(("k", "a.b"), value) for value in ("x", 1, 2**63, 1.0, True, None)),
        emitters=("e",),
        emitter_kinds=("component", "service"),
        order="oldest",
        storage="all",
        engine="athena",
        page_size=7,
        watermark=Watermark({"log1": 9}, 4),
    )
    client.search(query, "token")
    (sent,) = service.searches
    assert sent.from_time.ToDatetime(UTC) == sent.to_time.ToDatetime(UTC) == NOON
    assert (sent.types, sent.users, sent.session_id, sent.uids, sent.text) == (["a", "b"], ["u"], "s", ["1"], "t")
    assert {tuple(equality.path) for equality in sent.fields} == {("k", "a.b")}
    kinds = [equality.WhichOneof("value") for equality in sent.fields]
    assert kinds == ["string_value", "int64_value", "double_value", "double_value", "bool_value", "null_value"]
    assert (sent.emitters, sent.emitter_kinds) == (["e"], [1, 3])
    assert (sent.order, sent.engine) == (pb.SEARCH_ORDER_OLDEST_FIRST, pb.SEARCH_ENGINE_ATHENA)
    assert (sent.storage, sent.page_size, sent.page_token) == ("all", 7, "token")
    assert (dict(sent.watermark.logs), sent.watermark.catalogue_revision) == ({"log1": 9}, 4)


def test_a_query_without_filters_sends_none(service: FakeService, client: Client) -> None:
    client.search(Query())
    assert service.searches == [pb.SearchEventsRequest(order=pb.SEARCH_ORDER_NEWEST_FIRST)]


@pytest.mark.parametrize(
    "query",
    [
        Query(order="sideways"),
        Query(engine="warp"),
        Query(emitter_kinds=("ghost",)),
        Query(from_time=datetime(2024, 5, 1)),
    ],
)
def test_a_query_that_cannot_be_said_is_refused_before_it_is_sent(
    service: FakeService, client: Client, query: Query
) -> None:
    with pytest.raises(ValueError):
        client.search(query)
    assert service.searches == []


def test_a_page_is_read_whole(service: FakeService, client: Client) -> None:
    row = message("u1", b'{"a":1}')
    row.type, row.user, row.session_id = "t", "alice", "s"
    receipt = row.receipts.add(storage="default", log_id="log1", sequence=3, peer="ipv4:127.0.0.1:1")
    receipt.emitter.CopyFrom(event_pb2.Identity(kind=event_pb2.IDENTITY_KIND_USER, name="alice", trust_anchor="aa"))
    receipt.received_time.FromDatetime(NOON)
    row.receipts.add(storage="default", foreign_object="o")
    answer = pb.SearchEventsResponse(
        events=[row],
        engine=pb.SEARCH_ENGINE_SCAN,
        cost=pb.SearchCost(objects=1, rows=2, bytes=3, journal_events=4),
        watermark=pb.Watermark(logs={"log1": 5}, catalogue_revision=6),
        missing=[
            query_pb.MissingPart(reason=HOLE, storage="s", name="n", first_sequence=1, last_sequence=2, description="d")
        ],
        query_id="q",
    )
    service.search = lambda _: answer
    found = client.search(Query())
    assert found.missing == (MissingPart("journal_hole", "s", "n", 1, 2, "d"),)
    assert (found.engine, found.query_id, found.complete, found.whole) == ("scan", "q", False, False)
    assert found.watermark == Watermark({"log1": 5}, 6)
    assert (found.cost.objects, found.cost.rows, found.cost.bytes, found.cost.journal_events) == (1, 2, 3, 4)
    (event,) = found.rows
    assert (event.json, event.time, event.uid, event.type, event.user) == (b'{"a":1}', NOON, "u1", "t", "alice")
    known = Identity("user", "alice", "aa", "")
    assert event.receipts == (
        Receipt("default", "log1", 3, known, "ipv4:127.0.0.1:1", NOON, ""),
        Receipt("default", "", 0, None, "", None, "o"),
    )


def test_all_rows_come_over_pages(service: FakeService, client: Client) -> None:
    numbered = pages(page("a", "b"), page(), page("c"))
    service.search = lambda request: numbered[request.page_token]
    assert [row.uid for row in client.search_all(Query())] == ["a", "b", "c"]


def test_a_limit_asks_for_no_more_than_is_left(service: FakeService, client: Client) -> None:
    numbered = pages(page("a", "b"), page("c", "d"), page("e"))
    service.search = lambda request: numbered[request.page_token]
    found = list(client.search_pages(Query(page_size=2), limit=3))
    assert len(found) == 2
    assert [request.page_size for request in service.searches] == [2, 1]


def test_missing_rows_are_an_error_after_the_last_row(service: FakeService, client: Client) -> None:
    numbered = pages(page("a", missing=(HOLE,)), page("b"))
    service.search = lambda request: numbered[request.page_token]
    rows = client.search_all(Query())
    assert [next(rows).uid, next(rows).uid] == ["a", "b"]
    with pytest.raises(IncompleteAnswer) as caught:
        next(rows)
    assert [part.reason for part in caught.value.missing] == ["journal_hole"]


def test_a_page_out_of_time_is_made_good_by_the_next(service: FakeService, client: Client) -> None:
    numbered = pages(page("a", missing=(LIMIT,)), page("b"))
    service.search = lambda request: numbered[request.page_token]
    assert len(list(client.search_all(Query()))) == 2


@pytest.mark.parametrize("missing", [(LIMIT,), (LIMIT, HOLE)])
def test_a_last_page_out_of_time_is_incomplete(service: FakeService, client: Client, missing: tuple[int, ...]) -> None:
    service.search = lambda _: page("a", missing=missing)
    with pytest.raises(IncompleteAnswer):
        list(client.search_all(Query()))


def test_an_incomplete_page_that_names_nothing_is_incomplete(service: FakeService, client: Client) -> None:
    service.search = lambda _: pb.SearchEventsResponse(complete=False)
    with pytest.raises(IncompleteAnswer):
        list(client.search_all(Query()))


def test_a_token_given_twice_ends_the_search_with_an_error(service: FakeService, client: Client) -> None:
    service.search = lambda _: pb.SearchEventsResponse(complete=True, next_page_token="same")
    with pytest.raises(ExtauditError, match="twice"):
        list(client.search_all(Query()))


def parts(row: event_pb2.EventRow, *chunks: bytes) -> Iterator[pb.GetEventResponse]:
    yield pb.GetEventResponse(event=row)
    for chunk in chunks:
        yield pb.GetEventResponse(chunk=chunk)


def test_an_event_is_put_together_from_its_chunks(service: FakeService, client: Client) -> None:
    service.get = lambda _: parts(message("u", b'{"a":1}'), b'{"a"', b":1}")
    row, payload = client.get(Position("log1", 4), storage="all")
    assert (row.uid, payload) == ("u", b'{"a":1}')
    assert service.gets[0].position == pb.EventPosition(log_id="log1", sequence=4)
    client.get("u", "ab")
    assert (service.gets[0].storage, service.gets[1].uid, service.gets[1].digest) == ("all", "u", "ab")


@pytest.mark.parametrize("chunks", [(b'{"a":2}',), (b'{"a":1',), (b'{"a":1}', b" ")])
def test_an_event_that_is_not_what_its_digest_says_is_an_error(
    service: FakeService, client: Client, chunks: tuple[bytes, ...]
) -> None:
    service.get = lambda _: parts(message("u", b'{"a":1}'), *chunks)
    with pytest.raises(ExtauditError) as caught:
        client.get("u")
    assert caught.value.code == "DATA_LOSS"


def test_an_event_that_never_ends_is_not_read_on(service: FakeService, client: Client) -> None:
    service.get = lambda _: parts(message("u"), *[b"x" * 65536] * 100_000)
    with pytest.raises(ExtauditError) as caught:
        client.get("u")
    assert caught.value.code == "DATA_LOSS"


def test_a_page_of_five_mebibytes_is_taken(service: FakeService, client: Client) -> None:
    service.search = lambda _: pb.SearchEventsResponse(events=[message("u", b"x" * 5 * 1024 * 1024)], complete=True)
    assert len(client.search(Query()).rows[0].json) == 5 * 1024 * 1024


def test_an_event_without_a_row_is_an_error(service: FakeService, client: Client) -> None:
    service.get = lambda _: iter([pb.GetEventResponse(chunk=b"{}")])
    with pytest.raises(ExtauditError, match="no row"):
        client.get("u")


def test_the_status_is_read_whole(service: FakeService, client: Client) -> None:
    answer = status_service_pb2.GetStatusResponse(version="1", serving=True, policy_digest="p", roles=["r"])
    answer.start_time.FromDatetime(NOON)
    answer.problems.add(name="n", description="d")
    answer.journal.CopyFrom(status_service_pb2.JournalStatus(log_id="l", next_sequence=2, quota_bytes=3))
    answer.journal.oldest_age.FromMilliseconds(1500)
    answer.journal.holes.add(log_id="h", first_sequence=1, last_sequence=2)
    answer.storages.add(id="default", active=True, rows=5)
    answer.certificates.add(use="server", subject="s").expire_time.FromDatetime(NOON)
    service.status = lambda: answer
    status = client.status()
    assert (status.version, status.serving, status.start_time, status.roles) == ("1", True, NOON, ("r",))
    assert [(problem.name, problem.description) for problem in status.problems] == [("n", "d")]
    assert (status.journal.log_id, status.journal.oldest_age, len(status.journal.holes)) == ("l", 1.5, 1)
    assert [(s.id, s.active, s.rows, s.last_delivery_time) for s in status.storages] == [("default", True, 5, None)]
    assert [(c.use, c.expire_time) for c in status.certificates] == [("server", NOON)]

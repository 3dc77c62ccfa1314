"""Pages: how much is in one, what their tokens and watermarks promise, and whom a token serves."""

from __future__ import annotations

import base64
import time
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rbac.identities import IdentityKind
from server.audit_log.search.query import MAX_PAGE_SIZE, SearchQuery, Watermark
from server.audit_log.timestamps import utc_date
from server.certificates.claims import MAX_NAME_CHARACTERS
from server.errors import FailedPrecondition, InvalidRequest, NotFound
from server.grpc_api.row_encoding import search_answer
from server.storage.query import FieldEquality, Filters, Order
from tests.contract.search_rig import ALICE, BOB, CALLER, DAY_MS, NODE, NOON, SearchRig, event_json, shown

KIB = 1024
MIB = 1024 * KIB
OLDEST = Order.OLDEST_FIRST


def _events(start: int, count: int) -> list[bytes]:
    return [event_json(f"u{number:04d}", NOON + number) for number in range(start, start + count)]


def _big(uid: str, size: int, time_ms: int = NOON) -> bytes:
    return event_json(uid, time_ms, pad="x" * size)


@pytest.mark.parametrize("stored", [False, True])
def test_a_page_holds_at_most_one_and_a_half_mebibytes_of_payload_or_one_row(rig: SearchRig, stored: bool) -> None:
    sizes = [600 * KIB, 750 * KIB, 150 * KIB, 1800 * KIB, 10, 70 * KIB]
    rig.emit(*[_big(f"u{number}", size, NOON + number) for number, size in enumerate(sizes)])
    if stored:
        rig.cut()
        rig.deliver()
    pages = list(rig.pages(SearchQuery(order=OLDEST)))
    assert [[row.position.uid for row in page.rows] for page in pages] == [["u0", "u1", "u2"], ["u3"], ["u4", "u5"]]
    assert all(row.data is not None and len(row.data) == row.size for page in pages for row in page.rows)


@pytest.mark.parametrize("stored", [False, True])
def test_a_payload_no_default_client_can_take_is_left_out_and_its_row_shown(rig: SearchRig, stored: bool) -> None:
    rig.emit(event_json("huge", NOON, user="é" * 2000, pad="x" * (4 * MIB)), event_json("small", NOON + 1))
    if stored:
        rig.cut()
        rig.deliver()
    [huge, small] = [row for page in rig.pages(SearchQuery(order=OLDEST)) for row in page.rows]
    assert (huge.position.uid, huge.data, huge.size > 4 * MIB, len(huge.user)) == ("huge", None, True, 1024)
    assert small.data is not None


def test_equal_rows_of_tail_and_several_batches_are_one_row_with_every_receipt(rig: SearchRig) -> None:
    raw = event_json("u1")
    for by in (ALICE, BOB):
        rig.store(raw, by=by)
    rig.emit(raw, by=NODE)
    rig.store(event_json("u1", n=2), by=ALICE)
    pages = list(rig.pages(SearchQuery(page_size=1)))
    assert sorted(len(row.receipts) for page in pages for row in page.rows) == [1, 3]
    assert {receipt for page in pages for row in page.rows for receipt in row.receipts} == {
        item.receipt for item in rig.kept
    }


def test_more_equal_rows_than_a_page_has_are_still_one_row(rig: SearchRig) -> None:
    raw = event_json("same")
    for number in range(12):
        rig.store(raw, by=replace(ALICE, name=f"emitter-{number}"))
    rig.store(event_json("other", NOON - 1))
    pages = list(rig.pages(SearchQuery(page_size=1)))
    assert [(row.position.uid, len(row.receipts)) for page in pages for row in page.rows] == [
        ("same", 12),
        ("other", 1),
    ]


def test_a_batch_that_straddles_the_watermark_counts_up_to_it(rig: SearchRig) -> None:
    rig.emit(*_events(0, 5))
    query = SearchQuery(order=OLDEST)
    watermark = rig.page(query).watermark
    rig.emit(*_events(5, 5))
    rig.cut()
    rig.deliver()
    assert [item.last - item.first for item in rig.catalogue.objects("default")] == [9], "one batch of all ten"
    assert rig.found(replace(query, watermark=watermark)) == [f"u{number:04d}" for number in range(5)]
    assert len(rig.found(query)) == 10


def test_a_page_walk_is_not_moved_by_what_comes_and_goes_between_its_pages(rig: SearchRig) -> None:
    rig.store(*_events(0, 3), event_json("tomorrow", NOON + DAY_MS))
    rig.emit(*_events(3, 3))
    found = []
    for number, page in enumerate(rig.pages(SearchQuery(page_size=2))):
        found += [row.position.uid for row in page.rows]
        rig.emit(*_events(100 * (number + 1), 3))
        rig.cut()
        if number:
            rig.deliver()
    assert found == ["tomorrow", "u0005", "u0004", "u0003", "u0002", "u0001", "u0000"]


def test_an_object_that_begins_before_the_time_asked_for_ends_the_search(rig: SearchRig) -> None:
    rig.store(*_events(0, 10))
    for order in Order:
        query = SearchQuery(Filters(from_ms=NOON + 4, to_ms=NOON + 6), order=order)
        page = rig.search.page(CALLER, query, time.monotonic() + 60)
        assert (len(page.rows), page.next_page_token, page.complete) == (2, "", True)


def test_later_pages_do_not_read_what_earlier_ones_have_given(rig: SearchRig) -> None:
    for number in range(6):
        rig.store(*_events(10 * number, 10))
    for order in Order:
        pages = list(rig.pages(SearchQuery(page_size=10, order=order)))
        assert [page.cost.objects for page in pages][-1] <= 2


BASE = SearchQuery(Filters(types=frozenset({"user.login"})), page_size=2)
OTHER_QUERIES = {
    "from": replace(BASE, filters=replace(BASE.filters, from_ms=NOON)),
    "to": replace(BASE, filters=replace(BASE.filters, to_ms=NOON + 10**6)),
    "types": replace(BASE, filters=Filters()),
    "users": replace(BASE, filters=replace(BASE.filters, users=frozenset({""}))),
    "session": replace(BASE, filters=replace(BASE.filters, session_id="s")),
    "uids": replace(BASE, filters=replace(BASE.filters, uids=frozenset({"u0001"}))),
    "text": replace(BASE, filters=replace(BASE.filters, text="u")),
    "fields": replace(BASE, filters=replace(BASE.filters, fields=(FieldEquality(("n",), 1),))),
    "emitters": replace(BASE, emitters=frozenset({"alice"})),
    "kinds": replace(BASE, emitter_kinds=frozenset({IdentityKind.USER})),
    "order": replace(BASE, order=OLDEST),
    "storage": replace(BASE, storage="default"),
}


@pytest.mark.parametrize("name", OTHER_QUERIES)
def test_a_token_serves_no_other_query(rig: SearchRig, name: str) -> None:
    rig.emit(*_events(0, 5))
    token = rig.page(BASE).next_page_token
    with pytest.raises(InvalidRequest) as refused:
        rig.page(replace(OTHER_QUERIES[name], page_token=token))
    assert refused.value.reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize(
    "by", [BOB, replace(CALLER, trust_anchor="other"), replace(CALLER, kind=IdentityKind.COMPONENT)]
)
def test_a_token_serves_no_other_caller(rig: SearchRig, by: object) -> None:
    rig.emit(*_events(0, 5))
    token = rig.page(BASE).next_page_token
    with pytest.raises(InvalidRequest):
        rig.page(replace(BASE, page_token=token), by=by)  # type: ignore[arg-type]


def test_a_token_outlives_a_renewed_certificate_and_another_page_size(rig: SearchRig) -> None:
    rig.emit(*_events(0, 5))
    first = rig.page(BASE)
    again = replace(BASE, page_token=first.next_page_token, page_size=100)
    assert len(rig.page(again, by=replace(CALLER, certificate_serial="ff")).rows) == 3


def test_a_token_of_another_key_is_refused(rig: SearchRig) -> None:
    rig.emit(*_events(0, 5))
    token = rig.page(BASE).next_page_token
    with pytest.raises(InvalidRequest):
        rig.page(replace(BASE, page_token=token), search=rig.search_with(rig.engine, key=b"q" * 32))


def test_a_token_of_which_any_byte_is_changed_is_refused(rig: SearchRig) -> None:
    rig.emit(*_events(0, 5))
    raw = base64.urlsafe_b64decode(rig.page(BASE).next_page_token)
    mutants = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    tokens = [base64.urlsafe_b64encode(mutant).decode() for mutant in (*mutants, raw[:-1], raw + b" ", raw[:16])]
    for token in (*tokens, "x", "é", "A" * 20_000, "===="):
        with pytest.raises(InvalidRequest):
            rig.page(replace(BASE, page_token=token))


def test_the_watermark_of_every_page_is_that_of_the_first(rig: SearchRig) -> None:
    rig.store(*_events(0, 3))
    pages = []
    for page in rig.pages(SearchQuery(page_size=1)):
        pages.append(page)
        rig.emit(*_events(1000 + 10 * len(pages), 2))
    assert len({str(page.watermark) for page in pages}) == 1
    assert len({page.query_id for page in pages}) == 1
    assert shown(pages) == shown(list(rig.pages(SearchQuery(watermark=pages[0].watermark))))


def test_a_watermark_that_counts_nothing_shows_nothing(rig: SearchRig) -> None:
    rig.store(*_events(0, 3))
    rig.emit(*_events(3, 3))
    assert rig.found(SearchQuery(watermark=Watermark({}, 0))) == []


@pytest.mark.parametrize("storage", ["", "active", "default", "all"])
@pytest.mark.parametrize("engine", ["auto", "scan"])
def test_the_embedded_storage_answers_to_its_names(rig: SearchRig, storage: str, engine: str) -> None:
    rig.store(*_events(0, 3))
    page = rig.page(SearchQuery(storage=storage, engine=engine))
    assert (len(page.rows), page.engine) == (3, "scan")


def test_an_unknown_storage_is_not_found_and_athena_can_not_read_this_one(rig: SearchRig) -> None:
    with pytest.raises(NotFound):
        rig.page(SearchQuery(storage="elsewhere"))
    with pytest.raises(FailedPrecondition) as refused:
        rig.page(SearchQuery(engine="athena"))
    assert refused.value.reason == "ENGINE_UNAVAILABLE"


@pytest.mark.parametrize("user", ["€" * 84, "€" * 170, "€" * 980, "u" * 1020])
def test_a_default_client_can_take_a_page_of_as_many_rows_as_there_may_be(rig: SearchRig, user: str) -> None:
    """Whoever can write to a storage decides on columns, JSON and names; what a client can't take ends its walk."""
    count = MAX_PAGE_SIZE
    table = pa.table(
        {
            "event_type": ["a"] * count,
            "event_time": pa.array(range(NOON, NOON + count), pa.timestamp("ms", "UTC")),
            "uid": [f"u{number}" for number in range(count)],
            "session_id": ["s"] * count,
            "user": [user] * count,
            "event_data": ["{}" + " " * 784] * count,
        }
    )
    (folder := rig.events_folder / utc_date(NOON)).mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{'x' * 240}.parquet")
    pages = list(rig.pages(SearchQuery(page_size=MAX_PAGE_SIZE)))
    assert sum(len(page.rows) for page in pages) == count
    assert max(len(search_answer(page)) for page in pages) < 4 * MIB


def test_a_default_client_can_take_a_page_whose_receipts_are_as_long_as_they_may_be(rig: SearchRig) -> None:
    """The longest name of an emitter, and the longest id of its token, beside columns that just don't count."""
    emitter = replace(ALICE, name="\U00020000" * MAX_NAME_CHARACTERS, trust_anchor="f" * 64, token_id="j" * 128)
    rows = [event_json(f"u{number:04}", NOON + number, user="u" * 230) for number in range(MAX_PAGE_SIZE)]
    rig.store(*(row[:-1] + b" " * (786 - len(row)) + b"}" for row in rows), by=emitter)
    (page,) = rig.pages(SearchQuery(page_size=MAX_PAGE_SIZE))
    assert len(page.rows) == MAX_PAGE_SIZE
    assert 3.5 * MIB < len(search_answer(page)) < 4 * MIB

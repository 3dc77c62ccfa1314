"""Files that others make to hurt: each is named, and searches go on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from server.audit_log import batch_codec, parquet_pages
from server.audit_log.batch_codec import SCHEMA
from server.audit_log.search import page_reader
from server.audit_log.search.page_reader import PAGE_BYTES
from server.audit_log.search.query import EventSelector, MissingReason, SearchQuery
from server.errors import Unavailable
from server.storage.query import CUT_CHARACTERS, LONG_USER_BYTES, MOST_UID_BYTES, Filters, Order
from tests.contract.search_rig import CALLER, SearchRig, event_json

DATE = "2026-11-20"
NOON_MS = 1_795_176_000_000


def place(rig: SearchRig, table: pa.Table, name: str, **options: Any) -> str:
    folder = rig.events_folder / DATE
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, **options)
    return f"{DATE}/{name}"


def table(rows: int, data: str, *, same: bool = True) -> pa.Table:
    uids = ["u" if same else f"u{number}" for number in range(rows)]
    columns = [["x"] * rows, [NOON_MS] * rows, uids, [""] * rows, [""] * rows, [data] * rows]
    return pa.Table.from_arrays([pa.array(c, type=f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def test_two_columns_of_one_name_are_named(rig: SearchRig) -> None:
    good = table(1, "{}")
    name = place(rig, good.append_column("event_time", good["event_time"]), "double.parquet")
    page = rig.page(SearchQuery())
    assert [(item.reason, item.name) for item in page.missing] == [(MissingReason.OBJECT_UNREADABLE, name)]


def test_rows_at_infinite_times_are_named_and_the_others_found(rig: SearchRig) -> None:
    good = table(4, "{}", same=False)
    times = pa.array([2**63 - 1, NOON_MS * 1000, -(2**63 - 1), -(2**63)], pa.timestamp("us", "UTC"))
    name = place(rig, good.set_column(1, "event_time", times), "infinite.parquet")
    for query in (SearchQuery(), SearchQuery(Filters(from_ms=NOON_MS)), SearchQuery(order=Order.OLDEST_FIRST)):
        page = rig.page(query)
        assert [row.position.uid for row in page.rows] == ["u1"]
        assert [(item.reason, item.name) for item in page.missing] == [(MissingReason.ROWS_UNREADABLE, name)]
    assert page.missing[0].description == "3 times are infinite"


def test_more_equal_rows_than_anyone_sends_are_shown_once_and_named(rig: SearchRig) -> None:
    name = place(rig, table(3000, "{}"), "same.parquet")
    for page_size in (100, 2000):
        page = rig.page(SearchQuery(page_size=page_size))
        assert len(page.rows) == 1
        assert 1000 < len(page.rows[0].receipts) < 2010
    assert [(item.reason, item.name) for item in page.missing] == [(MissingReason.RECEIPTS_UNREADABLE, name)]


def test_a_row_of_many_foreign_objects_leaves_its_json_to_a_get(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A default client could take neither: each receipt has the name of its object."""
    data = '{"event":"' + "x" * 1000 + '"}'
    place(rig, table(3, data), "a" * 100 + ".parquet")
    for most, given in ((1369, data.encode()), (1368, None)):
        monkeypatch.setattr(page_reader, "OMIT_BYTES", most)
        [row] = rig.page(SearchQuery()).rows
        assert (row.data, len(row.receipts)) == (given, 3)
    assert rig.search.get(CALLER, EventSelector(uid="u"), time.monotonic() + 60).data == data.encode()


def test_large_rows_are_read_though_they_don_t_fit_into_memory_together(rig: SearchRig) -> None:
    place(rig, table(3000, '{"event":"x","pad":"' + "x" * 200_000 + '"}', same=False), "wide.parquet")
    place(rig, table(1, '{"event":"small"}'), "small.parquet")
    page = rig.page(SearchQuery(page_size=1000))
    assert page.complete
    assert [row.size for row in page.rows] == [200_022] * (PAGE_BYTES // 200_022)
    assert page.next_page_token


def test_a_small_file_that_unpacks_to_more_than_there_is_room_for_is_named_and_not_unpacked(
    either: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpacked it would take 2 GiB for each page; what its footer says of that is its maker's word."""
    place(either, table(1, '{"event":"fine"}'), "fine.parquet")
    huge = table(1, "x" * (parquet_pages.MOST_PAGE_BYTES + 1))
    name = place(either, huge, "huge.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    assert (either.events_folder / name).stat().st_size < 100_000
    page = either.page(SearchQuery())
    assert [row.size for row in page.rows] == [16]
    [told] = page.missing
    assert (told.reason, told.name) == (MissingReason.OBJECT_UNREADABLE, name)
    assert told.description == "has a page of more than 134217728 bytes unpacked"
    (either.events_folder / name).unlink()
    monkeypatch.setattr(batch_codec, "MOST_FOREIGN_ROWS", 2)
    place(either, table(3, "{}"), "rows.parquet")
    assert [each.description for each in either.page(SearchQuery()).missing] == ["has more than 2 rows"]


@pytest.mark.parametrize("encoding", ["RLE_DICTIONARY", "DELTA_BYTE_ARRAY", "PLAIN"])
def test_what_a_file_unpacks_to_is_counted_with_what_it_has_once_for_many_rows(
    rig: SearchRig, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen kilobytes and a thousand rows are sixteen megabytes to whoever looks for a text in them."""
    form: dict[str, Any] = {"use_dictionary": True, "dictionary_pagesize_limit": 1 << 20}
    if encoding != "RLE_DICTIONARY":
        form = {"use_dictionary": False, "column_encoding": dict.fromkeys(["uid", "event_data"], encoding)}
    rows = table(1000, '{"event":"' + "x" * 16_000 + '"}').cast(pa.schema([(f.name, f.type) for f in SCHEMA]))
    name = place(rig, rows, "bomb.parquet", write_statistics=False, **form)
    for module in [batch_codec] if encoding == "RLE_DICTIONARY" else [parquet_pages]:
        monkeypatch.setattr(module, "MOST_UNPACKED_BYTES", 8_000_000)
    page = rig.page(SearchQuery())
    [told] = page.missing
    assert (page.rows, told.reason, told.name) == ([], MissingReason.OBJECT_UNREADABLE, name)
    assert told.description.startswith("comes to more than ")


def test_a_text_in_a_dictionary_counts_as_often_as_there_are_rows_that_have_it(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pa.concat_tables([table(1, '{"event":"' + "x" * 16_000 + '"}'), table(1000, "{}", same=False)])
    place(rig, rows, "fine.parquet", use_dictionary=True)
    monkeypatch.setattr(batch_codec, "MOST_UNPACKED_BYTES", 100_000)
    assert rig.page(SearchQuery()).complete


def test_a_column_is_looked_at_in_pieces_that_its_own_pages_ask_for_and_in_no_more_than_take_seconds(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pages of 128 MiB there were as many pieces as rows, each with a dictionary of that size of its own."""
    long = '{"event":"' + "x" * 8000 + '"}'
    name = place(rig, texts("event_data", ["{}", long], 1000), "x.parquet", use_dictionary=["event_data"])
    lengths, looks = batch_codec._lengths, []
    monkeypatch.setattr(batch_codec, "_lengths", lambda piece: looks.append(piece) or lengths(piece))
    monkeypatch.setattr(batch_codec, "MOST_UNPACKED_BYTES", 9_000_000)
    monkeypatch.setattr(batch_codec, "_PIECE_BYTES", 30_000)
    assert rig.page(SearchQuery()).complete
    assert len(looks) < 10
    (rig.events_folder / name).unlink()
    place(rig, texts("event_data", ["{}", long], 1000), "y.parquet", use_dictionary=["event_data"])
    monkeypatch.setattr(batch_codec, "_PIECE_BYTES", 3_000)
    monkeypatch.setattr(batch_codec, "_MOST_WORK_BYTES", 1 << 20)
    [told] = rig.page(SearchQuery()).missing
    assert told.description == "has pages that would take too long to be looked at"


def test_the_pages_of_all_columns_count_together() -> None:
    each = parquet_pages.Unpacked(pages=parquet_pages.MOST_PAGES // 6, total=parquet_pages.MOST_UNPACKED_BYTES // 6)
    parquet_pages.check_total([each] * 6)
    for more in (parquet_pages.Unpacked(pages=parquet_pages.MOST_PAGES), parquet_pages.Unpacked(total=each.total * 2)):
        with pytest.raises(parquet_pages.PagesRefused):
            parquet_pages.check_total([each] * 5 + [more])


def test_a_header_of_nothing_but_fields_is_refused_at_once(tmp_path: Path) -> None:
    """A file of 256 MiB could have as many of them."""
    path = tmp_path / "x.parquet"
    path.write_bytes(b"\x99\xfc\x80\x80\x04" + bytes(70_000))  # a list of 65,536 empty structs
    with pytest.raises(parquet_pages.PagesRefused):
        parquet_pages.check_pages(path, [(0, 10, 1)])
    path.write_bytes(b"\x15\x00" * 5000 + b"\x00")
    with pytest.raises(parquet_pages.PagesRefused):
        parquet_pages.check_pages(path, [(0, 10, 1)])


def test_headers_of_pages_that_are_none_are_refused_whatever_they_say(tmp_path: Path) -> None:
    """Each byte of a header changed in turn: it is read, or refused in time."""
    pq.write_table(table(10, "{}"), tmp_path / "x.parquet")
    whole = (tmp_path / "x.parquet").read_bytes()
    chunk = pq.read_metadata(tmp_path / "x.parquet").row_group(0).column(0)
    start, end = chunk.dictionary_page_offset, chunk.dictionary_page_offset + chunk.total_compressed_size
    refused = 0
    for at in range(start, start + 16):
        for value in (0x00, 0x19, 0x1C, 0x7F, 0xFF):
            (tmp_path / "y.parquet").write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            try:
                parquet_pages.check_pages(tmp_path / "y.parquet", [(start, end, 10)])
            except parquet_pages.PagesRefused:
                refused += 1
    assert refused > 40
    parquet_pages.check_pages(tmp_path / "x.parquet", [(start, end, 10)])


def texts(column: str, values: Sequence[str], times: int = 1) -> pa.Table:
    """Rows of the same JSON whose texts in a column are these, each in so many rows."""
    rows = table(len(values) * times, "{}", same=False)
    each = pa.DictionaryArray.from_arrays(list(range(len(values))) * times, values)
    return rows.set_column(SCHEMA.get_field_index(column), column, each)


def test_rows_whose_uid_no_page_token_could_hold_are_left_out_and_named(rig: SearchRig) -> None:
    longest = "é" * (MOST_UID_BYTES // 2)
    uids = [f"u{number}" for number in range(40)] + [longest, longest + "x", "y" * 3_000_000]
    name = place(rig, texts("uid", uids), "long.parquet", use_dictionary=False, write_statistics=False)
    rig.store(event_json("ours", NOON_MS - 1))
    for query in (SearchQuery(page_size=9), SearchQuery(order=Order.OLDEST_FIRST, page_size=40), SearchQuery()):
        pages = list(rig.pages(query))
        assert sorted(row.position.uid for page in pages for row in page.rows) == sorted(["ours", *uids[:-2]])
        [told] = pages[0].missing
        assert (told.reason, told.name) == (MissingReason.ROWS_UNREADABLE, name)
        assert told.description == "2 uids are longer than 1024 bytes"
    with pytest.raises(Unavailable):
        rig.search.get(CALLER, EventSelector(uid=uids[-1]), time.monotonic() + 60)
    assert rig.search.get(CALLER, EventSelector(uid=longest), time.monotonic() + 60).data == b"{}"


@pytest.mark.parametrize("column", ["event_type", "session_id", "user"])
def test_texts_as_long_as_others_like_are_cut_and_take_no_memory(rig: SearchRig, column: str) -> None:
    """In 12 kilobytes, more than a search may use: two thousand rows of a page each have it."""
    long = "é" * 50_000
    place(rig, texts(column, [long], 2100), "long.parquet", dictionary_pagesize_limit=1 << 20, write_statistics=False)
    filters = Filters(**({column: long} if column == "session_id" else {f"{column.removeprefix('event_')}s": {long}}))
    page = rig.page(SearchQuery(filters, page_size=2000))  # which is compared with the whole
    assert page.complete
    assert len(page.rows) > 300
    assert {getattr(row, column.removeprefix("event_")) for row in page.rows} == {"é" * CUT_CHARACTERS}
    assert {row.data for row in page.rows} == {b"{}"}


def test_a_long_user_of_an_event_of_ours_is_given_whole_beside_one_that_is_cut(rig: SearchRig) -> None:
    user = "é" * LONG_USER_BYTES
    place(rig, texts("user", [user]), "long.parquet")
    rig.store(event_json("ours", NOON_MS - 1, user=user))
    assert [row.user for row in rig.page(SearchQuery()).rows] == [user[:CUT_CHARACTERS], user]

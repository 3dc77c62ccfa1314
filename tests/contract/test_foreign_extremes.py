"""Files that others make to hurt: each is named, and searches go on."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from server.audit_log.batch_codec import SCHEMA
from server.audit_log.search.query import MissingReason, SearchQuery
from server.storage.query import Filters, Order
from tests.contract.search_rig import SearchRig

DATE = "2026-11-20"
NOON_MS = 1_795_176_000_000


def place(rig: SearchRig, table: pa.Table, name: str) -> str:
    folder = rig.events_folder / DATE
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name)
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
    page = rig.page(SearchQuery())
    assert len(page.rows) == 1
    assert 1000 < len(page.rows[0].receipts) < 3000
    assert [(item.reason, item.name) for item in page.missing] == [(MissingReason.RECEIPTS_UNREADABLE, name)]


def test_large_rows_are_read_though_they_don_t_fit_into_memory_together(rig: SearchRig) -> None:
    place(rig, table(3000, '{"event":"x","pad":"' + "x" * 200_000 + '"}', same=False), "wide.parquet")
    place(rig, table(1, '{"event":"small"}'), "small.parquet")
    page = rig.page(SearchQuery(page_size=1000))
    assert page.complete
    assert [row.size for row in page.rows] == [200_022] * 5
    assert page.next_page_token

"""A state database that is gone is rebuilt from the storage, and searches answer as before."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from server.audit_log.search.query import MissingReason, SearchQuery
from server.storage.query import Filters, Order
from tests.contract.foreign_files import write_as_teleport
from tests.contract.search_rig import ALICE, BOB, DAY_MS, NOON, SearchRig, event_json, shown

QUERIES = [
    SearchQuery(),
    SearchQuery(order=Order.OLDEST_FIRST, page_size=2),
    SearchQuery(Filters(from_ms=NOON, to_ms=NOON + DAY_MS)),
    SearchQuery(Filters(types=frozenset({"db.query"}))),
    SearchQuery(emitters=frozenset({"bob"})),
]


def _without_state(rig: SearchRig) -> SearchRig:
    rig.close()
    for path in rig.folder.glob("state.db*"):
        path.unlink()
    return replace(rig)


def _fill(rig: SearchRig) -> None:
    for number, by in enumerate((ALICE, BOB, ALICE)):
        rig.store(*[event_json(f"u{number}-{day}", NOON + DAY_MS * (day - 1)) for day in range(3)], by=by)
    rig.store(event_json("q1", type_="db.query"), by=BOB)
    rig.emit(event_json("tail"), by=BOB)


def test_a_rebuilt_catalogue_gives_the_same_answers(rig: SearchRig) -> None:
    _fill(rig)
    write_as_teleport(rig.events_folder, "t1")
    before = [shown(list(rig.pages(query))) for query in QUERIES]
    rebuilt = _without_state(rig)
    assert [shown(list(rebuilt.pages(query))) for query in QUERIES] == before
    assert all(rebuilt.page(query).complete for query in QUERIES)
    rebuilt.close()


def test_a_watermark_from_before_counts_the_same_events_of_ours(rig: SearchRig) -> None:
    _fill(rig)
    first = rig.page(SearchQuery(page_size=4))
    watermark = first.watermark
    before = shown(list(rig.pages(SearchQuery(watermark=watermark))))
    rig.store(event_json("later"))
    rebuilt = _without_state(rig)
    assert shown(list(rebuilt.pages(SearchQuery(watermark=watermark)))) == before
    walk = [first, *rebuilt.pages(SearchQuery(page_size=4, page_token=first.next_page_token))]
    assert shown(walk) == before
    rebuilt.close()


def test_foreign_files_are_found_anew_under_revisions_that_a_new_watermark_counts(rig: SearchRig) -> None:
    write_as_teleport(rig.events_folder, "t1")
    _fill(rig)
    rebuilt = _without_state(rig)
    page = rebuilt.page(SearchQuery())
    assert "t1" in [row.position.uid for row in page.rows]
    assert "t1" in rebuilt.found(SearchQuery(watermark=page.watermark))
    rebuilt.close()


def test_events_whose_batch_record_is_gone_as_well_are_found_and_their_receipts_named(rig: SearchRig) -> None:
    rig.store(event_json("u1"))
    [kept] = rig.store(event_json("u2"))
    [path] = [path for path in rig.objects() if path.name.endswith("-2-2.parquet")]
    (rig.events_folder / "_batches" / kept.receipt.log_id / "2-2.json").write_bytes(b"garbage")
    rebuilt = _without_state(rig)
    page = rebuilt.page(SearchQuery())
    name = f"{path.parent.name}/{path.name}"
    assert {row.position.uid: row.receipts[0].foreign_object for row in page.rows} == {"u1": "", "u2": name}
    assert (MissingReason.RECEIPTS_UNREADABLE, name) in [(item.reason, item.name) for item in page.missing]
    rebuilt.close()


@pytest.mark.parametrize("runs", [[], [[2, 0, 1]], [[1, 9, 1]], [[1, -1, 1]], [[1, 2**63, 1]], [["x", 0, 1]], None])
def test_receipts_that_make_no_sense_are_named_and_stop_nothing(rig: SearchRig, runs: object) -> None:
    [kept] = rig.store(event_json("u1"))
    path = rig.events_folder / "_batches" / kept.receipt.log_id / "1-1.json"
    record = orjson.loads(path.read_bytes())
    record["receipts"]["runs"] = runs
    path.write_bytes(orjson.dumps(record))
    rebuilt = _without_state(rig)
    for query in (SearchQuery(), SearchQuery(emitters=frozenset({"alice"}))):
        page = rebuilt.page(query)
        assert MissingReason.RECEIPTS_UNREADABLE in {item.reason for item in page.missing}
        assert [row.receipts[0].emitter for row in page.rows] in ([None], [])
    rebuilt.close()

"""A page that is made by columns is the page that is made row by row, and is made so only of what is ordinary."""

from __future__ import annotations

import gc
import hashlib
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from server.audit_log.batch_codec import BatchColumns, BatchRow, columns_of, encode
from server.audit_log.search import decoded_objects, merging, page_making
from server.audit_log.search.decoded_objects import DecodedObjects, OddObject
from server.audit_log.search.merging import MergedRows, Span
from server.audit_log.search.page_columns import PageColumns
from server.audit_log.search.page_reader import PAGE_BYTES, PageReader, Plan
from server.audit_log.search.query import SearchPage, SearchQuery, Watermark
from server.state.catalogue_rows import CatalogueObject
from server.storage.query import Filters, Order
from server.storage.scan.engine import DuckScanEngine
from server.storage.value_tests import Operator, ValueTest
from tests.contract.search_rig import ALICE, BOB, CALLER, NODE, NOON, SearchRig, event_json

TYPES = frozenset({"user.login", "session.start"})
"""Of all events here: a filter that leaves out none and has a page read row by row."""
WIDTH_MS = 40
Told = tuple[object, ...]


def _emit(rig: SearchRig, chance: random.Random, count: int, *, among_ms: int) -> None:
    """Events of few times and uids, some of them again by another emitter: rows that are equal or nearly so."""
    events = {
        event_json(f"u{chance.randrange(12)}", NOON + chance.randrange(among_ms), chance.choice(sorted(TYPES)), sid="é")
        for _ in range(count)
    }
    by, other = chance.sample((ALICE, BOB, NODE), 2)
    rig.emit(*sorted(events), by=by)
    rig.emit(*chance.sample(sorted(events), len(events) // 4 or 1), by=other)


@pytest.fixture(scope="module", params=range(2))
def dense(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, scan_engine: DuckScanEngine
) -> Iterator[tuple[SearchRig, Watermark]]:
    """Many objects whose times overlap, a large event, and a tail among them; and a watermark within an object."""
    chance = random.Random(request.param)
    rig = SearchRig(tmp_path_factory.mktemp("dense") / "data", scan_engine)
    for _ in range(9):
        _emit(rig, chance, chance.choice((1, 3, 20)), among_ms=chance.choice((1, 5, WIDTH_MS)))
        rig.cut()
    rig.emit(event_json("large", NOON + WIDTH_MS + 1, blob="x" * 1_200_000), event_json("next", NOON + WIDTH_MS + 1))
    rig.cut()
    rig.emit(event_json("counted", NOON + WIDTH_MS // 2))
    watermark = rig.page(SearchQuery()).watermark
    rig.emit(event_json("later", NOON + WIDTH_MS // 2))
    rig.cut()
    rig.deliver()
    yield rig, watermark
    rig.close()


def _told(page: SearchPage) -> Told:
    return list(page.rows), page.missing, page.next_page_token == "", page.watermark


def _walks(rig: SearchRig, query: SearchQuery) -> tuple[list[Told], list[Told], list[bool]]:
    """The pages of a walk and of the same row by row, and which of the first were made by columns."""
    by_columns: list[SearchPage] = []
    for page in rig.pages(query, search=rig.search_with(rig.engine)):
        by_columns.append(page)
        if page.prepare_next is not None and len(by_columns) % 3:  # of three pages two are read ahead
            page.prepare_next()
    filters = replace(query.filters, types=TYPES)
    by_rows = list(rig.pages(replace(query, filters=filters), search=rig.search_with(rig.engine)))
    assert not any(isinstance(page.rows, PageColumns) for page in by_rows)
    made = [isinstance(page.rows, PageColumns) for page in by_columns]
    return list(map(_told, by_columns)), list(map(_told, by_rows)), made


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("page_size", [3, 20, 1000])
def test_walks_by_columns_and_row_by_row_give_the_same_pages(
    dense: tuple[SearchRig, Watermark], order: Order, page_size: int
) -> None:
    rig, watermark = dense
    inner = Filters(from_ms=NOON + 2, to_ms=NOON + WIDTH_MS + 1)
    for filters in (Filters(), inner):
        by_columns, by_rows, made = _walks(
            rig, SearchQuery(filters, order=order, page_size=page_size, watermark=watermark)
        )
        assert by_columns == by_rows
        assert any(made)
        assert "later" not in str(by_columns)


@pytest.mark.parametrize("order", list(Order))
def test_pages_that_the_tail_reaches_into_are_made_row_by_row(rig: SearchRig, order: Order) -> None:
    rig.store(*[event_json(f"u{number}", NOON + number) for number in range(30)])
    rig.emit(event_json("tail", NOON + 15))
    by_columns, by_rows, made = _walks(rig, SearchQuery(order=order, page_size=10))
    assert by_columns == by_rows
    assert made == [True, False, True, True] if order is Order.NEWEST_FIRST else [True, False, True, True]


def _remove(path: Path) -> None:
    path.unlink()


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def _add_foreign(path: Path) -> None:
    shutil.copy(path, path.with_name("foreign.parquet"))


def _remove_record(path: Path) -> None:
    (path.parent.parent / "_batches").rename(path.parent.parent / "gone")


@pytest.mark.parametrize(
    ("fault", "is_made"), [(_remove, True), (_flip, False), (_add_foreign, False), (_remove_record, True)]
)
def test_what_is_missing_is_told_in_both_ways(rig: SearchRig, fault: Callable[[Path], None], is_made: bool) -> None:
    for number in range(3):
        rig.store(*[event_json(f"u{number}-{step}", NOON + number * 10 + 4 * step) for step in range(6)])
    fault(rig.objects()[1])
    by_columns, by_rows, made = _walks(rig, SearchQuery(page_size=30))
    assert by_columns == by_rows
    assert by_rows[0][1] or fault is _add_foreign
    assert made == [is_made]


def test_what_becomes_of_an_object_after_it_was_decoded_is_seen(rig: SearchRig) -> None:
    """The next page is made of kept columns: whether the object still has those bytes is asked every time."""
    rig.store(*[event_json(f"u{number}", NOON + number) for number in range(6)])
    query = SearchQuery(page_size=2)
    first = rig.page(query)
    assert isinstance(first.rows, PageColumns)
    _flip(rig.objects()[0])
    later = rig.page(replace(query, page_token=first.next_page_token))
    assert (list(later.rows), [each.reason.name for each in later.missing]) == ([], ["OBJECT_CHANGED"])


def test_a_page_leaves_no_cycles_that_would_keep_its_rows(rig: SearchRig) -> None:
    """Cycles are looked for so seldom that a thousand pages would be in memory at once."""
    rig.store(*[event_json(f"u{number}", NOON + number) for number in range(6)])
    gc.collect()
    gc.disable()
    try:
        for query in (SearchQuery(page_size=2), SearchQuery(Filters(types=TYPES), page_size=2)):
            assert len(list(rig.pages(query))) == 3
        assert not [each for each in gc.get_objects() if type(each) in (PageReader, Plan, SearchPage)]
    finally:
        gc.enable()


def test_more_equal_rows_than_a_page_has_are_one_row_by_columns_too(rig: SearchRig) -> None:
    for number in range(5):
        rig.store(event_json("same"), by=replace(BOB, name=f"bob-{number}"))
    rig.store(event_json("other", NOON - 1))
    by_columns, by_rows, _ = _walks(rig, SearchQuery(page_size=1))
    assert by_columns == by_rows
    assert len(by_columns) == 2


def test_a_condition_of_the_roles_and_emitters_have_rows_looked_at(rig: SearchRig) -> None:
    rig.store(event_json("u"))
    for query in (SearchQuery(emitters=frozenset({"alice"})), SearchQuery(Filters(text="u"))):
        assert not isinstance(rig.search.page(CALLER, query, time.monotonic() + 60).rows, PageColumns)


def _columns(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, pa.field(name, values.type), values)


ODD: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a value is missing": lambda table: _columns(table, "user", pa.array(["a", None, "c"])),
    "a text isn't UTF-8": lambda table: _columns(
        table, "uid", pa.array([b"a", b"\xff", b"c"]).cast(pa.string(), safe=False)
    ),
    "rows are out of order": lambda table: table.take([2, 1, 0]),
    "a time isn't one that the catalogue tells": lambda table: _columns(
        table, "event_time", pa.array([NOON, NOON, NOON + 9], pa.timestamp("ms", "UTC"))
    ),
    "times are in other units": lambda table: _columns(
        table, "event_time", pa.array([NOON * 1000] * 3, pa.timestamp("us", "UTC"))
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_an_object_of_which_anything_is_odd_is_left_to_the_engine(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table]
) -> None:
    """Whoever can write the storage may have written object and record, so that the digests agree."""
    rows = [BatchRow(number + 1, NOON + number, "t", f"u{number}", "", "n", b"{}", "") for number in range(3)]
    encode(columns_of(rows), tmp_path / "plain", log_id="log", first=1, last=3)
    table = pq.read_table(tmp_path / "plain")

    def write(name: str, content: pa.Table) -> None:
        with pq.ParquetWriter(tmp_path / name, content.schema, store_schema=False) as writer:
            writer.write_table(content)
            writer.add_key_value_metadata(table.schema.metadata)

    def read(name: str, rows: int = 3, stored: str = "") -> int:
        path = tmp_path / name
        digest = hashlib.sha256((tmp_path / (stored or name)).read_bytes()).hexdigest()
        item = CatalogueObject("default", name, rows, path.stat().st_size, NOON, NOON + 2, None, digest, "log", 1, 3)
        return len(DecodedObjects().columns(item, str(path)).sequences)

    write("same", table)
    write("odd", change(table))
    assert read("same") == 3
    with pytest.raises(OddObject):
        read("odd")
    with pytest.raises(OddObject):
        read("same", rows=4)
    with pytest.raises(OddObject):  # it was replaced since somebody looked
        read("same", stored="odd")


def test_an_object_that_says_it_is_too_large_is_not_decoded(rig: SearchRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.store(event_json("u"))
    monkeypatch.setattr(decoded_objects, "MOST_BYTES", 10)
    by_columns, by_rows, made = _walks(rig, SearchQuery())
    assert (by_columns, made) == (by_rows, [False])


def test_further_receipts_count_for_the_size_of_a_page(rig: SearchRig) -> None:
    large = event_json("large", NOON + 1, blob="x" * (PAGE_BYTES - 676))
    for number in range(6):
        rig.store(large, by=replace(BOB, name=f"bob-{number}"))
    rig.store(event_json("small"))
    by_columns, by_rows, made = _walks(rig, SearchQuery(page_size=50))
    assert by_columns == by_rows
    assert made == [True, True]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Span]:
    """The spans that pages were made of, in turn."""
    spans: list[Span] = []

    def noting(parts: Sequence[BatchColumns], span: Span) -> MergedRows:
        spans.append(span)
        return merging.merged(parts, span)

    monkeypatch.setattr(page_making, "merged", noting)
    return spans


def _walk_to_second(rig: SearchRig, page_size: int = 2) -> tuple[SearchQuery, SearchPage]:
    """A query for the third page, and the second one."""
    for number in range(4):
        rig.store(*[event_json(f"u{number}-{step}", NOON + 10 * number + step) for step in range(3)])
    query = SearchQuery(page_size=page_size)
    first = rig.page(query)
    assert first.prepare_next is None, "most searches end with their first page"
    second = rig.page(replace(query, page_token=first.next_page_token))
    return replace(query, page_token=second.next_page_token), second


def test_the_next_page_is_read_ahead_for_whoever_pages(rig: SearchRig, made: list[Span]) -> None:
    query, second = _walk_to_second(rig)
    expected = rig.page(query)
    assert second.prepare_next is not None
    before = len(made)
    second.prepare_next()
    third = rig.page(query)
    assert len(made) == before + 1, "it was made once, before it was asked for"
    assert _told(third) == _told(expected)
    assert _told(rig.page(query)) == _told(expected)
    assert len(made) == before + 2, "a page that is asked for again is made again"


def test_whoever_asks_for_a_thousand_rows_has_the_second_page_read_ahead(rig: SearchRig) -> None:
    rig.store(*[event_json(f"u{number}", NOON + number, pad="x" * (PAGE_BYTES // 3)) for number in range(4)])
    assert rig.page(SearchQuery(page_size=1000)).prepare_next is not None
    assert rig.page(SearchQuery(page_size=999)).prepare_next is None


def test_whoever_goes_on_has_several_pages_read_ahead_at_once(rig: SearchRig, made: list[Span]) -> None:
    for number in range(6):
        rig.store(*[event_json(f"u{number}-{step}", NOON + 10 * number + step) for step in range(5)])
    query = SearchQuery(page_size=2)
    expected = [_told(page) for page in rig.pages(query)]
    made.clear()
    found = []
    for page in rig.pages(query):
        found.append(_told(page))
        if page.prepare_next is not None:
            page.prepare_next()
    assert found == expected
    # Two by themselves, and then 1, 2, 4, 4 and what is left.
    assert [(span.rows - 1) // 2 for span in made] == [1, 1, 1, 2, 4, 4, 4]


def test_pages_that_share_their_memory_count_for_it_until_the_last_is_gone(rig: SearchRig) -> None:
    _, second = _walk_to_second(rig)
    assert second.prepare_next is not None
    second.prepare_next()
    reader = rig.search._columns
    [ahead] = reader._ahead._kept.values()
    [alone] = reader._made_ahead(ahead.asked, 1)
    first, last = reader._made_ahead(ahead.asked, 2)
    assert first.size == 0
    assert last.size > alone.size > 0


def test_what_has_to_be_fetched_is_fetched_for_those_alone_who_ask_for_it(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, _ = _walk_to_second(rig)
    monkeypatch.setattr(rig.storage, "compares_digests", True)
    assert rig.page(query).prepare_next is None


@pytest.mark.parametrize("fault", [_remove, _flip, _add_foreign])
def test_what_befalls_a_storage_after_a_page_was_read_ahead_is_told(
    rig: SearchRig, fault: Callable[[Path], None]
) -> None:
    query, second = _walk_to_second(rig)
    assert second.prepare_next is not None
    second.prepare_next()
    fault(next(path for path in rig.objects() if "-7-" in path.name))
    told = _told(rig.page(query))
    assert told == _told(rig.page(query, search=rig.search_with(rig.engine)))


@pytest.mark.parametrize("fault", [_remove, _flip, _add_foreign])
def test_what_befalls_a_storage_is_told_by_each_of_several_pages_that_were_read_ahead(
    rig: SearchRig, made: list[Span], fault: Callable[[Path], None]
) -> None:
    query, page = _walk_to_second(rig)
    for _ in "34":
        assert page.prepare_next is not None
        page.prepare_next()
        page = rig.page(query)
        query = replace(query, page_token=page.next_page_token)
    assert made[-1].rows == 5, "the fourth page and the fifth"
    fault(next(path for path in rig.objects() if "-4-" in path.name))
    told = _told(rig.page(query))
    assert told == _told(rig.page(query, search=rig.search_with(rig.engine)))


def test_a_page_without_receipts_is_not_kept(rig: SearchRig, made: list[Span]) -> None:
    query, second = _walk_to_second(rig, page_size=3)  # of the object of the third page no receipt is known yet
    records, gone = rig.events_folder / "_batches", rig.events_folder / "gone"
    assert second.prepare_next is not None
    records.rename(gone)
    second.prepare_next()
    gone.rename(records)
    assert rig.page(query).complete
    assert len(made) == 4, "the third page was made twice"


def test_who_may_not_see_every_event_is_given_no_page_that_was_read_ahead_for_another(rig: SearchRig) -> None:
    query, second = _walk_to_second(rig)
    assert second.prepare_next is not None
    second.prepare_next()
    nothing = ValueTest(("user",), Operator.ONE_OF, ("nobody",), holds=True)
    found = rig.page(replace(query, filters=replace(query.filters, condition=nothing)))
    assert not found.rows

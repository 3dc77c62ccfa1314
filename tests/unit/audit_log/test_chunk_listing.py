"""Pages of chunks, and how far a list is complete, against a model that knows every sequence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.audit_log.bucket_looks import Looked
from server.audit_log.export import listing
from server.audit_log.export.chunk import Chunk, ChunkId, ChunkQuery
from server.audit_log.search.gaps import MOST_OF_OTHERS
from server.audit_log.search.query import Missing, MissingReason
from server.errors import InvalidRequest, NotFound, Unavailable
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueObject
from server.state.database import open_database
from server.storage.ports import StorageError
from tests.unit.audit_log.chunk_lists import ALICE, BOB, DAY, DAY_MS, LOG, LOGS, Lists, ranges


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[Lists]:
    engine = open_database(tmp_path / "state.db")
    yield Lists(Catalogue(engine))
    engine.dispose()


def test_a_chunk_tells_events_bytes_and_times_of_all_its_objects(lists: Lists) -> None:
    lists.store(1, 5, times=(DAY_MS, 7))
    [chunk], page = lists.pages()
    assert chunk == Chunk(ChunkId("default", LOG, 1, 5), 10, 100, 7, DAY_MS + 9)
    assert page.complete_through == {LOG: 5}


def test_chunks_come_log_by_log_in_the_order_of_sequences(lists: Lists) -> None:
    for log_id in (LOGS[1], LOGS[0]):
        for first in (1, 11, 21):
            lists.store(first, first + 9, log_id)
    chunks, _ = lists.pages(page_size=2)
    assert [(chunk.id.log_id, chunk.id.first) for chunk in chunks] == list(itertools.product(LOGS[:2], (1, 11, 21)))


def test_a_place_leaves_out_what_is_done_and_not_a_chunk_that_it_cuts(lists: Lists) -> None:
    for first in (1, 11, 21):
        lists.store(first, first + 9)
    for place, expected in ((0, [1, 11, 21]), (9, [1, 11, 21]), (10, [11, 21]), (15, [11, 21]), (30, [])):
        chunks, page = lists.pages(after={LOG: place})
        assert [chunk.id.first for chunk in chunks] == expected
        assert page.complete_through == {LOG: 30}
        assert not page.missing


def test_a_log_of_which_nothing_is_stored_is_named(lists: Lists) -> None:
    lists.tail.begin(LOGS[1], 1, "default")
    lists.store(1, 5)
    assert lists.pages()[1].complete_through == {LOGS[0]: 5, LOGS[1]: 0}


def test_nothing_beyond_a_gap_is_listed_before_it_is_filled(lists: Lists) -> None:
    lists.store(1, 5)
    lists.store(11, 15)
    chunks, page = lists.pages()
    assert (ranges(chunks), page.complete_through) == ([(1, 5)], {LOG: 5})
    lists.store(6, 10)
    chunks, page = lists.pages(after=page.complete_through)
    assert (ranges(chunks), page.complete_through) == ([(6, 10), (11, 15)], {LOG: 15})


def test_a_gap_filled_between_pages_counts_from_the_next_list_on(lists: Lists) -> None:
    for first in (1, 6, 16):
        lists.store(first, first + 4)
    chunks, page = lists.pages(lambda: lists.store(11, 15), page_size=1)
    assert (ranges(chunks), page.complete_through) == ([(1, 5), (6, 10)], {LOG: 10})
    chunks, page = lists.pages(after=page.complete_through)
    assert (ranges(chunks), page.complete_through) == ([(11, 15), (16, 20)], {LOG: 20})


def test_a_hole_is_missing_and_stops_nothing(lists: Lists) -> None:
    lists.store(1, 5)
    lists.catalogue.add_holes([(LOG, 6, 8), (LOG, 14, 16)], 0)
    lists.store(9, 12)
    chunks, page = lists.pages()
    assert (ranges(chunks), page.complete_through) == ([(1, 5), (9, 12)], {LOG: 12})
    lost = [
        (part.reason.value, part.storage, part.name, part.first_sequence, part.last_sequence) for part in page.missing
    ]
    assert lost == [("JOURNAL_HOLE", "default", LOG, 6, 8)]
    lists.store(13, 13)
    page = lists.pages(after={LOG: 12})[1]
    assert page.complete_through == {LOG: 16}
    assert [part.first_sequence for part in page.missing] == [14]


def test_a_place_beyond_what_the_service_has_is_kept_and_told(lists: Lists) -> None:
    lists.store(1, 5)
    page = lists.pages(after={LOG: 9, LOGS[2]: 3})[1]
    assert page.complete_through == {LOG: 9, LOGS[2]: 3}
    assert [(part.name, part.first_sequence, part.last_sequence) for part in page.missing] == [
        (LOG, 6, 9),
        (LOGS[2], 1, 3),
    ]


def test_a_place_in_what_is_acknowledged_but_not_stored_is_no_fault(lists: Lists) -> None:
    lists.store(1, 5)
    lists.tail.begin(LOG, 9, "default")  # 6 to 8 are in sections before it
    page = lists.pages(after={LOG: 8})[1]
    assert (page.complete_through, page.missing) == ({LOG: 8}, [])


def test_times_leave_out_chunks_by_their_objects(lists: Lists) -> None:
    lists.store(1, 1, times=(100, 300))
    lists.store(2, 2, times=(200,))
    lists.store(3, 3, times=())
    cases = [
        (None, None, [1, 2, 3]), (309, None, [1]), (310, None, []), (None, 100, []), (None, 101, [1]), (200, 210, [2]),
        (150, 160, []),
    ]  # fmt: skip
    for from_ms, to_ms, expected in cases:
        chunks, page = lists.pages(from_ms=from_ms, to_ms=to_ms)
        assert [chunk.id.first for chunk in chunks] == expected, (from_ms, to_ms)
        assert page.complete_through == {LOG: 3}
        assert lists.refreshed[-1] == (from_ms, to_ms)


def test_who_sees_some_events_only_learns_nothing_but_sequences(lists: Lists) -> None:
    lists.store(1, 1, times=(100,))
    lists.store(2, 2, times=(200,))
    chunks, page = lists.pages(sees_all=False, from_ms=1_000, to_ms=2_000)
    assert chunks == [Chunk(ChunkId("default", LOG, 1, 1)), Chunk(ChunkId("default", LOG, 2, 2))]
    assert page.complete_through == {LOG: 2}
    assert lists.refreshed == [(None, None)]


def test_a_selector_chooses_storages_and_a_place_passes_over_the_others(lists: Lists) -> None:
    lists.store(1, 1, storage="s3")
    lists.store(2, 2)
    cases = [
        ("followed", [1, 2]), ("all", [1, 2]), ("active", [2]), ("default", [2]), ("s3", [1]),
    ]  # fmt: skip
    for selector, expected in cases:
        chunks, page = lists.pages(storage=selector)
        assert [chunk.id.first for chunk in chunks] == expected, selector
        assert page.complete_through == {LOG: 2}
    with pytest.raises(NotFound):
        lists.page(storage="nowhere")


def test_foreign_objects_that_are_gone_count_no_more(lists: Lists) -> None:
    lists.store(1, 2)
    foreign = [
        CatalogueObject("default", f"{DAY}/x{time}.parquet", 1, 1, time, time, None, is_foreign=True) for time in (1, 2)
    ]
    lists.catalogue.add_foreign(foreign)
    lists.catalogue.add_foreign(foreign)
    assert lists.pages()[1].foreign_objects == 2
    lists.catalogue.remove_foreign(foreign[:1])
    assert lists.pages()[1].foreign_objects == 1


def test_a_list_looks_at_no_object_of_dates_that_have_no_foreign_ones(lists: Lists) -> None:
    """The catalogue is locked meanwhile, and the event loop needs it."""

    class NotLookedAt(list[CatalogueObject]):
        def __iter__(self) -> Iterator[CatalogueObject]:
            raise AssertionError("looked at")

    last = lists.store(1, 2).last
    date = lists.catalogue._dates["default"][DAY]
    date.objects = NotLookedAt(date.objects)
    assert lists.page(after={LOG: last}).complete_through == {LOG: last}


def test_a_list_asks_for_some_batches_at_a_time_and_gives_all(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_AT_ONCE", 2)
    batches = [
        lists.store(first, first + 1, log, storage)
        for log in LOGS[:2]
        for first, storage in ((1, "default"), (3, "s3"), (5, "s3"), (7, "s3"), (9, "default"))
    ]
    for storage in ("all", "default"):
        expected = [ChunkId.of(batch) for batch in batches if storage in ("all", batch.storage)]
        for page_size in (1, 2, 3, 100):
            assert [chunk.id for chunk in lists.pages(storage=storage, page_size=page_size)[0]] == expected
    assert len(lists.catalogue.batches_between(LOG, 0, 10, 2)) == 2


def test_foreign_objects_are_counted_in_the_storages_and_times_chosen(lists: Lists) -> None:
    lists.store(1, 1)
    foreign = [
        CatalogueObject(storage, f"{DAY}/x{time}.parquet", 1, 1, time, time, None, is_foreign=True)
        for storage, time in (("default", 10), ("default", 20), ("s3", 10))
    ]
    lists.catalogue.add_foreign(foreign)
    assert lists.pages()[1].foreign_objects == 3
    assert lists.pages(storage="default")[1].foreign_objects == 2
    assert lists.pages(from_ms=20)[1].foreign_objects == 1
    assert lists.pages(sees_all=False)[1].foreign_objects == 0, "what is in them may be hidden"


def test_what_of_others_cannot_be_read_is_told_beside_how_many_there_are(lists: Lists) -> None:
    """Of their names, which are in their hands, so many that an answer holds them."""
    lists.store(1, 1)
    parts = [Missing(MissingReason.OBJECT_UNREADABLE, "s3", f"{DAY}/{number}", "no") for number in range(300)]
    lists.looked = Looked(of_others=parts)
    page = lists.page()
    assert page.missing[:-1] == parts[:MOST_OF_OTHERS]
    assert page.missing[-1].description.startswith("100 objects more")
    [told] = lists.page(sees_all=False).missing
    assert (told.reason, told.storage, told.name) == (MissingReason.OBJECT_UNREADABLE, "s3", "")


def test_a_storage_that_cannot_be_listed_is_unavailable(lists: Lists) -> None:
    lists.fails = StorageError("no")
    with pytest.raises(Unavailable):
        lists.page()


def test_a_token_holds_for_its_caller_and_question_alone(lists: Lists) -> None:
    for first in (1, 2):
        lists.store(first, first)
    asked: dict[str, object] = {"storage": "all", "from_ms": 0, "to_ms": 99, "after": {LOGS[1]: 1}}
    token = lists.page(page_size=1, **asked).next_page_token
    assert ranges(lists.page(page_size=7, page_token=token, **asked).chunks) == [(2, 2)]
    others: list[dict[str, object]] = [
        {"storage": "followed"}, {"from_ms": 1}, {"to_ms": None}, {"after": {}}, {"after": {LOGS[1]: 2}},
        {"page_token": token[:-4] + "AAAA"}, {"page_token": "x"}, {"page_token": "ä"},
    ]  # fmt: skip
    for other in others:
        with pytest.raises(InvalidRequest):
            lists.page(**(asked | {"page_token": token} | other))
    with pytest.raises(InvalidRequest):
        lists.page(BOB, page_token=token, **asked)
    with pytest.raises(InvalidRequest):
        lists.with_key(b"j" * 32).page(ALICE, ChunkQuery(page_token=token, **asked), sees_all=True)  # type: ignore[arg-type]

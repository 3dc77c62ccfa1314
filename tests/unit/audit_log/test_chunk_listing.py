"""Pages of chunks, and how far a list is complete, against a model that knows every sequence."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rbac.identities import Identity, IdentityKind
from server.audit_log.bucket_looks import Looked
from server.audit_log.export import listing
from server.audit_log.export.chunk import Chunk, ChunkId, ChunkPage, ChunkQuery
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.search.gaps import MOST_OF_OTHERS
from server.audit_log.search.query import Missing, MissingReason
from server.audit_log.storages import Storages
from server.audit_log.tail import Tail
from server.errors import InvalidRequest, NotFound, Unavailable
from server.state.catalogue import Catalogue, CatalogueBatch, CatalogueObject
from server.state.database import open_database
from server.storage.ports import StorageError

ALICE = Identity(IdentityKind.USER, "alice", frozenset({"auditor"}), "anchor", "a1")
BOB = Identity(IdentityKind.USER, "bob", frozenset({"auditor"}), "anchor", "b1")
LOGS = [f"{number:020x}" for number in range(1, 4)]
LOG = LOGS[0]
DAY_MS = 86_400_000
DAY = "2026-11-18"
NOWHERE: Any = SimpleNamespace(storage_id="default")
"""A storage of which lists ask no more than its id."""


@dataclass
class Lists:
    """A catalogue, a tail and the lists over them."""

    catalogue: Catalogue
    tail: Tail = field(default_factory=Tail)
    refreshed: list[tuple[int | None, int | None]] = field(default_factory=list)
    looked: Looked = field(default_factory=Looked)
    fails: Exception | None = None

    def __post_init__(self) -> None:
        self.listing = self.with_key(b"k" * 32)

    def with_key(self, key: bytes) -> ChunkListing:
        return ChunkListing(Storages(NOWHERE), self.tail, self.catalogue, ChunkTokens(key), self._refresh)

    def _refresh(self, from_ms: int | None, to_ms: int | None, storages: frozenset[str]) -> Looked:
        self.refreshed.append((from_ms, to_ms))
        if self.fails:
            raise self.fails
        return self.looked

    def store(
        self, first: int, last: int, log_id: str = LOG, storage: str = "default", times: Sequence[int] = (0,)
    ) -> CatalogueBatch:
        """Confirm a batch with an object of 10 bytes a row for each of the times."""
        batch = CatalogueBatch(storage, log_id, first, last, "digest", 0)
        rows = last - first + 1
        objects = [
            CatalogueObject(
                storage, f"{DAY}/{log_id}-{first}-{last}.r{number}.parquet", rows, rows * 10, time, time + 9,
                frozenset(), "sha", log_id, first, last,
            )
            for number, time in enumerate(times)
        ]  # fmt: skip
        self.catalogue.add_batch(batch, objects)
        return batch

    def page(self, caller: Identity = ALICE, *, sees_all: bool = True, **asked: object) -> ChunkPage:
        return self.listing.page(caller, ChunkQuery(**asked), sees_all=sees_all)  # type: ignore[arg-type]

    def pages(
        self, between: Callable[[], object] = lambda: None, *, sees_all: bool = True, **asked: object
    ) -> tuple[list[Chunk], ChunkPage]:
        """All chunks, and the last page; `between` is called between two pages."""
        chunks: list[Chunk] = []
        token = ""
        while True:
            page = self.page(page_token=token, sees_all=sees_all, **asked)
            chunks += page.chunks
            token = page.next_page_token
            assert (page.complete_through is None) == bool(token)
            if not token:
                return chunks, page
            between()


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[Lists]:
    engine = open_database(tmp_path / "state.db")
    yield Lists(Catalogue(engine))
    engine.dispose()


def ranges(chunks: Sequence[Chunk]) -> list[tuple[int, int]]:
    return [(chunk.id.first, chunk.id.last) for chunk in chunks]


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
    assert lists.pages(from_ms=20, sees_all=False)[1].foreign_objects == 3


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


class Model:
    """A log as it could come to be: what is confirmed or lost of 1, 2, 3, ... , in any order."""

    def __init__(self, lists: Lists, rng: random.Random, log_id: str) -> None:
        self._lists = lists
        self._rng = rng
        self.log_id = log_id
        self.done: set[int] = set()
        self.stored: list[tuple[int, int]] = []
        self._waiting: list[tuple[int, int, bool]] = []
        self._next = 1

    def step(self) -> None:
        """A cut, or a delivery: mostly of the oldest."""
        rng = self._rng
        if not self._waiting or rng.random() < 0.5:
            first, self._next = self._next, self._next + rng.randint(1, 9)
            self._waiting.append((first, self._next - 1, rng.random() < 0.15))
        else:
            self.deliver(0 if rng.random() < 0.7 else rng.randrange(len(self._waiting)))

    def deliver(self, index: int = 0) -> None:
        first, last, lost = self._waiting.pop(index)
        if lost:
            self._lists.catalogue.add_holes([(self.log_id, first, last)], 0)
        else:
            self._lists.store(first, last, self.log_id)
            self.stored.append((first, last))
        self.done |= set(range(first, last + 1))

    def finish(self) -> None:
        while self._waiting:
            self.deliver()

    @property
    def complete(self) -> int:
        return next(number for number in itertools.count(1) if number not in self.done) - 1


@pytest.mark.parametrize("seed", range(40))
def test_every_history_gives_each_chunk_once_and_says_exactly_how_far(seed: int, lists: Lists) -> None:
    rng = random.Random(seed)
    logs = [Model(lists, rng, log_id) for log_id in LOGS[: rng.randint(1, 3)]]

    def go_on() -> None:
        for _ in range(rng.randrange(4)):
            rng.choice(logs).step()

    place: dict[str, int] = {}
    given: list[ChunkId] = []

    def look(between: Callable[[], object]) -> None:
        nonlocal place
        # By the model, as of the first page; of each log that has anything at all.
        expected = {log.log_id: log.complete for log in logs if log.done}
        chunks, page = lists.pages(between, page_size=rng.randint(1, 3), after=place)
        assert page.complete_through == expected
        new = [
            ChunkId("default", log.log_id, first, last)
            for log in logs
            for first, last in sorted(log.stored)
            if place.get(log.log_id, 0) < last <= expected.get(log.log_id, 0)
        ]
        assert [chunk.id for chunk in chunks] == new
        given.extend(new)
        place = expected

    for _ in range(12):
        go_on()
        look(go_on)
    for log in logs:
        log.finish()
    look(lambda: None)
    every = [ChunkId("default", log.log_id, *each) for log in logs for each in log.stored]
    assert sorted(given) == sorted(every)


def test_a_list_beside_deliveries_gives_each_chunk_once(lists: Lists) -> None:
    count = 150

    def deliver() -> None:
        for first in range(1, count + 1):
            section = lists.tail.begin(LOG, first, "default")
            lists.store(first, first)
            lists.tail.remove(section)

    thread = threading.Thread(target=deliver)
    thread.start()
    place: dict[str, int] = {}
    given: list[tuple[int, int]] = []
    while place.get(LOG, 0) < count:
        chunks, page = lists.pages(after=place, page_size=2)
        given += ranges(chunks)
        assert page.complete_through is not None
        assert given == [(number, number) for number in range(1, page.complete_through.get(LOG, 0) + 1)]
        assert not page.missing
        place = dict(page.complete_through)
    thread.join()

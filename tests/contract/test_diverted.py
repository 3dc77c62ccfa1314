"""Reads after a diversion: what waited for a storage is in the default one, once, whatever is delivered when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Lock, Thread

import pytest

from server.audit_log.bucket_looks import Looked
from server.audit_log.delivery import Delivery
from server.audit_log.diverting import Diverting
from server.audit_log.export.chunk import ChunkQuery
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.rebuilding import recall
from server.audit_log.search.query import EventFilter, Missing, MissingReason, SearchQuery
from server.audit_log.stored_batches import StoredBatches
from server.audit_log.timestamps import utc_date
from server.audit_log.watching.log_parts import Selection
from server.audit_log.watching.log_reader import LogReader
from server.audit_log.watching.look import look_on
from server.errors import FailedPrecondition, NotFound
from server.files import DiskFiles
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.matching import compile_filters
from server.storage.ports import EventStorage, StorageError
from server.storage.query import Filters
from tests.contract.foreign_files import columns, write
from tests.contract.search_rig import ALICE, NOON, PROOFS, SearchRig, duck_engine, event_json
from tests.crash.diverting_log import told

DEFAULT, OTHER = "default", "other"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SearchRig]:
    """Of one log the default storage has a and e, the other one is to have b, c and d."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), periods=[(NOON, OTHER), (NOON + 1, DEFAULT)])
    rig.emit(event_json("a"))
    rig.log.writer.switch(OTHER)
    rig.emit(event_json("b"), event_json("c"))
    rig.cut()
    rig.emit(event_json("d"))
    rig.log.writer.switch(DEFAULT)
    rig.emit(event_json("e"))
    rig.cut()
    yield rig
    rig.close()


def diverting(rig: SearchRig) -> Diverting:
    return Diverting(rig.log.tail, rig.catalogue, rig.storages, Lock(), lambda storage: None)


def divert(rig: SearchRig) -> None:
    diverting(rig).divert(OTHER, DEFAULT, told)


def deliver(rig: SearchRig, storage: str) -> None:
    delivery = rig.delivery_to(storage)
    while delivery.deliver_next() is not None:
        pass


def places(rig: SearchRig, storage: str) -> list[tuple[str, str, int]]:
    """Uid, storage and sequence of each row that a search finds, once for each receipt."""
    rows = [row for page in rig.pages(SearchQuery(storage=storage, page_size=2)) for row in page.rows]
    return sorted((row.position.uid, each.storage, each.sequence) for row in rows for each in row.receipts)


def watched(rig: SearchRig) -> list[tuple[str, str, int]]:
    """The same of one who watches from the beginning of the log."""
    batches = StoredBatches(rig.storages, rig.catalogue)
    reader = LogReader(rig.log.tail, rig.catalogue, batches, rig.log.journal.log_id)
    found, place = [], dict[str, int]()
    while True:
        look = look_on(reader, place, Selection(EventFilter()), compile_filters(Filters()), None)
        assert not look.missing
        found += [(row.position.uid, each.storage, each.sequence) for row in look.events for each in row.receipts]
        place = look.place
        if look.caught_up:
            return found


def chunks(rig: SearchRig, after: dict[str, int]) -> tuple[list[tuple[str, int, int]], dict[str, int]]:
    listing = ChunkListing(rig.storages, rig.log.tail, rig.catalogue, ChunkTokens(b"k" * 32), lambda *_: Looked())
    page = listing.page(ALICE, ChunkQuery(after=after), sees_all=True)
    assert page.complete_through is not None
    return [(item.id.storage, item.id.first, item.id.last) for item in page.chunks], dict(page.complete_through)


HERE = [("a", DEFAULT, 1), ("b", DEFAULT, 2), ("c", DEFAULT, 3), ("d", DEFAULT, 4), ("e", DEFAULT, 5)]


@pytest.mark.parametrize("late", [False, True], ids=["never delivered", "delivered late"])
def test_each_read_has_what_was_diverted_once_and_in_its_place(rig: SearchRig, late: bool) -> None:
    """Before it is delivered and after, with the old bucket empty or with all of it, and after a restart."""
    before = [(uid, OTHER if uid in "bcd" else DEFAULT, sequence) for uid, _, sequence in HERE]
    assert (places(rig, "all"), watched(rig)) == (before, before)
    deliver(rig, DEFAULT)
    given, place = chunks(rig, {})
    assert given == [(DEFAULT, 1, 1)], "what is behind the backlog waits for it"
    delivery = rig.delivery_to(OTHER)
    if late:  # the record is there before the batch leaves the tail, when the diversion comes
        with pytest.raises(RuntimeError, match="now"):
            hooked(rig).deliver_next()
    divert(rig)
    assert delivery.deliver_next() is None
    check_reads(rig)
    life = rig.reopened()
    check_reads(life)
    deliver(life, DEFAULT)
    check_reads(life)
    assert chunks(life, place)[0] == [(DEFAULT, 2, 3), (DEFAULT, 4, 4), (DEFAULT, 5, 5)]
    assert recall(life.storages.of(OTHER), life.catalogue, lambda *_: True, PROOFS) == (0, 0, 0, int(late))
    assert places(life, "all") == HERE, "the objects that came late are no strangers'"
    log_id = life.log.journal.log_id
    write(Path(life.storages.of(OTHER).location()) / utc_date(NOON) / f"{log_id}-2-999.parquet", columns(["like it"]))
    assert places(life, OTHER) == [("like it", OTHER, 0)], "that is named nearly like one of them is a stranger's"
    life.close()


def check_reads(rig: SearchRig) -> None:
    assert places(rig, "all") == places(rig, DEFAULT) == places(rig, "active") == watched(rig) == HERE
    assert places(rig, OTHER) == []


def hooked(rig: SearchRig) -> Delivery:
    """A delivery to the other storage that stops once the record of its batch is there."""
    delivery = rig.delivery_to(OTHER)

    def stop() -> None:
        raise RuntimeError("now")

    delivery._before_leaving = stop
    return delivery


def test_pages_of_one_search_have_each_once_though_it_is_diverted_between_them(rig: SearchRig) -> None:
    pages = rig.pages(SearchQuery(storage="all", page_size=2))
    found = [row.position.uid for row in next(pages).rows]
    divert(rig)
    deliver(rig, DEFAULT)
    found += [row.position.uid for page in pages for row in page.rows]
    assert sorted(found) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("storage", "filters", "named"),
    [
        (OTHER, Filters(), [DEFAULT]),
        (OTHER, Filters(from_ms=NOON, to_ms=NOON + 1), [DEFAULT]),
        (OTHER, Filters(from_ms=NOON + 1), []),
        (OTHER, Filters(to_ms=NOON), []),
        (DEFAULT, Filters(), []),
        ("all", Filters(), []),
    ],
)
def test_who_searches_where_it_was_to_go_is_told_where_it_is(
    rig: SearchRig, storage: str, filters: Filters, named: list[str]
) -> None:
    divert(rig)
    page = rig.page(SearchQuery(filters, storage=storage))
    assert [(each.reason, each.storage) for each in page.missing] == [
        (MissingReason.OTHER_STORAGE, name) for name in named
    ]


@pytest.mark.parametrize("delivered", [False, True])
def test_who_follows_where_it_was_to_go_is_told_which_range_is_elsewhere(rig: SearchRig, delivered: bool) -> None:
    deliver(rig, DEFAULT)
    divert(rig)
    if delivered:
        deliver(rig, DEFAULT)
    log_id, batches = rig.log.journal.log_id, StoredBatches(rig.storages, rig.catalogue)
    reader = LogReader(rig.log.tail, rig.catalogue, batches, log_id)
    listing = ChunkListing(rig.storages, rig.log.tail, rig.catalogue, ChunkTokens(b"k" * 32), lambda *_: Looked())

    def told_of(storage: str, after: int) -> tuple[list[tuple[str, int, int]], list[tuple[str, int, int]]]:
        look = look_on(reader, {log_id: after}, Selection(EventFilter()), compile_filters(Filters()), {storage})
        page = listing.page(ALICE, ChunkQuery(storage, after={log_id: after}), sees_all=True)
        assert {each.reason for each in (*look.missing, *page.missing)} <= {MissingReason.OTHER_STORAGE}
        watched, listed = ([*map(ranged, missing)] for missing in (look.missing, page.missing))
        return watched, listed

    def ranged(missing: Missing) -> tuple[str, int, int]:
        return missing.storage, missing.first_sequence, missing.last_sequence

    def expected(*ranges: tuple[str, int, int]) -> object:
        return [*ranges], [*ranges] if delivered else []

    assert told_of(OTHER, 0) == expected((DEFAULT, 2, 3), (DEFAULT, 4, 4))
    assert told_of(OTHER, 2) == expected((DEFAULT, 3, 3), (DEFAULT, 4, 4))
    assert told_of(OTHER, 4) == told_of(DEFAULT, 0) == ([], [])


def test_the_backlog_is_told_before_and_nothing_is_diverted_from_where_new_data_goes(rig: SearchRig) -> None:
    log_id, making = rig.log.journal.log_id, diverting(rig)
    backlog = making.backlog(OTHER)
    assert (backlog.batches, backlog.events, backlog.sequences) == (2, 3, ((log_id, 2, 4),))
    assert backlog.bytes == sum(len(event_json(uid)) for uid in "bcd")
    with pytest.raises(FailedPrecondition) as active:
        making.divert(DEFAULT, OTHER, told)
    assert active.value.reason == "STORAGE_ACTIVE"
    with pytest.raises(NotFound):
        making.backlog("nowhere")
    assert rig.catalogue.diversions.all() == ()
    assert making.divert(OTHER, DEFAULT, told) == backlog
    assert making.divert(OTHER, DEFAULT, told).batches == 0, "done again, nothing is left"


class Bucket(EmbeddedStorage):
    """Others can write there, as to a bucket, and it may be gone."""

    compares_digests = True
    is_gone = False

    def put_record(self, name: str, data: bytes) -> None:
        if self.is_gone:
            raise StorageError("the bucket is gone")
        super().put_record(name, data)

    def read_record(self, name: str, digest: str = "") -> bytes | None:
        if self.is_gone:
            raise StorageError("the bucket is gone")
        return super().read_record(name, digest)


def test_what_was_confirmed_before_a_stop_leaves_the_journal_though_the_bucket_is_gone_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It isn't diverted: it is there. Nor does it wait for ever for a bucket to say so."""

    def opened(folder: Path, name: str) -> EventStorage:
        return Bucket(DiskFiles(), folder, name)

    def failing(*_: object, **__: object) -> None:
        raise OSError("no")

    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=opened)
    rig.log.writer.switch(OTHER)
    rig.emit(event_json("a"))
    rig.log.writer.switch(DEFAULT)
    monkeypatch.setattr(rig.log.journal, "trim", failing)
    with pytest.raises(OSError, match="no"):
        rig.delivery_to(OTHER).deliver_next()  # the batch is in the catalogue, and its segment in the journal
    again = rig.reopened()
    monkeypatch.setattr(Bucket, "is_gone", True)
    assert [section.storage for section in again.log.tail.of_storage(OTHER)] == [OTHER]
    assert diverting(again).backlog(OTHER).batches == 0
    assert again.delivery_to(OTHER).deliver_next() is not None
    assert again.log.tail.of_storage(OTHER) == []
    again.close()


def test_a_batch_is_confirmed_before_an_older_one_that_is_diverted_to_there_meanwhile(rig: SearchRig) -> None:
    """That one has a chain of records of its own. In one chain they are confirmed in their order."""
    delivery = rig.delivery_to(DEFAULT)
    first, behind = (delivery.send(section) for section in delivery.waiting(2))
    with pytest.raises(RuntimeError, match="before an older one"):
        delivery.confirm(behind)
    delivery.confirm(first)
    divert(rig)
    assert [section.first for section in delivery.waiting(3)] == [2, 4, 5]
    assert delivery.confirm(behind) is not None
    deliver(rig, DEFAULT)
    assert places(rig, "all") == HERE
    check_reads(rig)


def test_a_batch_that_is_leaving_is_not_diverted_meanwhile(rig: SearchRig) -> None:
    """Between the look whether it was diverted and the catalogue's row nothing may come: it would be in both."""
    delivery = rig.delivery_to(OTHER)
    making = Diverting(rig.log.tail, rig.catalogue, rig.storages, delivery._leaving, lambda storage: None)
    diverted: list[int] = []
    other = Thread(target=lambda: diverted.append(making.divert(OTHER, DEFAULT, told).batches))

    def begin() -> None:
        other.start()
        other.join(0.2)  # long enough for one that doesn't wait

    delivery._before_leaving = begin
    assert delivery.deliver_next() is not None
    other.join(60)
    assert diverted == [1], "the one behind it"
    assert {batch.storage for batch in rig.catalogue.batches()} == {OTHER}
    deliver(rig, DEFAULT)
    assert places(rig, "all") == [(uid, OTHER if uid in "bc" else DEFAULT, sequence) for uid, _, sequence in HERE]

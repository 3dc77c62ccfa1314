"""What the state lost of several storages comes back though one of them gives no answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import delete

from server.audit_log.batch_record import BatchRecord
from server.audit_log.bucket_looks import Looked
from server.audit_log.deliveries_by_storage import DeliveriesByStorage
from server.audit_log.delivery import Delivery
from server.audit_log.export.chunk import ChunkQuery
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.gate import IntakeGate
from server.audit_log.rebuilding import RECALLED_AT_ONCE, Recalled, RecordsUnread
from server.audit_log.recalling import Recalling
from server.audit_log.search.query import EventFilter, MissingReason, SearchQuery
from server.audit_log.status import Status, Surroundings
from server.audit_log.stored_batches import StoredBatches
from server.audit_log.watching.log_parts import Selection
from server.audit_log.watching.log_reader import LogReader
from server.audit_log.watching.look import look_on
from server.files import DiskFiles
from server.state.tables import catalogue_batches, catalogue_objects
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.matching import compile_filters
from server.storage.ports import EventStorage, StorageError
from server.storage.query import Filters
from tests.contract.search_rig import ALICE, SearchRig, duck_engine, event_json
from tests.loops import in_loop, until

FAR = "far"
SILENT = tuple(f"a-silent-{number}" for number in range(RECALLED_AT_ONCE + 2))


class Meeting(EmbeddedStorage):
    """Lists its records once others are asked for theirs as well."""

    meet = threading.Barrier(2)

    def list_records(self, *, hidden: bool = False) -> Iterator[str]:
        Meeting.meet.wait(60)
        yield from super().list_records()


class Silent(EmbeddedStorage):
    """Gives no list of records until it may; the one that is far is away until then, or gives it at once."""

    asked: list[str]
    let: threading.Event
    is_away: bool

    def list_records(self, *, hidden: bool = False) -> Iterator[str]:
        if Silent.is_away:
            raise StorageError("it is away")
        Silent.asked.append(self.storage_id)
        if self.storage_id != FAR:
            assert Silent.let.wait(60)
        yield from super().list_records()


def without_its_state(folder: Path) -> SearchRig:
    """A log of which the state lost a batch in the storage FAR."""
    rig = SearchRig(folder, duck_engine(folder), others=(FAR,))
    rig.log.writer.switch(FAR)
    rig.emit(event_json("e"))
    rig.cut()
    rig.delivery_to(FAR).deliver_next()
    with rig.database.begin() as connection:
        connection.execute(delete(catalogue_batches))
        connection.execute(delete(catalogue_objects))
    return rig


@asynccontextmanager
async def recalling(folder: Path, *others: str) -> AsyncIterator[tuple[SearchRig, Recalling]]:
    """Batches are recalled, of which none could be at the start."""
    Silent.asked, Silent.let, Silent.is_away = [], threading.Event(), True
    rig = without_its_state(folder)
    rig.others, rig.open_other = (FAR, *others), lambda at, name: Silent(DiskFiles(), at, name)
    rig = rig.reopened()
    Silent.is_away = False
    assert rig.catalogue.holes()
    log = rig.log
    with ThreadPoolExecutor(8) as threads:
        work = Recalling(rig.storages, rig.catalogue, log.tail, log.journal, log.proofs, threads)
        task = asyncio.create_task(work.run())
        try:
            yield rig, work
        finally:
            Silent.let.set()
            work.stop()
            await task
    rig.close()


def status_of(rig: SearchRig) -> Status:
    def make(storage: EventStorage) -> NoReturn:
        raise NotImplementedError

    around = Surroundings(tuple, lambda: ("", ()), tuple, lambda: False)
    parts = rig.log.journal, rig.log.tail, IntakeGate(1 << 30, 0), rig.catalogue, rig.storages
    return Status("", *parts, DeliveriesByStorage(make), rig.log.recovery, around)


@in_loop
async def test_one_that_gives_no_answer_holds_up_no_other(tmp_path: Path) -> None:
    async with recalling(tmp_path, SILENT[0]) as (rig, work):
        status = status_of(rig)
        await until(lambda: rig.catalogue.batches() and {*Silent.asked} == {FAR, SILENT[0]})
        await until(lambda: not rig.catalogue.holes())
        assert status.journal_state().holes == (), "what was found again is no hole of the status any more"
        rig.storages.add(Silent(DiskFiles(), tmp_path / "new", "new"))
        work.wake()
        await until(lambda: "new" in Silent.asked)
        assert not Silent.let.is_set()
        assert Silent.asked.count(SILENT[0]) == 1, "it is asked yet"


@in_loop
async def test_no_more_than_some_are_asked_at_once_and_all_in_the_end(tmp_path: Path) -> None:
    async with recalling(tmp_path, *SILENT):
        await until(lambda: len(Silent.asked) == RECALLED_AT_ONCE)
        assert FAR not in Silent.asked, "it comes after them, and they have every place"
        Silent.let.set()
        await until(lambda: {*Silent.asked} == {FAR, *SILENT})


@in_loop
async def test_a_pass_goes_on_where_the_one_before_it_ended_and_the_next_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until one that began at the beginning came to the end."""
    began, ends = list[str](), [RecordsUnread(["archived"], "b"), RecordsUnread(["archived"], ""), StorageError("away")]
    ends += [RecordsUnread(["archived"], "c"), StorageError("away")]

    def passed(*asked: object) -> Recalled:
        began.append(str(asked[-1]))
        if ends:
            raise ends.pop(0)
        return Recalled(0, 0, 0, 0)

    monkeypatch.setattr("server.audit_log.recalling.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("server.audit_log.recalling.recall", passed)
    async with recalling(tmp_path) as (rig, work):
        await until(lambda: len(began) == 7)
        rig.storages.add(Silent(DiskFiles(), tmp_path / "new", "new"))
        work.wake()
        await until(lambda: len(began) == 8)
    assert began == ["", "b", "", "", "c", "c", "", ""], "the last one is of another storage"


@in_loop
async def test_what_seems_lost_is_told_as_such_once_every_storage_was_read(tmp_path: Path) -> None:
    async with recalling(tmp_path) as (rig, _):
        (record,) = (tmp_path / "storage" / FAR).rglob("1-1.json")
        record.unlink()
        assert [FAR in text for text in lost_texts(rig)] == [True] * 3
        await until(lambda: not rig.storages.unread)
        assert [FAR in text for text in lost_texts(rig)] == [False] * 3


def lost_texts(rig: SearchRig) -> list[str]:
    """What a search, a watch and a list of chunks say of the hole."""
    parts = rig.log.tail, rig.catalogue
    reader = LogReader(*parts, StoredBatches(rig.storages, rig.catalogue), rig.log.journal.log_id)
    look = look_on(reader, {}, Selection(EventFilter()), compile_filters(Filters()), None)
    listing = ChunkListing(rig.storages, *parts, ChunkTokens(b"k" * 32), lambda *_: Looked())
    page = rig.page(SearchQuery(storage="all"))
    missing = [*page.missing, *look.missing, *listing.page(ALICE, ChunkQuery(), sees_all=True).missing]
    return [each.description for each in missing if each.reason is MissingReason.JOURNAL_HOLE]


def without_its_state_and_with_more(folder: Path) -> tuple[SearchRig, Recalling, Delivery]:
    """Three batches that wait are behind the lost one; the storage was away at the start, and nobody recalls since."""
    rig = without_its_state(folder)
    for uid in "fgh":
        rig.emit(event_json(uid))
        rig.cut()
    rig.open_other, Silent.asked, Silent.is_away = lambda at, name: Silent(DiskFiles(), at, name), [], True
    rig = rig.reopened()
    log = rig.log
    parts = log.tail, log.spool, rig.catalogue, log.uid_files, log.journal, log.proofs
    work = Recalling(rig.storages, rig.catalogue, log.tail, log.journal, log.proofs, ThreadPoolExecutor(1))
    return rig, work, Delivery(rig.storages.of(FAR), *parts, look_back=work.look_back)


def test_a_delivery_that_comes_before_has_the_chain_of_records_lead_to_what_was_lost(tmp_path: Path) -> None:
    rig, _, delivery = without_its_state_and_with_more(tmp_path)
    assert rig.catalogue.holes()
    Silent.is_away = False
    delivery.deliver_next()
    before, last = rig.catalogue.batches()
    assert not rig.catalogue.holes()
    record = rig.storages.of(FAR).read_record(f"{last.log_id}/{last.first}-{last.last}.json")
    assert record is not None
    assert BatchRecord.decode(record).previous == before.record_digest
    rig.close()


def test_a_storage_that_gives_no_list_gets_its_batches_unless_the_service_stops(tmp_path: Path) -> None:
    rig, work, delivery = without_its_state_and_with_more(tmp_path)
    work.stop()
    with pytest.raises(StorageError):
        delivery.deliver_next()
    assert not rig.catalogue.batches()
    work._stopping = False
    delivery.deliver_next()
    assert [batch.first for batch in rig.catalogue.batches()] == [2]
    (record,) = (tmp_path / "storage" / FAR).rglob("1-1.json")
    record.unlink()
    Silent.is_away = False
    delivery.deliver_next()
    delivery.deliver_next()
    assert Silent.asked == [FAR], "it is asked until it has given its list, whatever is lost yet"
    assert rig.catalogue.holes()
    rig.close()


def test_a_start_that_misses_events_asks_storages_at_once(tmp_path: Path) -> None:
    rig = without_its_state(tmp_path)
    rig.others, rig.open_other = (FAR, "other"), lambda at, name: Meeting(DiskFiles(), at, name)
    rig = rig.reopened()
    assert not rig.catalogue.holes()
    rig.close()

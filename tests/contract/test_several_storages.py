"""Reads over several storages: each event in the storage that it was acknowledged for, whatever is delivered first."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from server.audit_log.bucket_looks import Looked
from server.audit_log.export.chunk import ChunkQuery
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.journal import forks
from server.audit_log.journal.forks import Fork
from server.audit_log.search.query import EventFilter, EventSelector, MissingReason, SearchQuery
from server.audit_log.stored_batches import StoredBatches
from server.audit_log.tail import Pinned
from server.audit_log.watching.log_parts import Selection
from server.audit_log.watching.log_reader import LogReader
from server.audit_log.watching.look import look_on
from server.errors import NotFound, Unavailable
from server.files import DiskFiles
from server.recordings.sessions.session_index import SessionIndex
from server.state.sessions import SqlSessionIndex
from server.storage.aws.clients import ServiceClient
from server.storage.aws.event_storage import S3EventStorage
from server.storage.aws.object_cache import ObjectCache
from server.storage.aws.place import Connection, Place
from server.storage.matching import compile_filters
from server.storage.ports import EventStorage
from server.storage.query import Filters
from server.storage.spec import S3Location
from tests.contract.search_rig import ALICE, NOON, Kept, SearchRig, duck_engine, event_json
from tests.sandbox.running import Sandbox, running_sandbox

OTHER = "other"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(params=["embedded", "s3"])
def rig(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[SearchRig]:
    """A log with the default storage, and with another one in a folder or in the sandbox's S3."""
    if request.param == "embedded":
        rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,))
    else:
        rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    yield rig
    rig.close()


def in_s3(sandbox: Sandbox, unique: str) -> Callable[[Path, str], EventStorage]:
    client, bucket = sandbox.client("s3"), f"several-{hashlib.sha256(unique.encode()).hexdigest()[:16]}"
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": sandbox.region})

    def opened(folder: Path, name: str) -> EventStorage:
        way = Connection(lambda: ServiceClient("s3", client), Place(S3Location(bucket, name), sandbox.account_id))
        return S3EventStorage(name, lambda: way, ObjectCache(folder / "cache", 1 << 24, 2))

    return opened


def switch_to(rig: SearchRig, storage: str, at_ms: int | None = None) -> None:
    if at_ms is not None:
        rig.periods.append((at_ms, storage))
    rig.log.writer.switch(storage)


def emitted(rig: SearchRig) -> dict[str, list[Kept]]:
    """Three parts of one log: default, other, default again; what is cut stands in the tail."""
    first = rig.emit(event_json("a"), event_json("b"))
    switch_to(rig, OTHER)
    second = rig.emit(event_json("c"), event_json("d"))
    switch_to(rig, "default")
    third = rig.emit(event_json("e"))
    rig.cut()
    return {"default": first + third, OTHER: second}


def deliver(rig: SearchRig, storage: str) -> None:
    delivery = rig.delivery_to(storage)
    while delivery.deliver_next() is not None:
        pass


def uids(found: list[Kept]) -> set[str]:
    return {item.event.uid for item in found}


DELIVERED: list[list[str]] = [[], [OTHER], ["default"], ["default", OTHER]]


@pytest.mark.parametrize("delivered", DELIVERED, ids=str)
def test_each_storage_has_its_own_and_all_has_each_once(rig: SearchRig, delivered: list[str]) -> None:
    """Also where a batch of one storage is confirmed before what stands before it in the log."""
    kept = emitted(rig)
    for storage in delivered:
        deliver(rig, storage)
    every = kept["default"] + kept[OTHER]
    for selector, expected in {"default": kept["default"], "active": kept["default"], OTHER: kept[OTHER]}.items():
        page = rig.page(SearchQuery(storage=selector))
        assert {row.position.uid for row in page.rows} == uids(expected), selector
    page = rig.page(SearchQuery(storage="all"))
    assert {receipt for row in page.rows for receipt in row.receipts} == {item.receipt for item in every}
    again = rig.page(SearchQuery(storage="all", watermark=page.watermark))
    assert again.rows == page.rows, "the watermark gives the same rows again"
    for item in every:
        place = EventSelector(item.receipt.log_id, item.receipt.sequence, storage=item.receipt.storage)
        assert rig.search.get(ALICE, place, time.monotonic() + 60).receipts == (item.receipt,)
        with pytest.raises(NotFound):
            other = OTHER if item.receipt.storage == "default" else "default"
            rig.search.get(
                ALICE, EventSelector(item.receipt.log_id, item.receipt.sequence, storage=other), time.monotonic() + 60
            )


def test_batches_beyond_what_waits_of_an_ended_log_are_found(rig: SearchRig) -> None:
    """As where a copy of the data directory has begun another log while something of the old one waits."""
    kept = emitted(rig)
    deliver(rig, "default")
    forks.ask(DiskFiles(), rig.folder / "journal", Fork("the test wants it"))
    again = rig.killed()
    assert again.log.is_copy
    found = again.page(SearchQuery(storage="all")).rows
    assert {row.position.uid for row in found} == uids(kept["default"] + kept[OTHER])


@pytest.mark.parametrize("delivered", DELIVERED, ids=str)
def test_whoever_reads_the_log_in_its_order_gets_each_once(rig: SearchRig, delivered: list[str]) -> None:
    kept = emitted(rig)
    for storage in delivered:
        deliver(rig, storage)
    reader = LogReader(rig.log.tail, rig.catalogue, StoredBatches(rig.storages, rig.catalogue), rig.log.journal.log_id)
    found = {}
    for storages in (None, {"default"}, {OTHER}):
        events, place = [], dict[str, int]()
        while True:
            look = look_on(reader, place, Selection(EventFilter()), compile_filters(Filters()), storages)
            assert not look.missing
            events += [row.receipts[0] for row in look.events]
            place = look.place
            if look.caught_up:
                break
        found[str(storages)] = events
    everything = sorted((item.receipt for each in kept.values() for item in each), key=lambda each: each.sequence)
    assert found["None"] == everything
    assert found["{'default'}"] == [item.receipt for item in kept["default"]]
    assert found["{'other'}"] == [item.receipt for item in kept[OTHER]]
    assert reader.first_received_from(0) == {rig.log.journal.log_id: 0}


def test_a_list_of_chunks_waits_for_the_late_one_and_has_each_once(rig: SearchRig) -> None:
    emitted(rig)
    listing = ChunkListing(rig.storages, rig.log.tail, rig.catalogue, ChunkTokens(b"k" * 32), lambda *_: Looked())

    def chunks(after: dict[str, int]) -> tuple[list[tuple[str, int, int]], dict[str, int]]:
        page = listing.page(ALICE, ChunkQuery(after=after), sees_all=True)
        assert page.complete_through is not None
        return [(item.id.storage, item.id.first, item.id.last) for item in page.chunks], dict(page.complete_through)

    deliver(rig, "default")
    found, place = chunks({})
    assert found == [("default", 1, 2)], "what is behind a batch on its way to the other storage waits"
    deliver(rig, OTHER)
    assert chunks(place)[0] == [(OTHER, 3, 4), ("default", 5, 5)]

    def elsewhere(storage: str, after: int) -> list[tuple[str, str, int, int]]:
        query = ChunkQuery(storage, after={rig.log.journal.log_id: after})
        missing = listing.page(ALICE, query, sees_all=True).missing
        return [(part.reason.value, part.storage, part.first_sequence, part.last_sequence) for part in missing]

    assert elsewhere("active", 0) == [("OTHER_STORAGE", OTHER, 3, 4)]
    assert elsewhere("active", 3) == [("OTHER_STORAGE", OTHER, 4, 4)]
    assert [elsewhere(*each) for each in (("active", 4), ("default", 0), ("followed", 0))] == [[], [], []]
    switch_to(rig, OTHER)
    assert elsewhere("active", 0) == [("OTHER_STORAGE", "default", 1, 2), ("OTHER_STORAGE", "default", 5, 5)]
    rig.emit(event_json("f"), event_json("g"))
    rig.cut()
    rig.emit(event_json("h"))
    rig.cut()
    switch_to(rig, "default")
    deliver(rig, OTHER)
    assert elsewhere("active", 4) == [("OTHER_STORAGE", OTHER, 6, 8)], "two batches, one range"


def test_the_index_of_sessions_is_made_anew_over_batches_that_overtook_each_other(rig: SearchRig) -> None:
    def started(number: int) -> bytes:
        sid = f"00000000-0000-4000-8000-{number:012d}"
        return event_json(f"s{number}", type_="session.start", sid=sid, user="alice")

    for number, storage in enumerate(["default", OTHER, "default", OTHER]):
        switch_to(rig, storage)
        rig.emit(started(number))
    rig.cut()
    deliver(rig, OTHER)
    tables = SqlSessionIndex(rig.database)
    index = SessionIndex(tables, rig.log.tail, rig.catalogue, rig.storages, rig.engine)
    index.rebuild(lambda _: None)
    generation, level = index.follow()
    assert (level, tables.count(generation), index.missing(generation, is_level=level)) == (True, 4, ())


@pytest.mark.parametrize("delivered", [OTHER, "default"])
def test_a_restart_between_deliveries_finds_all_and_takes_nothing_for_lost(rig: SearchRig, delivered: str) -> None:
    """Also where what stands last in the log is confirmed, and what stands before it waits."""
    kept = emitted(rig)
    deliver(rig, delivered)
    again = rig.reopened()
    assert not again.log.recovery.holes
    page = again.page(SearchQuery(storage="all"))
    assert {row.position.uid for row in page.rows} == uids(kept["default"] + kept[OTHER])
    assert again.log.journal.storage == again.storages.active == "default"
    again.close()


HOUR = 3_600_000


@pytest.mark.parametrize(
    ("selector", "from_ms", "to_ms", "named"),
    [
        ("active", None, None, ["default", OTHER]),
        ("active", NOON + 3 * HOUR, None, []),
        ("active", NOON + HOUR, NOON + 2 * HOUR, [OTHER]),
        ("active", NOON + HOUR, NOON + 2 * HOUR + 1, [OTHER]),
        ("active", None, NOON, ["default"]),
        ("default", None, None, []),
        ("all", None, None, []),
    ],
)
def test_an_answer_from_the_active_storage_names_the_periods_that_lie_elsewhere(
    tmp_path: Path, selector: str, from_ms: int | None, to_ms: int | None, named: list[str]
) -> None:
    """Periods: default, then other from NOON, then third from two hours later."""
    third = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER, "third"))
    assert third.page(SearchQuery()).complete, "before there was another one nothing lies elsewhere"
    switch_to(third, OTHER, NOON)
    switch_to(third, "third", NOON + 2 * HOUR)
    page = third.page(SearchQuery(Filters(from_ms, to_ms), storage=selector))
    assert [(item.reason, item.storage) for item in page.missing] == [
        (MissingReason.OTHER_STORAGE, storage) for storage in named
    ]
    third.close()


def test_events_of_a_storage_that_nothing_is_known_of_any_more_are_named_as_missing(rig: SearchRig) -> None:
    place = emitted(rig)[OTHER][0].receipt
    deliver(rig, OTHER)
    rig.others = ()
    again = rig.reopened()
    page = again.page(SearchQuery(storage="all"))
    assert [(item.reason, item.storage) for item in page.missing] == [(MissingReason.OTHER_STORAGE, OTHER)]
    for selector in (EventSelector(place.log_id, place.sequence, storage="all"), EventSelector(uid="c", storage="all")):
        with pytest.raises(Unavailable, match="promote the same place again"):
            again.search.get(ALICE, selector, time.monotonic() + 60)
        with pytest.raises(NotFound):
            again.search.get(ALICE, replace(selector, storage="default"), time.monotonic() + 60)
    with pytest.raises(NotFound):
        again.search.get(ALICE, EventSelector(place.log_id, 99, storage="all"), time.monotonic() + 60)
    with pytest.raises(NotFound):
        again.page(SearchQuery(storage=OTHER))
    again.close()


def test_what_waits_for_a_storage_that_nothing_is_known_of_any_more_is_in_every_answer_from_all(tmp_path: Path) -> None:
    """As with the state lost: its periods are gone with it, and what is stored in that storage nobody can look for."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,))
    kept = emitted(rig)
    rig.others = ()
    again = rig.reopened()
    page = again.page(SearchQuery(storage="all"))
    every = {item.receipt for each in kept.values() for item in each}
    assert {receipt for row in page.rows for receipt in row.receipts} == every
    lost = [(MissingReason.OTHER_STORAGE, OTHER)]
    assert [(item.reason, item.storage) for item in page.missing] == lost
    for place in kept[OTHER]:
        by_sequence = EventSelector(place.receipt.log_id, place.receipt.sequence, storage="all")
        for selector in (by_sequence, EventSelector(uid=place.event.uid, storage="all")):
            assert again.search.get(ALICE, selector, time.monotonic() + 60).receipts == (place.receipt,)
    for times, told in ((Filters(), lost), (Filters(NOON + 1, None), [])):
        page = again.page(SearchQuery(times))
        assert [(item.reason, item.storage) for item in page.missing] == told
    again.close()


def test_with_the_cache_lost_every_read_is_as_before(rig: SearchRig) -> None:
    kept = emitted(rig)
    deliver(rig, OTHER)
    deliver(rig, "default")
    shutil.rmtree(rig.folder / "storage" / OTHER / "cache", ignore_errors=True)
    again = rig.reopened()
    reads = LogReader(
        again.log.tail, again.catalogue, StoredBatches(again.storages, again.catalogue), again.log.journal.log_id
    )
    look = look_on(reads, {}, Selection(EventFilter()), compile_filters(Filters()), None)
    while not look.caught_up:
        more = look_on(reads, look.place, Selection(EventFilter()), compile_filters(Filters()), None)
        look.events, look.place, look.caught_up = look.events + more.events, more.place, more.caught_up
    expected = {item.receipt for each in kept.values() for item in each}
    assert {receipt for row in look.events for receipt in row.receipts} == expected
    page = again.page(SearchQuery(storage="all"))
    assert {receipt for row in page.rows for receipt in row.receipts} == expected
    assert page.complete
    again.close()


def test_while_s3_is_out_of_reach_what_is_not_here_is_named_and_the_rest_is_given(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,), open_other=in_s3(sandbox, tmp_path.name))
    emitted(rig)
    deliver(rig, OTHER)
    deliver(rig, "default")
    shutil.rmtree(rig.folder / "storage" / OTHER / "cache")
    again = rig.reopened()
    sandbox.fail("s3:GetObject", "SlowDown", status=503, times=99)
    page = again.page(SearchQuery(storage="all"))
    sandbox.clear_faults()
    assert {row.position.uid for row in page.rows} == {"a", "b", "e"}
    (part,) = page.missing
    assert (part.reason, part.storage, part.description) == (
        MissingReason.OBJECT_UNREADABLE, OTHER, "s3:GetObject: AWS asks for fewer calls (SlowDown)"
    )  # fmt: skip
    assert again.page(SearchQuery(storage="all")).complete
    again.close()


def test_what_is_committed_and_overtaken_after_the_pin_is_not_taken_for_lost(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a reader's pin and its look into the catalogue: an event for the default storage, one for the other, and
    that one's delivery."""
    rig.emit(event_json("a"))
    log_id, pin = rig.log.journal.log_id, rig.log.tail.pin
    reader = LogReader(rig.log.tail, rig.catalogue, StoredBatches(rig.storages, rig.catalogue), log_id)

    def pinned() -> list[Pinned]:
        found = pin()
        monkeypatch.undo()
        rig.emit(event_json("b"))
        switch_to(rig, OTHER)
        rig.emit(event_json("c"))
        rig.cut()
        deliver(rig, OTHER)
        return found

    monkeypatch.setattr(rig.log.tail, "pin", pinned)
    assert reader.next(log_id, 1) is None, "it ends where the pin does"
    part = reader.next(log_id, 1)
    assert part is not None
    assert (part.missing(), [sequence for sequence, *_ in part.rows(Selection(EventFilter()))]) == ((), [2])


def test_a_kill_when_the_newest_batch_went_before_an_older_one_ends_no_log(rig: SearchRig) -> None:
    """The journal has no events of the newest batch any more, and still those of one for a storage that was away."""
    kept = emitted(rig)
    deliver(rig, "default")
    again = rig.killed()
    every = kept["default"] + kept[OTHER]
    assert not again.log.is_copy
    (last,) = again.emit(event_json("f"))
    assert (last.receipt.log_id, last.receipt.sequence) == (every[0].receipt.log_id, len(every) + 1)
    assert {row.position.uid for row in again.page(SearchQuery(storage="all")).rows} == uids([*every, last])

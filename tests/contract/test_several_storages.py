"""Reads over several storages: each event in the storage that it was acknowledged for, whatever is delivered first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.audit_log.export.chunk import ChunkQuery
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.search.query import EventFilter, EventSelector, MissingReason, SearchQuery
from server.audit_log.stored_batches import StoredBatches
from server.audit_log.watching.log_parts import Selection
from server.audit_log.watching.log_reader import LogReader
from server.audit_log.watching.look import look_on
from server.errors import NotFound
from server.recordings.sessions.session_index import SessionIndex
from server.state.sessions import SqlSessionIndex
from server.storage.matching import compile_filters
from server.storage.query import Filters
from tests.contract.search_rig import ALICE, NOON, Kept, SearchRig, duck_engine, event_json

OTHER = "other"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SearchRig]:
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,))
    yield rig
    rig.close()


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
            look = look_on(
                reader, place, Selection(EventFilter()), compile_filters(Filters()), lambda wanted=storages: wanted
            )
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
    listing = ChunkListing(rig.storages, rig.log.tail, rig.catalogue, ChunkTokens(b"k" * 32), lambda *_: None)

    def chunks(after: dict[str, int]) -> tuple[list[tuple[str, int, int]], dict[str, int]]:
        page = listing.page(ALICE, ChunkQuery(after=after), sees_all=True)
        assert page.complete_through is not None
        return [(item.id.storage, item.id.first, item.id.last) for item in page.chunks], dict(page.complete_through)

    deliver(rig, "default")
    found, place = chunks({})
    assert found == [("default", 1, 2)], "what is behind a batch on its way to the other storage waits"
    deliver(rig, OTHER)
    assert chunks(place)[0] == [(OTHER, 3, 4), ("default", 5, 5)]


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


def test_a_restart_between_deliveries_finds_all_and_takes_nothing_for_lost(rig: SearchRig) -> None:
    kept = emitted(rig)
    deliver(rig, OTHER)
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
    rig: SearchRig, selector: str, from_ms: int | None, to_ms: int | None, named: list[str]
) -> None:
    """Periods: default, then other from NOON, then third from two hours later."""
    assert rig.page(SearchQuery()).complete, "before there was another one nothing lies elsewhere"
    third = SearchRig(rig.folder / "third", duck_engine(rig.folder / "third"), others=(OTHER, "third"))
    switch_to(third, OTHER, NOON)
    switch_to(third, "third", NOON + 2 * HOUR)
    page = third.page(SearchQuery(Filters(from_ms, to_ms), storage=selector))
    assert [(item.reason, item.storage) for item in page.missing] == [
        (MissingReason.OTHER_STORAGE, storage) for storage in named
    ]
    third.close()


def test_events_of_a_storage_that_nothing_is_known_of_any_more_are_named_as_missing(rig: SearchRig) -> None:
    emitted(rig)
    deliver(rig, OTHER)
    rig.others = ()
    again = rig.reopened()
    page = again.page(SearchQuery(storage="all"))
    assert [(item.reason, item.storage) for item in page.missing] == [(MissingReason.OTHER_STORAGE, OTHER)]
    with pytest.raises(NotFound):
        again.page(SearchQuery(storage=OTHER))
    again.close()

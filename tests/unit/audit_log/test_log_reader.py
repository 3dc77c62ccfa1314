"""From any place to a log's end: every committed event once, in order, whatever is cut and delivered meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server.audit_log.search.query import EventFilter, Missing, MissingReason
from server.audit_log.stored_batches import StoredBatches
from server.audit_log.watching.log_parts import Selection
from server.audit_log.watching.log_reader import LogReader, beyond
from server.audit_log.watching.look import Look, look_on
from server.storage.matching import compile_filters
from server.storage.query import FieldEquality, Filters
from server.storage.scan.engine import DuckScanEngine
from tests.contract.search_rig import ALICE, BOB, DAY_MS, NODE, NOON, NOW_MS, SearchRig, duck_engine, event_json
from tests.crash.damaged_journal import flipped


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckScanEngine]:
    engine = duck_engine(tmp_path_factory.getbasetemp())
    yield engine
    engine.close()


@pytest.fixture
def rig(tmp_path: Path, engine: DuckScanEngine) -> Iterator[SearchRig]:
    rig = SearchRig(tmp_path, engine)
    yield rig
    rig.close()


def reader_of(rig: SearchRig) -> LogReader:
    batches = StoredBatches(rig.storages, rig.catalogue)
    return LogReader(rig.log.tail, rig.catalogue, batches, rig.log.journal.log_id)


def look(rig: SearchRig, place: dict[str, int], wanted: EventFilter | None = None, **others: Any) -> Look:
    wanted = wanted or EventFilter()
    reader = others.get("reader") or reader_of(rig)
    return look_on(reader, place, Selection(wanted), compile_filters(wanted.filters), others.get("storages"))


def look_through(rig: SearchRig, wanted: EventFilter | None = None) -> Look:
    """From the beginning to where everything is caught up, in as many looks as it takes."""
    found, reader = Look({}), reader_of(rig)
    while not found.caught_up:
        more = look(rig, found.place, wanted, reader=reader)
        assert more.place != found.place or more.caught_up, "it goes on"
        found.events += more.events
        found.missing += more.missing
        found.place, found.caught_up = more.place, more.caught_up
    return found


def uids(found: Look) -> list[str]:
    return [event.position.uid for event in found.events]


def fill(rig: SearchRig) -> None:
    """Two stored batches, a cut section and an open one."""
    for name in ("a", "b"):
        rig.emit(event_json(f"{name}1", NOON + DAY_MS), event_json(f"{name}2", NOON), by=BOB)
        rig.emit(event_json(f"{name}3", NOON + DAY_MS - 1), by=NODE)
        rig.cut()
        rig.deliver()
    rig.emit(event_json("c1", NOON + 5), event_json("c2", NOON))
    rig.cut()
    rig.emit(event_json("d1", NOON - DAY_MS), event_json("d2", NOON))


def test_everything_comes_in_the_order_of_the_log_with_its_receipt(rig: SearchRig) -> None:
    fill(rig)
    found = look_through(rig)
    assert [event.receipts for event in found.events] == [(kept.receipt,) for kept in rig.kept]
    assert [(event.position, event.data) for event in found.events] == [
        (kept.position, kept.event.data) for kept in rig.kept
    ]
    assert found.place == reader_of(rig).ends() == {rig.log.journal.log_id: 10}
    assert not found.missing


def test_from_every_place_what_follows_comes(rig: SearchRig) -> None:
    fill(rig)
    everything = [kept.event.uid for kept in rig.kept]
    for done in range(len(everything) + 1):
        assert uids(look(rig, {rig.log.journal.log_id: done})) == everything[done:]


def _deliver(rig: SearchRig) -> None:
    rig.cut()
    rig.deliver()


def _emit_and_deliver(rig: SearchRig) -> None:
    rig.emit(event_json("later"))
    _deliver(rig)


def _deliver_and_emit(rig: SearchRig) -> None:
    _deliver(rig)
    rig.emit(event_json("later"))


@pytest.mark.parametrize("change", [_deliver, _emit_and_deliver, _deliver_and_emit])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["tail.pin", "catalogue.batch_from", "catalogue.objects_of_batch", "catalogue.holes"])
@pytest.mark.parametrize("nth", range(1, 6))
def test_a_delivery_between_the_two_looks_leaves_no_gap_and_doubles_nothing(
    rig: SearchRig,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after: bool,
    nth: int,
    change: Callable[[SearchRig], None],
) -> None:
    fill(rig)
    before = [kept.event.uid for kept in rig.kept]
    part, _, name = step.partition(".")
    target = {"tail": rig.log.tail, "catalogue": rig.catalogue}[part]
    real, calls = getattr(target, name), [0]

    def hooked(*args: Any) -> Any:
        calls[0] += 1
        now = calls[0] == nth
        if now and not after:
            change(rig)
        answer = real(*args)
        if now and after:
            change(rig)
        return answer

    monkeypatch.setattr(target, name, hooked)
    found = look_through(rig)
    monkeypatch.undo()
    assert uids(found)[: len(before)] == before
    rest = look(rig, found.place)
    assert uids(found) + uids(rest) == [kept.event.uid for kept in rig.kept]
    assert not found.missing
    assert not rest.missing


FILTERS: dict[str, tuple[EventFilter, list[str]]] = {
    "types": (EventFilter(Filters(types=frozenset({"x", "none"}))), ["s2", "t2"]),
    "users": (EventFilter(Filters(users=frozenset({"eve"}))), ["s3", "t3"]),
    "uids": (EventFilter(Filters(uids=frozenset({"s1", "t3"}))), ["s1", "t3"]),
    "session": (EventFilter(Filters(session_id="sess")), ["s1", "t1"]),
    "times": (EventFilter(Filters(from_ms=NOON + 1, to_ms=NOON + 3)), ["s2", "t2"]),
    "from a time": (EventFilter(Filters(from_ms=NOON + 1)), ["s2", "s3", "t2", "t3"]),
    "to a time": (EventFilter(Filters(to_ms=NOON + 1)), ["s1", "t1"]),
    "text": (EventFilter(Filters(text="NEEDLE")), ["s2", "t2"]),
    "fields": (EventFilter(Filters(fields=(FieldEquality(("n",), 3),))), ["s3", "t3"]),
    "emitter": (EventFilter(emitters=frozenset({"bob"})), ["t1", "t2", "t3"]),
    "kind": (EventFilter(emitter_kinds=frozenset({ALICE.kind})), ["s1", "s2", "s3", "t1", "t2", "t3"]),
    "nothing": (EventFilter(Filters(types=frozenset({"none"}))), []),
}


@pytest.mark.parametrize("case", FILTERS)
@pytest.mark.parametrize("stored", [True, False], ids=["stored", "tail"])
def test_filters_hold_in_batches_as_in_the_tail(rig: SearchRig, case: str, stored: bool) -> None:
    for name, who in (("s", ALICE), ("t", BOB)):
        rig.emit(
            event_json(f"{name}1", NOON, sid="sess"),
            event_json(f"{name}2", NOON + 1, "x", text="a needle"),
            event_json(f"{name}3", NOON + 3, user="eve", n=3),
            by=who,
        )
    if stored:
        _deliver(rig)
    wanted, expected = FILTERS[case]
    found = look_through(rig, wanted)
    assert uids(found) == expected
    assert list(found.place.values()) == [6], "what is left out is done with as well"


def test_an_answer_ends_when_it_is_full_and_the_next_goes_on_behind_it(rig: SearchRig) -> None:
    large = "x" * 400_000
    rig.emit(*(event_json(f"e{n}", large=large) for n in range(7)))
    for _ in range(2):
        first = look(rig, {})
        assert uids(first) == ["e0", "e1"]
        assert not first.caught_up
        assert uids(look(rig, first.place)) == ["e2", "e3"]
        _deliver(rig)


def test_an_event_larger_than_an_answer_comes_alone_and_the_largest_without_its_json(rig: SearchRig) -> None:
    rig.emit(event_json("small"), event_json("big", large="x" * 2_000_000), event_json("huge", large="x" * 4_000_000))
    for _ in range(2):
        looks = [look(rig, {rig.log.journal.log_id: done}) for done in range(3)]
        assert [uids(each) for each in looks] == [["small"], ["big"], ["huge"]]
        sizes = [(event.size, event.data is None) for each in looks for event in each.events]
        assert sizes == [(len(kept.event.data), kept.event.uid == "huge") for kept in rig.kept]
        _deliver(rig)


def test_an_event_with_its_user_as_large_as_itself_comes_without_json_and_with_the_users_beginning(
    rig: SearchRig,
) -> None:
    """Both together are more than a client takes: its watch would break there again and again."""
    rig.emit(event_json("long", user="u" * 2_000_000), event_json("after"))
    for _ in range(2):
        (found,) = look(rig, {}).events
        assert (found.position.uid, found.data, found.user) == ("long", None, "u" * 1024)
        _deliver(rig)


def test_holes_are_named_once_and_passed(rig: SearchRig) -> None:
    log_id = rig.log.journal.log_id
    fill(rig)
    # As after damage: sequences beyond the last batch are lost, and a log that nothing else is known of.
    rig.catalogue.add_holes([("0" * 20, 1, 7), (log_id, 11, 12), (log_id, 14, 15)], NOW_MS)
    found = look_through(rig)
    assert uids(found) == [kept.event.uid for kept in rig.kept]
    ranges = [(part.reason, part.name, part.first_sequence, part.last_sequence) for part in found.missing]
    hole = MissingReason.JOURNAL_HOLE
    assert ranges == [(hole, "0" * 20, 1, 7), (hole, log_id, 11, 12), (hole, log_id, 13, 13), (hole, log_id, 14, 15)]
    assert found.place == reader_of(rig).ends() == {"0" * 20: 7, log_id: 15}


def test_a_batch_that_the_catalogue_has_lost_is_a_gap_that_is_named(rig: SearchRig) -> None:
    fill(rig)
    log_id = rig.log.journal.log_id
    del rig.catalogue._batches[log_id][0]
    found = look_through(rig)
    assert uids(found) == [kept.event.uid for kept in rig.kept][3:]
    assert [(part.first_sequence, part.last_sequence) for part in found.missing] == [(1, 3)]


def test_an_object_that_is_gone_is_named_and_the_rest_of_its_batch_comes(rig: SearchRig) -> None:
    fill(rig)
    gone = rig.objects()[0]
    gone.unlink()
    found = look_through(rig)
    assert uids(found) == ["a1", "a3", "b1", "b2", "b3", "c1", "c2", "d1", "d2"]
    assert [(part.reason, part.name) for part in found.missing] == [
        (MissingReason.OBJECT_MISSING, f"{gone.parent.name}/{gone.name}")
    ]


def test_without_receipts_rows_come_without_emitter_and_an_emitter_filter_finds_none(rig: SearchRig) -> None:
    fill(rig)
    record = sorted(rig.events_folder.glob("_batches/*/*.json"))[0]
    record.write_bytes(b"{}")
    found = look_through(rig)
    assert [event.receipts[0].sequence for event in found.events] == list(range(1, 11))
    assert [event.receipts[0].emitter is None for event in found.events] == [True] * 3 + [False] * 7
    by_bob = look_through(rig, EventFilter(emitters=frozenset({"bob"})))
    assert uids(by_bob) == ["b1", "b2"]
    for missing in (found.missing, by_bob.missing):
        assert {part.reason for part in missing} == {MissingReason.RECEIPTS_UNREADABLE}


def test_events_of_other_storages_are_passed_over(rig: SearchRig) -> None:
    fill(rig)
    found = look(rig, {}, storages={"another"})
    assert found.caught_up
    assert not found.events
    assert found.place == reader_of(rig).ends()


@pytest.mark.parametrize(
    ("received_ms", "done"),
    [(0, 0), (NOW_MS + 1, 1), (NOW_MS + 2, 2), (NOW_MS + 4, 4), (NOW_MS + 6, 6), (NOW_MS + 7, 6)],
)
def test_the_first_event_received_from_a_time_on_is_found_in_batches_and_tail(
    rig: SearchRig, received_ms: int, done: int
) -> None:
    for number in range(1, 7):
        rig.emit(event_json(f"e{number}"), received_ms=NOW_MS + number - 1)
        if number in (2, 4):
            _deliver(rig)
    assert reader_of(rig).first_received_from(received_ms) == {rig.log.journal.log_id: done}


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("deliver", [False, True], ids=["tail", "stored"])
def test_an_event_that_is_committed_while_a_time_is_looked_for_is_not_passed_over(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch, nth: int, after: bool, deliver: bool
) -> None:
    rig.emit(event_json("early"), received_ms=NOW_MS)
    real, calls = rig.log.tail.pin, [0]

    def emit() -> None:
        rig.emit(event_json("then"), received_ms=NOW_MS + 5)
        if deliver:
            _deliver(rig)

    def hooked() -> Any:
        calls[0] += 1
        now = calls[0] == nth  # what this does pins as well
        if now and not after:
            emit()
        answer = real()
        if now and after:
            emit()
        return answer

    monkeypatch.setattr(rig.log.tail, "pin", hooked)
    place = reader_of(rig).first_received_from(NOW_MS + 5)
    monkeypatch.undo()
    assert uids(look(rig, place)) == ["then"]


def test_receipts_of_batches_are_read_once_for_all_who_ask_for_a_later_time(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        rig.emit(event_json(f"e{number}"), received_ms=NOW_MS + number)
        _deliver(rig)
    reader, read = reader_of(rig), list[int]()
    real = StoredBatches.receipts

    def counted(batches: StoredBatches, batch: Any) -> Any:
        read.append(batch.first)
        return real(batches, batch)

    monkeypatch.setattr(StoredBatches, "receipts", counted)
    for _ in range(3):
        assert reader.first_received_from(NOW_MS + 9) == {rig.log.journal.log_id: 3}
    assert read == [1, 2, 3]


def test_a_new_log_is_found_and_begun_with(rig: SearchRig) -> None:
    rig.emit(event_json("old"))
    done = look(rig, {}).place
    reader = reader_of(rig)
    newer = "f" * 20
    rig.log.tail.begin(newer, 1, "default").extend(rig.log.tail.pin()[0].blocks)
    found = look(rig, done, reader=reader)
    assert uids(found) == ["old"]
    assert found.place == done | {newer: 1}


def test_a_place_is_wrong_beyond_a_log_or_without_one(rig: SearchRig) -> None:
    fill(rig)
    log_id, ends = rig.log.journal.log_id, reader_of(rig).ends()
    assert beyond({log_id: 10}, ends) == []
    assert beyond({log_id: 11, "nowhere": 1, "empty": 0}, ends) == [(log_id, 10), ("nowhere", None)]


def test_the_backlog_is_known_only_where_all_of_it_is_in_the_tail(rig: SearchRig) -> None:
    fill(rig)
    reader, log_id = reader_of(rig), rig.log.journal.log_id
    assert [reader.backlog({log_id: done}, 1 << 20) for done in (0, 5, 6, 7, 10)] == [None, None, 4, 4, 0]
    assert reader.backlog({log_id: 6}, 10) is None


def test_batches_are_read_once_for_all_who_look(rig: SearchRig, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(rig)
    reader, read = reader_of(rig), list[int]()
    real = StoredBatches.read

    def counted(batches: StoredBatches, batch: Any) -> Any:
        read.append(batch.first)
        return real(batches, batch)

    monkeypatch.setattr(StoredBatches, "read", counted)
    for _ in range(3):
        look(rig, {}, reader=reader)
    assert read == [1, 4]


def test_missing_parts_of_a_batch_are_not_kept_in_memory(rig: SearchRig) -> None:
    fill(rig)
    reader, gone = reader_of(rig), rig.objects()[0]
    kept = gone.read_bytes()
    gone.unlink()
    assert look(rig, {}, reader=reader).missing
    gone.write_bytes(kept)
    found = look(rig, {}, reader=reader)
    assert (len(found.events), found.missing) == (10, list[Missing]())


def test_after_damage_the_lost_are_named_alike_before_and_after_delivery_and_the_new_log_follows(
    rig: SearchRig,
) -> None:
    for number in range(1, 6):
        rig.emit(event_json(f"e{number}"))
    log_id = rig.log.journal.log_id
    rig.close()
    (segment,) = (rig.folder / "journal" / log_id).iterdir()
    content = segment.read_bytes()
    segment.write_bytes(flipped(content, content.index(b'"e2"')))
    rig.__post_init__()
    rig.emit(event_json("new"))
    assert rig.log.journal.log_id != log_id
    looks = []
    for change in (lambda: None, rig.deliver, rig.cut, rig.deliver):
        change()
        found = look_through(rig)
        looks.append((uids(found), [(part.name, part.first_sequence, part.last_sequence) for part in found.missing]))
    assert looks == [(["e1", "e3", "e4", "e5", "new"], [(log_id, 2, 2)])] * 4

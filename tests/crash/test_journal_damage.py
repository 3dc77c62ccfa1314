"""Bytes of the journal that are not what was written: what is lost is named, the rest stays, and life goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from server.audit_log.journal.journal import new_log_id
from server.audit_log.journal.recovery import Recovery, recover
from server.audit_log.journal.trimming import DAMAGED
from tests.crash.damaged_journal import (
    SEGMENTS,
    Outcome,
    Segment,
    build,
    flipped,
    outcome_of_bad_bytes,
    outcome_of_cut,
    zeroed,
)
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.lives import moments
from tests.crash.log_under_test import PLACES, LogUnderTest, StateFile

ALL = range(1, 10)
PAGE = 128

Case = tuple[str, bytes, Outcome]
"""What was done, the segment's bytes after it, and what must come of it."""


def flips(segment: Segment) -> Iterator[Case]:
    for position in range(len(segment.content)):
        content = flipped(segment.content, position)
        yield f"flip at {position}", content, outcome_of_bad_bytes(segment, position, position + 1)


def cuts(segment: Segment) -> Iterator[Case]:
    for size in range(len(segment.content)):
        yield f"cut off at {size}", segment.content[:size], outcome_of_cut(segment, size)


def pages(segment: Segment) -> Iterator[Case]:
    for start in range(0, len(segment.content), PAGE):
        content = zeroed(segment.content, start, start + PAGE)
        if content != segment.content:
            yield f"zeros from {start}", content, outcome_of_bad_bytes(segment, start, start + PAGE)


DAMAGES = {"flips": flips, "cuts": cuts, "pages": pages}


def sequences(holes: list[tuple[int, int]]) -> list[int]:
    return [sequence for first, last in holes for sequence in range(first, last + 1)]


def check_recovery(recovery: Recovery, before: str, outcome: Outcome) -> None:
    kept = [event.sequence for section in recovery.sections for event in section.events]
    assert kept == [sequence for sequence in ALL if sequence not in outcome.lost]
    holes = [(hole.first_sequence, hole.last_sequence) for hole in recovery.holes]
    assert sequences(holes) == (list(outcome.lost) if outcome.is_damage else [])
    assert (recovery.journal.log_id != before) is outcome.is_damage
    assert recovery.torn_tail_bytes == outcome.torn_bytes
    assert [section.cut is None for section in recovery.sections] in (
        [False] * len(recovery.sections),
        [False] * (len(recovery.sections) - 1) + [True],
    )


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", SEGMENTS)
def test_of_any_damage_what_is_lost_is_named_and_nothing_else_is_lost(state: StateFile, name: str, damage: str) -> None:
    """Every byte flipped, every size cut off, every page zeroed."""
    files, log, segments = build(state)
    segment = segments[name]
    for done, content, outcome in DAMAGES[damage](segment):
        found = files.copy()
        found.put(segment.path, content)
        recovery = recover(found, PLACES.journal, {}, lambda log_id, first: None, "default", new_log_id)
        try:
            check_recovery(recovery, log.log.journal.log_id, outcome)
        except AssertionError as error:
            raise AssertionError(f"{done}: {error}") from error


def samples(segment: Segment) -> Iterator[Case]:
    """A flip in head and payload of each frame, a cut inside and behind each, and every page."""
    chosen = {f"flip at {at}" for span in segment.spans for at in (span.start, span.start + 9, span.end - 1)}
    chosen |= {f"cut off at {at}" for span in segment.spans for at in (span.start, span.start + 9, span.end - 1)}
    for damage in (flips, cuts):
        yield from (case for case in damage(segment) if case[0] in chosen)
    yield from pages(segment)


def lose(log: LogUnderTest, lost: tuple[int, ...]) -> None:
    for sequence in lost:
        del log.acknowledged[sequence - 1]


@pytest.mark.parametrize("name", SEGMENTS)
def test_after_any_damage_the_rest_is_delivered_once_and_events_are_taken(state: StateFile, name: str) -> None:
    files, log, segments = build(state)
    segment, empty = segments[name], state.content()
    for done, content, outcome in samples(segment):
        found = files.copy()
        found.put(segment.path, content)
        state.put(empty)
        acknowledged = {n: place for n, place in log.acknowledged.items() if n + 1 not in outcome.lost}
        try:
            check_service_after(found, state, acknowledged, outcome, segment)
        except Exception as error:
            raise AssertionError(f"{done}: {error}") from error


def check_service_after(
    files: ForgetfulFiles,
    state: StateFile,
    acknowledged: dict[int, tuple[str, int]],
    outcome: Outcome,
    segment: Segment,
) -> None:
    log = LogUnderTest(files, state, acknowledged)
    named = log.told
    assert sequences(named) == (list(outcome.lost) if outcome.is_damage else [])
    log.check()
    for number in sorted(acknowledged):
        log.emit(number)  # a retry of what is still there
    log.emit(100, 101)
    log.check()
    log.deliver_all()
    log.log.writer.cut()
    log.deliver_all()
    log.check()
    again = LogUnderTest(files, state, log.acknowledged)
    again.emit(102)
    again.check()
    assert again.told == [], "a hole is told once"
    assert sequences([(first, last) for _, first, last in again.catalogue.holes()]) == sequences(named)
    aside = PLACES.journal / DAMAGED / segment.path.parent.name
    assert files.list(aside) == ([segment.path.name] if outcome.is_damage else [])
    if outcome.is_damage:
        assert segment.path.parent.name not in files.list(PLACES.journal), "the damaged log is done with"


@pytest.mark.parametrize(("name", "lost"), [("first", (1, 2, 3)), ("middle", (4, 5, 6))])
def test_a_segment_that_is_gone_is_a_hole(state: StateFile, name: str, lost: tuple[int, ...]) -> None:
    files, log, segments = build(state)
    files.remove(segments[name].path)
    lose(log, lost)
    again = LogUnderTest(files, state, log.acknowledged)
    assert again.told == [(lost[0], lost[-1])]
    assert again.log.journal.log_id != log.log.journal.log_id
    again.deliver_all()
    again.emit(100)
    again.check()


@pytest.mark.parametrize("first_frame", [0, 2], ids=["all of it", "all its events"])
@pytest.mark.parametrize("name", SEGMENTS[:2])
def test_a_segment_with_nothing_readable_is_a_hole_and_set_aside(state: StateFile, name: str, first_frame: int) -> None:
    files, log, segments = build(state)
    segment = segments[name]
    start, end = segment.spans[first_frame].start, segment.spans[-4].end
    files.put(segment.path, zeroed(segment.content, start, len(segment.content) if first_frame == 0 else end))
    lost = tuple(segment.sequences)
    lose(log, lost)
    again = LogUnderTest(files, state, log.acknowledged)
    assert sequences(again.told) == list(lost)
    again.deliver_all()
    again.emit(100)
    again.check()
    assert files.list(PLACES.journal / DAMAGED / segment.path.parent.name) == [segment.path.name]
    assert LogUnderTest(files, state, again.acknowledged).told == []


def test_a_hole_stays_the_same_while_the_segments_before_it_are_delivered(state: StateFile) -> None:
    """Else it would be told again, and counted twice."""
    files, log, segments = build(state)
    first, middle = segments["first"], segments["middle"]
    files.put(first.path, flipped(first.content, first.spans[5].end - 1))
    assert first.spans[5].sequence == 3
    files.put(middle.path, flipped(middle.content, middle.spans[2].end - 1))
    assert middle.spans[2].sequence == 4
    lose(log, (3, 4))
    one = LogUnderTest(files, state, log.acknowledged)
    assert sequences(one.told) == [3, 4]
    one.delivery.deliver_next()
    two = LogUnderTest(files, state, log.acknowledged)
    assert two.told == []
    two.deliver_all()
    assert LogUnderTest(files, state, log.acknowledged).told == []
    assert sequences([(first, last) for _, first, last in two.catalogue.holes()]) == [3, 4]


@pytest.mark.parametrize("name", ["first", "middle"])
def test_holes_come_back_with_a_catalogue_that_is_built_anew(state: StateFile, name: str) -> None:
    files, log, segments = build(state)
    segment = segments[name]
    files.put(segment.path, flipped(segment.content, segment.spans[2].end - 1))
    lose(log, (segment.sequences[0],))
    one = LogUnderTest(files, state, log.acknowledged)
    one.deliver_all()
    holes = one.catalogue.holes()
    assert len(holes) == 1
    state.put()
    two = LogUnderTest(files, state, log.acknowledged)
    assert two.catalogue.holes() == holes
    two.check()


Damage = Callable[[Segment], Iterator[Case]]


@pytest.mark.parametrize("damage", [flips, cuts], ids=["flips", "cuts"])
def test_damage_to_a_segment_that_is_in_the_storage_costs_nothing(state: StateFile, damage: Damage) -> None:
    """The stop came after its batch was confirmed and before it was trimmed; its cut may be unreadable now."""

    def emit_and_deliver(log: LogUnderTest) -> None:
        log.emit(0, 1, 2)
        log.log.writer.cut()
        log.deliver_all()

    files = ForgetfulFiles()
    found = list(moments(None, state, emit_and_deliver, files))
    remove = next(op for op in files.operations if op.name == "remove" and op.path.suffix == ".seg")
    moment = found[remove.number - 1]
    content = moment.files.read(remove.path)
    for position in range(0, len(content), 11):
        damaged = moment.files.copy()
        damaged.put(remove.path, flipped(content, position) if damage is flips else content[:position])
        state.put(moment.state)
        check_delivered(damaged, state, moment.acknowledged, f"{damage.__name__} at {position}")


def check_delivered(
    files: ForgetfulFiles, state: StateFile, acknowledged: dict[int, tuple[str, int]], done: str
) -> None:
    log = LogUnderTest(files, state, dict(acknowledged))
    assert log.told == [], done
    log.emit(50)
    log.log.writer.cut()
    log.deliver_all()
    log.check()
    log.check_records()


def test_what_a_stranger_puts_into_the_journal_folder_is_left_alone(state: StateFile) -> None:
    files, log, _ = build(state)
    for name in ("notes.txt", "a" * 19, "A" * 20):
        files.open_append(PLACES.journal / name)
    files.make_folder(PLACES.journal / ("f" * 20))
    files.open_append(PLACES.journal / log.log.journal.log_id / "notes.seg")
    files.open_append(PLACES.known_uids / "notes.uids")
    again = LogUnderTest(files, state, log.acknowledged)
    assert again.log.journal.log_id == log.log.journal.log_id
    again.check()
    again.deliver_all()
    again.check()


def test_a_segment_that_was_being_written_anew_at_a_stop_leaves_nothing(state: StateFile) -> None:
    files, log, segments = build(state)
    folder = segments["last"].path.parent
    files.open_append(folder / (segments["first"].path.name + ".part")).append(b"half")
    again = LogUnderTest(files, state, log.acknowledged)
    assert files.list(folder) == [segment.path.name for segment in segments.values()]
    again.check()


def test_a_flip_in_the_commit_of_a_cut_loses_neither_events_nor_cut(state: StateFile) -> None:
    """The batch of the cut may be on its way already; another one would hold its events a second time."""
    files, log, segments = build(state)
    log.log.writer.cut()
    path = segments["last"].path
    content = files.read(path)
    files.put(path, flipped(content, len(content) - 1))
    again = LogUnderTest(files, state, log.acknowledged)
    assert again.told == []
    again.emit(100)
    assert [(pin.section.first, pin.section.cut is None) for pin in again.log.tail.pin()] == [
        (1, False),
        (4, False),
        (7, False),
        (10, True),
    ]
    again.check()


def test_what_only_the_cut_knows_of_is_a_hole(state: StateFile) -> None:
    """The last event and its commit are unreadable, and nothing but the cut behind them says that they were there."""
    files, log, segments = build(state)
    log.log.writer.cut()
    path = segments["last"].path
    start = segments["last"].spans[-2].start
    assert segments["last"].spans[-2].sequence == 9
    files.put(path, zeroed(files.read(path), start, len(segments["last"].content)))
    lose(log, (9,))
    again = LogUnderTest(files, state, log.acknowledged)
    assert again.told == [(9, 9)]
    assert again.log.journal.log_id != log.log.journal.log_id
    again.deliver_all()
    again.check()

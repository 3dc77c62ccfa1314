"""A data directory that is a copy: its log ends, another begins, and no sequence is ever given twice."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count

import pytest

from server.audit_log.journal import forks
from server.audit_log.journal.forks import Fork, LastAcknowledged
from server.audit_log.journal.segments import segment_name
from server.audit_log.journal.trimming import DAMAGED
from server.files import write_durably
from server.service_events import JOURNAL_FORKED
from server.state.outbox import Outbox
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.lives import Acknowledged, Content
from tests.crash.log_under_test import PLACES, STORAGE, TOKEN_KEY, LogUnderTest, StateFile

JOURNAL = PLACES.journal


@dataclass
class Original:
    """A log that went on after it was copied: sequences 1 to 14 in batches of 4 or 5 and an open rest."""

    log_id: str
    copy: ForgetfulFiles
    """As it was at sequence 7: 1 to 4 stored, 5 to 7 in the open segment."""
    copy_state: Content
    copied: Acknowledged
    later: ForgetfulFiles
    acknowledged: Acknowledged

    def beside_later_storage(self) -> ForgetfulFiles:
        """The copy, with the storage as it is by now: sequences 1 to 12."""
        files = self.copy.copy()
        files.take(STORAGE.parent, self.later.copy())
        return files


@pytest.fixture
def original(state: StateFile) -> Original:
    state.put()
    files = ForgetfulFiles()
    files.make_folder(TOKEN_KEY.parent)
    write_durably(files, TOKEN_KEY, b"key")
    log = LogUnderTest(files, state)
    log.emit(0, 1, 2, 3)
    log.emit(4, 5)
    log.deliver_all()
    log.emit(6)
    copy, copy_state, copied = files.copy(), state.content(), dict(log.acknowledged)
    log.emit(7, 8)
    log.emit(9, 10, 11, 12)
    log.emit(13)
    log.deliver_all()
    found = Original(log.log.journal.log_id, copy, copy_state, copied, files, dict(log.acknowledged))
    state.close()
    return found


def opened(files: ForgetfulFiles, state: StateFile, content: Content, acknowledged: Acknowledged) -> LogUnderTest:
    state.put(content)
    return LogUnderTest(files, state, dict(acknowledged))


def check_goes_on(log: LogUnderTest, original: Original, known: Acknowledged) -> None:
    """What was copied or stored is found, retries of it add nothing, and what is emitted has places of its own."""
    log.check()
    for number in known:
        log.emit(number)
    for number in range(100, 110):
        log.emit(number)
    log.log.writer.cut()
    log.deliver_all()
    log.emit(110)
    log.check()
    given = {place for number, place in log.acknowledged.items() if number >= 100}
    assert not given & set(original.acknowledged.values()), "a sequence is given twice"
    assert {log_id for log_id, _ in given} == {log.log.journal.log_id} != {original.log_id}


def test_a_copy_begins_a_log_of_its_own_and_tells_of_it(state: StateFile, original: Original) -> None:
    log = opened(original.copy.restored(), state, original.copy_state, original.copied)
    (event,) = log.forks
    assert (event["log_id"], event["last_sequence"]) == (original.log_id, 7)
    assert event["new_log_id"] == log.log.journal.log_id > original.log_id
    assert TOKEN_KEY.name not in log.files.list(TOKEN_KEY.parent), "tokens of the original would be taken"
    check_goes_on(log, original, original.copied)
    log.check_records()
    again = LogUnderTest(log.files, state, log.acknowledged)
    assert again.forks == []
    assert again.log.journal.log_id == log.log.journal.log_id
    again.check()


@pytest.mark.parametrize("same", [forks.PLACE, JOURNAL.name])
def test_a_copy_one_of_whose_numbers_is_the_same_by_chance_is_noticed(
    state: StateFile, original: Original, same: str
) -> None:
    """File systems give the numbers of removed files again, and it was restored where the original had been."""
    files = original.copy.restored()
    path = JOURNAL if same == JOURNAL.name else JOURNAL / same
    of = files._folder(path.parent).now[path.name]
    of.number = original.copy.number(path)  # type: ignore[attr-defined]
    log = opened(files, state, original.copy_state, original.copied)
    assert [event["last_sequence"] for event in log.forks] == [7]
    check_goes_on(log, original, original.copied)


def test_a_place_noted_before_folders_were_holds(state: StateFile, original: Original) -> None:
    files = original.copy
    assert files.read(JOURNAL / forks.PLACE).startswith(b'{"number":')
    part = JOURNAL / "old.part"
    file = files.open_append(part)
    file.append(b'{"number":%d}' % files.number(part))
    file.sync()
    file.close()
    files.rename(part, JOURNAL / forks.PLACE)
    assert opened(files, state, original.copy_state, original.copied).forks == []


def test_one_that_stands_where_it_stood_goes_on_with_its_log(state: StateFile, original: Original) -> None:
    log = opened(original.copy, state, original.copy_state, original.copied)
    assert log.forks == []
    assert log.log.journal.log_id == original.log_id
    assert TOKEN_KEY.name in log.files.list(TOKEN_KEY.parent)


def test_a_journal_older_than_the_storage_is_noticed_where_the_copy_looks_the_same(
    state: StateFile, original: Original
) -> None:
    """A snapshot of a whole disk keeps the numbers of files."""
    log = opened(original.beside_later_storage(), state, original.copy_state, original.copied)
    (event,) = log.forks
    stored = max(record.last for record in log.records())
    assert (event["log_id"], event["last_sequence"]) == (original.log_id, stored)
    there = {number for _, _, number in log.everything()}
    assert there == {number for number, (_, sequence) in original.acknowledged.items() if sequence <= stored}
    check_goes_on(log, original, original.copied)
    log.check_records()


@pytest.mark.parametrize("with_its_folder", [False, True])
def test_a_journal_that_is_gone_is_told_of_and_no_sequence_is_given_twice(
    state: StateFile, original: Original, with_its_folder: bool
) -> None:
    files = original.copy
    for name in files.list(JOURNAL / original.log_id):
        files.remove(JOURNAL / original.log_id / name)
    if with_its_folder:
        files.remove_folder(JOURNAL / original.log_id)
    stored = {number: place for number, place in original.copied.items() if place[1] <= 4}
    log = opened(files, state, original.copy_state, stored)
    (event,) = log.forks
    assert (event["log_id"], event["last_sequence"]) == (original.log_id, 4)
    assert "is gone" in event["reason"]
    check_goes_on(log, original, stored)


def test_a_log_that_has_lost_its_segments_before_anything_was_stored_is_told_of(state: StateFile) -> None:
    state.put()
    files = ForgetfulFiles()
    log = LogUnderTest(files, state)
    log.emit(0)
    log_id = log.log.journal.log_id
    for name in files.list(JOURNAL / log_id):
        files.remove(JOURNAL / log_id / name)
    (event,) = LogUnderTest(files, state).forks
    assert (event["log_id"], event["last_sequence"]) == (log_id, 0)
    assert "has lost its segments" in event["reason"]


@pytest.mark.parametrize("power_loss", [False, True])
def test_a_log_that_was_delivered_wholly_goes_on_and_is_told_from_one_that_lost_its_segments(
    state: StateFile, power_loss: bool
) -> None:
    state.put()
    files = ForgetfulFiles()
    log = LogUnderTest(files, state)
    log.emit(0, 1, 2, 3)
    log.deliver_all()
    assert files.list(JOURNAL / log.log.journal.log_id) == [segment_name(5)]
    assert files.size(JOURNAL / log.log.journal.log_id / segment_name(5)) == 0
    again = LogUnderTest(files.copy(power_loss=power_loss), state, log.acknowledged)
    assert again.forks == []
    again.emit(4)
    assert again.acknowledged[4] == (log.log.journal.log_id, 5)
    again.check()


def take_segments(files: ForgetfulFiles, log_id: str) -> None:
    """Take all segments of a log away, durably."""
    for name in files.list(JOURNAL / log_id):
        files.remove(JOURNAL / log_id / name)
    files.sync_folder(JOURNAL / log_id)


@pytest.mark.parametrize("is_marked", [False, True])
def test_a_log_that_an_earlier_version_left_empty_once_it_was_delivered_is_no_loss_wherever_its_start_is_cut_off(
    state: StateFile, is_marked: bool
) -> None:
    state.put()
    files, others = ForgetfulFiles(), list[tuple[ForgetfulFiles, Content]]()
    log = LogUnderTest(files, state)
    log.emit(0, 1, 2, 3)
    log.deliver_all()
    take_segments(files, log.log.journal.log_id)
    numbers = {"number": files.number(JOURNAL / forks.PLACE), "folder": files.number(JOURNAL)}
    files.put(JOURNAL / forks.PLACE, json.dumps(numbers).encode())
    if not is_marked:
        files.remove(JOURNAL / forks.PLACE)

    def note(number: int, name: str) -> None:
        others.extend((files.copy(power_loss=power_loss), state.content()) for power_loss in (False, True))

    files.before = note
    again = LogUnderTest(files, state, dict(log.acknowledged))
    files.before = lambda number, name: None
    assert again.forks == []
    again.emit(4)
    again.check()
    take_segments(files, again.log.journal.log_id)
    (event,) = LogUnderTest(files, state).forks
    assert "has lost its segments" in event["reason"], "from its first start on the mark says that there is always one"
    assert len(others) > 10
    for left, content in others:
        assert opened(left, state, content, log.acknowledged).forks == []


def test_what_the_original_acknowledged_and_nobody_has_is_a_named_hole(state: StateFile, original: Original) -> None:
    files = original.beside_later_storage().restored()
    last = LastAcknowledged(original.log_id, 14)
    forks.ask(files, JOURNAL, Fork("restored after the disk was lost", "root", last))
    log = opened(files, state, original.copy_state, original.copied)
    stored = max(record.last for record in log.records() if record.log_id == original.log_id)
    assert log.catalogue.holes() == [(original.log_id, stored + 1, 14)]
    assert log.told == [(stored + 1, 14)]
    (event,) = log.forks
    assert (event["reason"], event["operator"]) == ("restored after the disk was lost", "root")
    check_goes_on(log, original, original.copied)
    assert LogUnderTest(files, state, log.acknowledged).catalogue.holes() == [(original.log_id, stored + 1, 14)]


def test_what_is_known_to_be_there_is_no_hole(state: StateFile, original: Original) -> None:
    files = original.copy.copy()
    forks.ask(files, JOURNAL, Fork("moved", "root", LastAcknowledged(original.log_id, 7)))
    assert opened(files, state, original.copy_state, original.copied).catalogue.holes() == []


@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
@pytest.mark.parametrize("asked", [False, True], ids=["noticed", "asked"])
def test_a_stop_at_any_operation_leaves_one_fork(
    state: StateFile, original: Original, power_loss: bool, asked: bool
) -> None:
    files = original.beside_later_storage().restored()
    found: list[tuple[ForgetfulFiles, Content]] = []

    def note(number: int, name: str) -> None:
        found.append((files.copy(power_loss=power_loss), state.content()))

    state.put(original.copy_state)
    files.before = note
    if asked:
        forks.ask(files, JOURNAL, Fork("restored", "root", LastAcknowledged(original.log_id, 14)))
    LogUnderTest(files, state, dict(original.copied))
    assert len(found) > 25
    for number, (left, content) in enumerate(found):
        state.put(content)
        before = forked(state)
        log = opened(left, state, content, original.copied)
        try:
            check_one_fork(log, original, before)
        except AssertionError as error:
            raise AssertionError(f"stopped before operation {number}: {error}") from error


def forked(state: StateFile) -> list[dict[str, object]]:
    events = [json.loads(item.data) for item in Outbox(state.engine).first(100)]
    return [event for event in events if event["event"] == JOURNAL_FORKED]


def check_one_fork(log: LogUnderTest, original: Original, before: list[dict[str, object]]) -> None:
    told = {str(event["uid"]): event for event in (*before, *log.forks)}
    (event,) = told.values()
    assert event["log_id"] == original.log_id
    assert event["new_log_id"] == log.log.journal.log_id
    assert TOKEN_KEY.name not in log.files.list(TOKEN_KEY.parent)
    assert forks.FORK not in log.files.list(JOURNAL)
    check_goes_on(log, original, original.copied)


def test_a_copy_of_a_fork_that_is_under_way_decides_anew(state: StateFile, original: Original) -> None:
    files, others = original.copy.restored(), []

    def note(number: int, name: str) -> None:
        if forks.FORK in files.list(JOURNAL):
            others.append((files.restored(), state.content()))

    state.put(original.copy_state)
    files.before = note
    one = LogUnderTest(files, state, dict(original.copied)).log.journal.log_id
    assert len(others) > 5
    for copied, content in others:
        assert opened(copied, state, content, original.copied).log.journal.log_id != one


def test_a_fork_with_a_clock_that_was_set_back_is_behind_every_log_all_the_same(
    state: StateFile, original: Original, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = count(1)
    monkeypatch.setattr("server.audit_log.forking.new_log_id", lambda: f"{next(names):020x}")
    log = opened(original.copy.restored(), state, original.copy_state, original.copied)
    assert log.log.journal.log_id > original.log_id
    check_goes_on(log, original, original.copied)


def test_events_of_a_segment_beyond_its_batch_are_named_and_set_aside(state: StateFile, original: Original) -> None:
    """Two directories went on with one log: the storage has what one of them said."""
    files = original.copy.copy()
    other = opened(files, state, original.copy_state, original.copied)
    other.emit(200, 201, 202)
    segment = segment_name(8)
    kept = files.read(JOURNAL / original.log_id / segment)
    files.take(STORAGE.parent, original.beside_later_storage())
    state.put(original.copy_state)
    other.log.journal.stop()
    log = LogUnderTest(files, state, {})
    assert log.told == [(10, 10)]
    log.deliver_all()
    assert files.read(JOURNAL / DAMAGED / original.log_id / segment)[: len(kept)] == kept
    assert log.log.journal.log_id != original.log_id

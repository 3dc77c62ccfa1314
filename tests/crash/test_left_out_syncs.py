"""The proof that the crash tests can fail, and that no sync is there in vain.

Any one sync of a life is left out, and then the power goes where that hurts most. Either something is missed, or the
sync is of a kind that a table below says why nothing is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import pytest

from tests.crash.forgetful_files import ForgetfulFiles, Operation
from tests.crash.lives import Moment, check_next_life, distinct, moments, work
from tests.crash.log_under_test import LogUnderTest, StateFile
from tests.crash.test_every_operation import second_life

REBUILT = "a spool that is lost is encoded again, to the same bytes"
COVERED = "these folders are made one after the other, and the sync for a later one covers them"
FORKED = "a mark that is lost is made again, and one that can't be read begins a new log, which costs nothing"

WITHOUT_LOSS = {
    "sync folder data: __init__": COVERED,
    "sync folder data: fork_if_needed < open_log": COVERED,
    "sync place.json.part: mark_place < fork_if_needed < open_log": FORKED,
    "sync folder journal: mark_place < fork_if_needed < open_log": FORKED,
    "sync folder data: load < open_log": COVERED,
    "sync folder data: encode < _encode < send": COVERED,
    "sync folder spool: encode < _encode < send": REBUILT,
    "sync folder BATCH: write_durably < _encode_date < <listcomp>": REBUILT,
    "sync record.json.part: write_durably < put_record < encode": REBUILT,
    "sync folder BATCH: write_durably < put_record < encode": REBUILT,
    "sync folder events: put < _send_object < send": "the record's folder is made beside the date's before any trim",
    "sync folder LOG.part: make_log < _open < recover": "a log without a segment is ended for another: no more is lost",
    "sync folder LOG: _begin < _removable < trim": "the sync behind the removal has both, in no order",
    "sync folder LOG: trim < trim < _leave": "a segment that comes back is known as delivered, and trimmed",
    "sync folder spool: _discard < discard < _leave": "a start clears away what is spooled of confirmed batches",
    "sync N.seg: _sync < _write < stop": "it says no more than that the stop was in order",
}
SOMETIMES_WITHOUT_LOSS = {
    "sync folder journal: make_log < _open < recover": "the one before the rename is covered by the one behind it",
    "sync folder LOG: _write_header < _begin_segment < _open_segment": "the segment may have been there, empty",
    "sync N.seg: _sync < _write < commit": "a cut in the same call is in the same file, and synced before the answer",
    "sync N.seg: _sync < _write < record_cut": "another segment that begins behind it says as much",
}


def life(log: LogUnderTest) -> None:
    work(log, count(), cuts=2)


def kind(operation: Operation) -> str:
    """What is synced and on whose behalf, without numbers."""
    name = re.sub(r"[0-9a-f]{20}-\d+-\d+", "BATCH", operation.path.name.removeprefix("0" * 18))
    name = re.sub(r"\d+", "N", re.sub(r"\d{4}-\d\d-\d\d", "DATE", re.sub(r"[0-9a-f]{20}", "LOG", name)))
    return f"{operation.name} {name}: {operation.call_site}"


def is_again(operation: Operation) -> bool:
    """Syncs of folders that were there: each makes up for one left out before, so they are proven by themselves."""
    return operation.name == "sync folder again"


def is_lost(found: Iterable[Moment], state: StateFile) -> bool:
    """Whether the power going at one of these moments, latest first, costs something."""
    for moment in distinct(found_.after(power_loss=True) for found_ in reversed(list(found))):
        try:
            check_next_life(moment, state)
        except (AssertionError, OSError, ValueError):
            return True
    return False


def lives_with_one_left_out(state: StateFile) -> Iterator[tuple[Operation, list[Moment]]]:
    """For each sync of a life the moments between it and the next sync of the same file or folder."""
    files = ForgetfulFiles()
    end = len(list(moments(None, state, life, files)))
    syncs = [operation for operation in files.operations if operation.is_sync and not is_again(operation)]
    for index, left_out in enumerate(syncs):
        same = (later.number for later in syncs[index + 1 :] if later.path == left_out.path)
        until = next(same, end)
        files = ForgetfulFiles()
        files.leaves_out = lambda operation, number=left_out.number: operation.number == number or is_again(operation)
        yield left_out, list(moments(None, state, life, files, among=range(left_out.number + 1, until + 1)))


@pytest.mark.timeout(600)
def test_each_sync_that_is_left_out_is_missed_or_has_its_reason(state: StateFile) -> None:
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for left_out, found in lives_with_one_left_out(state):
        outcomes[kind(left_out)].append(is_lost(found, state))
    always = {name for name, lost in outcomes.items() if all(lost)}
    never = {name for name, lost in outcomes.items() if not any(lost)}
    assert len(outcomes) > 20
    assert never == set(WITHOUT_LOSS)
    assert set(outcomes) - always - never == set(SOMETIMES_WITHOUT_LOSS)


def test_with_none_left_out_nothing_is_missed(state: StateFile) -> None:
    files = ForgetfulFiles()
    files.leaves_out = is_again
    assert not is_lost(list(moments(None, state, life, files))[-40:], state)


AFTER_A_KILL: dict[str, Callable[[Operation], bool]] = {
    "folders that were there": is_again,
    "the segment that is gone on in": lambda operation: "sync N.seg.part: write_durably < resume" in kind(operation),
    "the entry of that segment": lambda operation: "sync folder LOG: write_durably < resume" in kind(operation),
    "a record that was there": lambda operation: "put_record < _recorded" in kind(operation),
}


@pytest.mark.parametrize("name", AFTER_A_KILL)
def test_what_a_kill_left_unsynced_must_be_synced_before_it_is_built_upon(state: StateFile, name: str) -> None:
    """A killed process's writes are seen by the next one, which must not take them for durable."""
    leaves_out = AFTER_A_KILL[name]
    starts = distinct(found.after(power_loss=False) for found in list(moments(None, state, life)))
    assert any(is_lost(_exposed(start, state, leaves_out), state) for start in starts)


def _exposed(start: Moment, state: StateFile, leaves_out: Callable[[Operation], bool]) -> list[Moment]:
    """Moments of a life that begins where another was killed, behind the first sync that it leaves out."""
    files = start.files.copy()
    files.leaves_out = leaves_out
    found = list(moments(start, state, second_life, files))
    left_out = next((operation.number for operation in files.operations if leaves_out(operation)), None)
    return [moment for moment in found if left_out is not None and moment.operation > left_out][::2]

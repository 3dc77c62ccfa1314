"""The proof that the crash tests of uploads can fail, and that no sync of theirs is there in vain."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.crash.forgetful_files import ForgetfulFiles, Operation
from tests.crash.log_under_test import StateFile
from tests.crash.upload_lives import Moment, check_next_life, distinct, life, moments, next_life

COVERED = "opening writes the progress anew in the same folder, and syncs it before the upload is answered"
TWICE = "deciding and finishing each sync it, as a stop may come between; see below"

WITHOUT_LOSS = {
    "sync folder KEY: write_durably < begin < _add": COVERED,
    "sync folder KEY: write_durably < decide < complete": TWICE,
    "sync folder KEY: write_durably < decide < abort": TWICE,
    "sync folder KEY: decided < _finish < complete": TWICE,
    "sync folder KEY: decided < _finish < abort": TWICE,
}
SOMETIMES_WITHOUT_LOSS = {
    "sync progress.part: write_durably < _rewrite < open_writer": "nothing may be durable yet that it tells of",
    "sync folder KEY: write_durably < _rewrite < open_writer": "nothing may be durable yet that it tells of",
}


def kind(operation: Operation) -> str:
    """What is synced and on whose behalf, without ids."""
    name = re.sub(
        r"[0-9a-f]{32}", "KEY", re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "SESSION", operation.path.name)
    )
    return f"{operation.name} {name}: {operation.call_site}"


def is_again(operation: Operation) -> bool:
    """Syncs of folders that were there: each makes up for one left out before, so they are proven by themselves."""
    return operation.name == "sync folder again"


def is_lost(found: Iterable[Moment], state: StateFile) -> bool:
    """Whether the power going at one of these moments, latest first, costs something, with the state or without it."""
    last_first = list(found)[::-1]
    for without_state in (False, True):
        for moment in distinct(each.after(power_loss=True, without_state=without_state) for each in last_first):
            try:
                check_next_life(moment, state)
            except Exception:  # whatever it is, it was missed
                return True
    return False


def lives_with_one_left_out(state: StateFile) -> Iterator[tuple[Operation, list[Moment]]]:
    """For each sync of a life the moments between it and the next sync of the same file or folder."""
    files = ForgetfulFiles()
    end = len(list(moments(None, state, life, files)))
    syncs = [operation for operation in files.operations if operation.is_sync and not is_again(operation)]
    for index, left_out in enumerate(syncs):
        later = syncs[index + 1 :]
        same = (each.number for each in later if each.path == left_out.path)
        until = next(same, end)
        files = ForgetfulFiles()
        files.leaves_out = lambda operation, number=left_out.number: operation.number == number or is_again(operation)
        found = list(moments(None, state, life, files))
        yield left_out, [each for each in found if left_out.number < each.operation <= until]


long = pytest.mark.skipif("EXTAUDIT_CRASH_ROUNDS" not in os.environ, reason="takes minutes: make crash runs it")


@long
@pytest.mark.timeout(600)
def test_each_sync_that_is_left_out_is_missed_or_has_its_reason(state: StateFile) -> None:
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for left_out, found in lives_with_one_left_out(state):
        outcomes[kind(left_out)].append(is_lost(found, state))
    always = {name for name, lost in outcomes.items() if all(lost)}
    never = {name for name, lost in outcomes.items() if not any(lost)}
    assert never == set(WITHOUT_LOSS)
    assert set(outcomes) - always - never == set(SOMETIMES_WITHOUT_LOSS)


def test_with_none_left_out_nothing_is_missed(state: StateFile) -> None:
    files = ForgetfulFiles()
    files.leaves_out = is_again
    assert not is_lost(list(moments(None, state, life, files))[-40:], state)


AFTER_A_KILL: dict[str, Callable[[Operation], bool]] = {
    "folders that were there": is_again,
    "the progress that is gone on from": lambda operation: "_rewrite < open_writer" in operation.call_site,
    "the decision that is carried out": lambda operation: operation.call_site.startswith("decided <"),
}


@long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", AFTER_A_KILL)
def test_what_a_kill_left_unsynced_must_be_synced_before_it_is_built_upon(state: StateFile, name: str) -> None:
    """A killed process's writes are seen by the next one, which must not take them for durable."""
    leaves_out = AFTER_A_KILL[name]
    starts = distinct(each.after(power_loss=False) for each in list(moments(None, state, life)))
    assert any(is_lost(_exposed(start, state, leaves_out), state) for start in starts)


def _exposed(start: Moment, state: StateFile, leaves_out: Callable[[Operation], bool]) -> list[Moment]:
    """Moments of a life that begins where another was killed, behind the first sync that it leaves out."""
    files = start.files.copy()
    files.leaves_out = leaves_out
    found = list(moments(start, state, next_life, files))
    left_out = next((operation.number for operation in files.operations if leaves_out(operation)), None)
    return [moment for moment in found if left_out is not None and moment.operation > left_out][::2]

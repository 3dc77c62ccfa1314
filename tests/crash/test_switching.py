"""A switch is durable once it is answered, and every event is in the storage that its acknowledgement names."""

from __future__ import annotations

from collections import defaultdict
from itertools import count, pairwise

import pytest

from server.errors import Unavailable
from tests.crash.forgetful_files import ForgetfulFiles, Operation
from tests.crash.lives import Moment, distinct, moments
from tests.crash.log_under_test import StateFile
from tests.crash.switching_log import DEFAULT, OTHER, SwitchingLog, check_switching_life, switching_work


def life(state: StateFile, files: ForgetfulFiles | None = None) -> list[Moment]:
    return list(moments(None, state, lambda log: switching_work(log, count()), files, SwitchingLog))


@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
def test_a_stop_at_any_operation_of_switches_loses_nothing_and_mixes_nothing(
    state: StateFile, power_loss: bool
) -> None:
    checked = 0
    found = (each.after(power_loss=power_loss) for each in life(state))
    for moment in list(distinct(found))[:: 1 if power_loss else 3]:
        try:
            check_switching_life(moment, state)
        except Exception as error:
            raise AssertionError(f"stopped before operation {moment.operation}: {error}") from error
        checked += 1
    assert checked > 40


def test_no_sync_of_a_switch_is_there_in_vain(state: StateFile) -> None:
    """Each sync of a marker is left out once, and the power goes right after the switch was answered.

    One that the next switch follows at once may be missed by nobody: what it said is past.
    """
    files = ForgetfulFiles()
    life(state, files)
    syncs = [operation for operation in files.operations if operation.is_sync]
    missed = defaultdict[str, list[bool]](list)
    for before, sync in pairwise(syncs):
        if "mark" in sync.call_site.split(" < "):
            begins = "_begin_segment" in before.call_site
            missed["of a new segment" if begins else "of an open one"].append(is_missed(state, sync))
            if begins:
                missed["of a new segment's name"].append(is_missed(state, before))
    assert len(missed) == 3
    assert all(any(outcomes) for outcomes in missed.values()), missed


def is_missed(state: StateFile, sync: Operation) -> bool:
    files = ForgetfulFiles()
    files.leaves_out = lambda operation: operation.number == sync.number
    for moment in [each for each in life(state, files) if each.operation > sync.number][:6]:
        try:
            check_switching_life(moment.after(power_loss=True), state)
        except (AssertionError, OSError, ValueError):
            return True
    return False


@pytest.mark.parametrize("was_open", [False, True], ids=["a new segment", "an open one without events"])
@pytest.mark.parametrize("operation", ["append", "sync"])
def test_a_switch_that_can_not_be_written_leaves_events_where_they_went(
    state: StateFile, operation: str, was_open: bool
) -> None:
    files = ForgetfulFiles()
    log = SwitchingLog(files, state)
    log.emit(1)
    log.log.writer.cut()
    if was_open:
        log.switch(OTHER)
        log.switch(DEFAULT)

    def fail(number: int, name: str) -> None:
        if name == operation:
            raise OSError(28 if operation == "append" else 5, "no")

    files.before = fail
    with pytest.raises(Unavailable):
        log.log.writer.switch(OTHER)
    files.before = lambda number, name: None
    assert (log.storages.active, log.log.journal.storage) == (DEFAULT, DEFAULT)
    if operation == "append":
        assert log.emit(2).storage == DEFAULT
    again = SwitchingLog(files.copy(), state, log.acknowledged)
    again.check()
    if operation == "append":
        assert again.log.journal.storage == DEFAULT
    again.emit(3)
    again.check()

"""Stop before each single file operation, reopen, and compare what was acknowledged with what is there."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import pytest

from server.errors import Unavailable
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.lives import FIRST_LIVES, Moment, check_next_life, distinct, moments, work
from tests.crash.log_under_test import LogUnderTest, StateFile


def first_life(state: StateFile) -> list[Moment]:
    found = list(moments(None, state, lambda log: work(log, count())))
    assert len(found) > 200
    return found


def second_life(log: LogUnderTest) -> None:
    """What a start takes up again, and a little more."""
    log.deliver_all()
    log.emit(500, 501, 502)
    log.emit(503, 504)
    log.deliver_all()


def check_all(found: Iterable[Moment], state: StateFile) -> int:
    checked = 0
    for moment in distinct(iter(found)):
        try:
            check_next_life(moment, state)
        except Exception as error:
            raise AssertionError(f"stopped before operation {moment.operation}: {error}") from error
        checked += 1
    return checked


@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
def test_a_stop_at_any_operation_loses_nothing_acknowledged(state: StateFile, power_loss: bool) -> None:
    found = [moment.after(power_loss=power_loss) for moment in first_life(state)]
    assert check_all(found, state) > 60


def test_nor_does_one_that_takes_the_state_database_along(state: StateFile) -> None:
    found = [moment.after(power_loss=True).without_catalogue() for moment in first_life(state)]
    assert check_all(found, state) > 60


@pytest.mark.parametrize("first_power_loss", [False, True], ids=["kill", "power loss"])
def test_a_loss_of_power_in_the_next_life_loses_nothing_either(state: StateFile, first_power_loss: bool) -> None:
    """After a kill, what the first life didn't sync is seen, believed and built upon: it must be made durable first."""
    starts = list(distinct(moment.after(power_loss=first_power_loss) for moment in first_life(state)))
    for start in starts[:: 14 * FIRST_LIVES]:
        check_all([found.after(power_loss=True) for found in moments(start, state, second_life)][::3], state)


def test_a_failed_sync_closes_the_journal_for_good(state: StateFile) -> None:
    files = ForgetfulFiles()
    log = LogUnderTest(files, state)
    log.emit(1)

    def fail(number: int, name: str) -> None:
        if name == "sync":
            raise OSError(5, "I/O error")

    files.before = fail
    with pytest.raises(Unavailable) as failed:
        log.emit(2)
    assert failed.value.reason == "JOURNAL_CLOSED"
    syncs = sum(operation.is_sync for operation in files.operations)
    files.before = lambda number, name: None
    with pytest.raises(Unavailable) as closed:
        log.emit(3)
    assert closed.value.reason == "JOURNAL_CLOSED"
    assert sum(operation.is_sync for operation in files.operations) == syncs, "nothing retries the sync"
    again = LogUnderTest(files.copy(power_loss=True), state, log.acknowledged)
    again.check()
    again.emit(4)
    again.check()


def test_what_a_failed_sync_left_in_memory_is_not_believed_after_a_restart(state: StateFile) -> None:
    """The kernel takes its pages for clean: a restart reads them, and a sync of the same file writes none of them."""
    files = ForgetfulFiles()
    log = LogUnderTest(files, state)
    log.emit(1)

    def fail(number: int, name: str) -> None:
        if name == "sync":
            raise OSError(5, "I/O error")

    files.before = fail
    with pytest.raises(Unavailable):
        log.emit(2)
    files.before = lambda number, name: None
    restarted = LogUnderTest(files, state, log.acknowledged)
    restarted.emit(2)
    restarted.emit(3)
    after_power_loss = LogUnderTest(files.copy(power_loss=True), state, restarted.acknowledged)
    after_power_loss.check()


@pytest.mark.parametrize("operation", ["open", "truncate", "append"])
def test_a_write_that_fails_is_undone_before_anything_else_is_appended(state: StateFile, operation: str) -> None:
    """In a segment that is open, and in one that is being begun."""
    files = ForgetfulFiles()
    log = LogUnderTest(files, state)
    if operation == "append":
        log.emit(1)

    def full_disk(number: int, name: str) -> None:
        if name == operation:
            raise OSError(28, "No space left on device")

    files.before = full_disk
    for _ in range(2):
        with pytest.raises(Unavailable) as failed:
            log.emit(2)
        assert failed.value.reason == "DISK_FLOOR"
    files.before = lambda number, name: None
    first = 2 if operation == "append" else 1
    answer = log.emit(2)
    assert (answer.sequences, answer.repeated) == ([(first, first)], []), "what was refused is not known as emitted"
    log.emit(3)
    again = LogUnderTest(files, state, log.acknowledged)
    assert (again.log.recovery.holes, again.log.recovery.torn_tail_bytes) == ([], 0)
    again.check()


@pytest.mark.parametrize("operation", ["append", "sync"])
def test_a_stop_that_can_not_be_recorded_is_a_stop_all_the_same(state: StateFile, operation: str) -> None:
    files = ForgetfulFiles()
    log = LogUnderTest(files, state)
    log.emit(1)

    def fault(number: int, name: str) -> None:
        if name == operation:
            raise OSError(28, "No space left on device")

    files.before = fault
    log.log.journal.stop()
    assert (log.log.journal.closed, files.open_files) == (True, 0)
    again = LogUnderTest(files.copy(), state, log.acknowledged)
    assert not again.log.recovery.clean or operation == "sync"
    again.check()


def test_a_segment_that_could_not_be_begun_is_not_left_open(state: StateFile) -> None:
    """A full disk refuses write after write: were each to leave a file open, there would soon be no more files."""
    files = ForgetfulFiles()
    log = LogUnderTest(files, state)

    def full_disk(number: int, name: str) -> None:
        if name == "append":
            raise OSError(28, "No space left on device")

    files.before = full_disk
    for number in range(3):
        with pytest.raises(Unavailable):
            log.emit(number)
    assert files.open_files == 0

"""Stop a client's spool before each single file operation, reopen it, and compare what it took with what is there."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from itertools import count

import pytest
from extaudit_client.spool.errors import SpoolFailed, SpoolFull

from tests.crash.forgetful_files import ForgetfulFiles, Operation, Stopped
from tests.crash.spool_under_test import SpoolUnderTest, work

EVENT = b"e" * 9_000


def stops(
    start: SpoolUnderTest | None = None, *, durably: bool = True, leaves_out: str = "", every: int = 1
) -> Iterator[tuple[Operation, SpoolUnderTest]]:
    """A life stopped before each of its operations in turn, or before one of so many."""
    for number in count(1, every):
        life = SpoolUnderTest(ForgetfulFiles(), durably=durably)
        if start is not None:
            life = SpoolUnderTest(start.files.copy(), durably=durably)
            life.taken, life.tried, life.settled = list(start.taken), list(start.tried), set(start.settled)

        def stop(at: int, name: str, number: int = number) -> None:
            if at == number:
                raise Stopped

        life.files.before = stop
        life.files.leaves_out = lambda operation: bool(leaves_out) and operation.call_site == leaves_out
        try:
            work(life, "first" if start is None else "second")
        except Stopped:
            yield life.files.operations[-1], life
        else:
            return


@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
def test_a_stop_at_any_operation_loses_nothing_taken(power_loss: bool) -> None:
    checked = 0
    for operation, life in stops():
        try:
            life.after(power_loss=power_loss).check()
        except Exception as error:
            raise AssertionError(f"stopped before {operation}") from error
        checked += 1
    assert checked > 40


def test_a_process_that_is_killed_loses_nothing_though_nothing_is_synced() -> None:
    for operation, life in stops(durably=False):
        try:
            life.after(power_loss=False).check()
        except Exception as error:
            raise AssertionError(f"stopped before {operation}") from error


@pytest.mark.parametrize("first_power_loss", [False, True], ids=["kill", "power loss"])
def test_nor_does_a_loss_of_power_in_the_next_life(first_power_loss: bool) -> None:
    """What a killed life left unsynced is seen and built upon: it must be made durable first."""
    for operation, start in stops(every=7):
        found = start.after(power_loss=first_power_loss)
        for later, life in stops(found, every=3):
            try:
                life.after(power_loss=True).check()
            except Exception as error:
                raise AssertionError(f"stopped before {operation}, then before {later}") from error


def sync_sites() -> list[str]:
    files = ForgetfulFiles()
    life = SpoolUnderTest(files)
    work(life, "first")
    following = life.after(power_loss=False)
    following.spool.close()
    operations = (*files.operations, *following.files.operations)
    return sorted({operation.call_site for operation in operations if operation.is_sync})


ELSEWHERE = {
    # Without these only time is lost: settled events would be sent again, and answered as repeated.
    "sync < rest",
    "sync < close < close",
    # It is about what another thread has written, and has a test of its own below.
    "sync < _end_durably < append",
}


@pytest.mark.parametrize("site", [site for site in sync_sites() if site not in ELSEWHERE])
def test_no_sync_may_be_left_out(site: str) -> None:
    assert any(loses(life, site) for _, life in stops(leaves_out=site))


def loses(life: SpoolUnderTest, site: str) -> bool:
    """Whether a loss of power takes what was taken, or what the next life believed when it took one event more."""
    try:
        life.after(power_loss=True).check()
        following = life.after(power_loss=False, leaves_out=site)
        following.taken = [event for event in following.tried if event in following.left() or event in following.taken]
        following.emit_when_there_is_room(b"one more")
        following.after(power_loss=True).check()
    except AssertionError:
        return True
    return False


def test_what_another_thread_wrote_is_durable_before_its_segment_ends() -> None:
    life = SpoolUnderTest(ForgetfulFiles())
    life.open()
    waiting, later = EVENT * 6 + b"1", EVENT * 6 + b"2"
    with life.spool.changed:
        assert life.spool._write([waiting], len(waiting) + 28)
    life.tried = [waiting]
    life.emit(later)
    assert len(life.spool.segments) == 2
    assert life.spool.committed == 2
    life.taken = list(life.tried)
    life.after(power_loss=True).check()


def test_what_another_thread_still_waits_for_is_durable_when_the_spool_is_closed() -> None:
    life = SpoolUnderTest(ForgetfulFiles())
    life.open()
    with life.spool.changed:
        assert life.spool._write([EVENT], len(EVENT) + 28)
    life.spool.close()
    assert life.spool.committed == 1, "whoever waits is told that it is"
    life.tried = life.taken = [EVENT]
    life.after(power_loss=True).check()


def test_a_failed_sync_ends_the_spool_and_is_not_tried_again() -> None:
    life = SpoolUnderTest(ForgetfulFiles())
    life.open()
    life.emit(EVENT + b"1")

    def fail(number: int, name: str) -> None:
        if name == "sync":
            raise OSError(errno.EIO, "I/O error")

    life.files.before = fail
    with pytest.raises(SpoolFailed):
        life.emit(EVENT + b"2")
    life.files.before = lambda number, name: None
    before = len(life.files.operations)
    with pytest.raises(SpoolFailed):
        life.emit(EVENT + b"3")
    assert life.files.operations[before:] == [], "nothing is written or synced any more"
    assert life.left() == [EVENT + b"1"], "what is committed can still be sent"
    again = life.after(power_loss=True)
    again.check()
    again.emit(EVENT + b"4")
    again.check()


@pytest.mark.parametrize("operation", ["open", "append", "sync folder"])
def test_a_full_disk_takes_nothing_in_half_and_goes_on_when_there_is_room(operation: str) -> None:
    life = SpoolUnderTest(ForgetfulFiles())
    life.open()
    if operation == "append":
        life.emit(EVENT + b"0")

    def full(number: int, name: str) -> None:
        if name == operation:
            raise OSError(errno.ENOSPC, "No space left on device")

    life.files.before = full
    for _ in range(2):
        with pytest.raises(SpoolFull):
            life.emit(EVENT + b"never")
    life.files.before = lambda number, name: None
    life.emit(EVENT + b"1")
    assert EVENT + b"never" not in life.left()
    life.check()
    for power_loss in (False, True):
        life.after(power_loss=power_loss).check()

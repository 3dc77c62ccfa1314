"""Stop after each single file operation, reopen, and compare what was acknowledged with what is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from server.errors import Unavailable
from tests.crash.forgetful_files import ForgetfulFiles, Stopped
from tests.crash.log_under_test import LogUnderTest


def life(log: LogUnderTest, numbers: Iterator[int]) -> None:
    """Three cuts with deliveries between and behind them, an open tail, and an orderly stop."""
    for _ in range(3):
        log.emit(next(numbers), next(numbers))
        log.emit(next(numbers))
        log.emit(next(numbers), next(numbers))
        log.deliver_all()
    log.emit(next(numbers))
    log.log.journal.stop()


def run_until_stop(files: ForgetfulFiles, state: Path, log: LogUnderTest | None, numbers: Iterator[int]) -> dict[int, tuple[str, int]]:
    """One life on these files; gives what was acknowledged up to its end."""
    acknowledged: dict[int, tuple[str, int]] = dict(log.acknowledged) if log else {}
    with suppress(Stopped):
        opened = LogUnderTest(files, state, acknowledged)
        try:
            life(opened, numbers)
        finally:
            opened.close()
    return acknowledged


def operations_of_a_life(tmp_path: Path) -> list[str]:
    files = ForgetfulFiles()
    run_until_stop(files, tmp_path / "count.db", None, count())
    return files.operations


@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
@pytest.mark.parametrize("forget_catalogue", [False, True], ids=["catalogue kept", "catalogue lost"])
def test_a_stop_at_any_operation_loses_nothing_acknowledged(
    tmp_path: Path, power_loss: bool, forget_catalogue: bool
) -> None:
    total = len(operations_of_a_life(tmp_path))
    assert total > 100
    for stop_at in range(1, total + 1):
        files = ForgetfulFiles(_stop_at(stop_at))
        state = tmp_path / f"{stop_at}.db"
        numbers = count()
        acknowledged = run_until_stop(files, state, None, numbers)
        files.crash(power_loss=power_loss)
        if forget_catalogue:
            state.unlink(missing_ok=True)
        _reopen_and_check(files, state, acknowledged, numbers, f"stopped at {stop_at}: {files.operations[stop_at - 1]}")


def _stop_at(number: int):  # noqa: ANN202
    def before(current: int, name: str) -> None:
        if current >= number:
            raise Stopped(f"at {name}")

    return before


def _reopen_and_check(
    files: ForgetfulFiles, state: Path, acknowledged: dict[int, tuple[str, int]], numbers: Iterator[int], context: str
) -> None:
    try:
        again = LogUnderTest(files, state, acknowledged)
        assert not again.log.recovery.holes
        again.check()
        for number in sorted(acknowledged):
            again.emit(number)  # a retry after a restart adds nothing
        again.check()
        life(again, numbers)
        again.check()
        again.close()
        last = LogUnderTest(files, state, acknowledged)
        assert last.log.recovery.clean
        last.deliver_all()
        last.check()
        _check_records(last)
        last.close()
    except (AssertionError, Exception) as error:
        raise AssertionError(f"{context}: {error}") from error


def _check_records(log: LogUnderTest) -> None:
    """Records of one log follow each other without gap, each naming the digest of the one before."""
    from server.audit_log.batch_record import record_digest

    before: dict[str, tuple[int, str]] = {}
    for record in sorted(log.records(), key=lambda record: (record.log_id, record.first)):
        last, digest = before.get(record.log_id, (0, ""))
        assert (record.first, record.previous) == (last + 1, digest)
        before[record.log_id] = record.last, record_digest(record.encode())


def test_a_second_stop_during_recovery_loses_nothing_either(tmp_path: Path) -> None:
    total = len(operations_of_a_life(tmp_path))
    for first_stop in range(7, total + 1, 7):
        for second_stop in range(1, 40, 3):
            files = ForgetfulFiles(_stop_at(first_stop))
            state = tmp_path / f"{first_stop}-{second_stop}.db"
            numbers = count()
            acknowledged = run_until_stop(files, state, None, numbers)
            files.crash(power_loss=True)
            files.before = _stop_at(len(files.operations) + second_stop)
            with suppress(Stopped):
                log = LogUnderTest(files, state, acknowledged)
                log.deliver_all()
                log.close()
            files.crash(power_loss=True)
            _reopen_and_check(files, state, acknowledged, numbers, f"stopped at {first_stop}, then {second_stop}")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_with_syncs_left_out_acknowledged_events_are_lost(tmp_path: Path, kind: str) -> None:
    """The proof that the tests above can fail: without syncs the same check finds a loss."""
    files = ForgetfulFiles()
    files.skip_syncs_of = kind
    acknowledged = run_until_stop(files, tmp_path / "state.db", None, count())
    files.crash(power_loss=True)
    with pytest.raises((AssertionError, OSError, ValueError)):
        LogUnderTest(files, tmp_path / "state.db", acknowledged).check()


def test_a_failed_sync_closes_the_journal_for_good(tmp_path: Path) -> None:
    files = ForgetfulFiles()
    log = LogUnderTest(files, tmp_path / "state.db")
    log.emit(1)

    def fail(number: int, name: str) -> None:
        if name == "sync":
            raise OSError(5, "I/O error")

    files.before = fail
    with pytest.raises(Unavailable) as failed:
        log.emit(2)
    assert failed.value.reason == "JOURNAL_CLOSED"
    syncs = sum(name.startswith("sync ") for name in files.operations)
    files.before = lambda number, name: None
    with pytest.raises(Unavailable) as closed:
        log.emit(3)
    assert closed.value.reason == "JOURNAL_CLOSED"
    assert sum(name.startswith("sync ") for name in files.operations) == syncs, "nothing retries the sync"
    log.close()
    files.crash(power_loss=True)
    again = LogUnderTest(files, tmp_path / "state.db", log.acknowledged)
    again.check()
    again.emit(4)
    again.check()


def test_a_short_write_is_cut_back_before_anything_else_is_appended(tmp_path: Path) -> None:
    files = ForgetfulFiles()
    log = LogUnderTest(files, tmp_path / "state.db")
    log.emit(1)

    def full_disk(number: int, name: str) -> None:
        if name == "append":
            raise OSError(28, "No space left on device")

    files.before = full_disk
    with pytest.raises(Unavailable) as failed:
        log.emit(2)
    assert failed.value.reason == "DISK_FLOOR"
    files.before = lambda number, name: None
    answer = log.emit(2)
    assert (answer.sequences, answer.repeated) == ([(2, 2)], []), "what was refused is not known as emitted"
    log.emit(3)
    log.close()
    again = LogUnderTest(files, tmp_path / "state.db", log.acknowledged)
    assert (again.log.recovery.holes, again.log.recovery.torn_tail_bytes) == ([], 0)
    again.check()

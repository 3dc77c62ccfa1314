"""A journal that can't be trimmed for hours: the uids that are known stay so."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from server.audit_log.journal.journal import Journal
from server.audit_log.journal.segments import make_log, segment_name
from server.audit_log.journal.trimming import Trimming
from tests.crash.faulty_disk import FaultyFiles
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.log_under_test import LogUnderTest, StateFile

ATTEMPTS = 600
"""Were the uids of the batch written at each, they would be more than the files keep."""


def test_attempts_that_fail_at_the_trim_do_not_make_older_uids_unknown(
    state: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LogUnderTest(ForgetfulFiles(), state)
    for number in range(8):
        log.emit(number)
    log.delivery.deliver_next()
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "trim", fail)
        for _ in range(ATTEMPTS):
            with pytest.raises(OSError, match="fault"):
                log.delivery.deliver_next()
    log.deliver_all()
    later = LogUnderTest(log.files, state, log.acknowledged)
    assert len(later.emit(*range(8)).repeated) == 8


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_on_a_full_disk_the_newest_segment_stays_and_makes_no_older_one_wait(tmp_path: Path, full: int) -> None:
    files, log_id = FaultyFiles("open"), "0" * 20
    make_log(files, tmp_path, log_id)
    files.open_append(tmp_path / log_id / segment_name(5)).close()
    trimming = Trimming(files, tmp_path)
    trimming.trim(log_id, 5, damaged=False, current=log_id, following=9)
    files.fault = full
    trimming.trim(log_id, 1, damaged=False, current=log_id, following=9)
    assert files.list(tmp_path / log_id) == [segment_name(5)]
    files.fault = 0
    trimming.trim(log_id, 5, damaged=False, current=log_id, following=9)
    assert files.list(tmp_path / log_id) == [segment_name(9)]


def test_any_other_fault_that_keeps_the_newest_segment_is_told(tmp_path: Path) -> None:
    files, log_id = FaultyFiles("open"), "0" * 20
    make_log(files, tmp_path, log_id)
    files.fault = errno.EIO
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        Trimming(files, tmp_path).trim(log_id, 1, damaged=False, current=log_id, following=9)
    assert files.list(tmp_path / log_id) == [segment_name(1)]


def fail(*_: object, **__: object) -> None:
    raise OSError(5, "fault")

"""A journal that can't be trimmed for hours: the uids that are known stay so."""

from __future__ import annotations

import pytest

from server.audit_log.journal.journal import Journal
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


def fail(*_: object, **__: object) -> None:
    raise OSError(5, "fault")

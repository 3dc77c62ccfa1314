"""A diversion is done as a whole or not at all, and whatever stops, each event is once where a retry is told it is."""

from __future__ import annotations

from itertools import count

import pytest

from server.audit_log.diverting import Backlog
from server.state.diversions import Diversion, Diversions
from tests.crash.diverting_log import DivertingLog, check_diverting_life, check_life_without_state, diverting_work, told
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.lives import Moment, distinct, moments
from tests.crash.log_under_test import StateFile
from tests.crash.switching_log import DEFAULT, OTHER


def life(state: StateFile) -> list[Moment]:
    return list(moments(None, state, lambda log: diverting_work(log, count()), None, DivertingLog))


@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
def test_a_stop_at_any_operation_of_a_diversion_loses_nothing_and_doubles_nothing(
    state: StateFile, power_loss: bool
) -> None:
    found = list(distinct(each.after(power_loss=power_loss) for each in life(state)))
    assert len(found) > 60
    for moment in found[:: 1 if power_loss else 5]:
        try:
            check_diverting_life(moment, state)
        except Exception as error:
            raise AssertionError(f"stopped before operation {moment.operation}: {error}") from error


def test_a_state_that_is_lost_while_what_was_diverted_is_delivered_doubles_nothing(state: StateFile) -> None:
    """Only the state had the diversion until the record of the batch was there: the batch would go to the storage that
    it was taken from as well."""
    without = list(distinct(each.after(power_loss=True).without_catalogue() for each in life(state)))
    for moment in without[len(without) // 2 :: 3]:  # before, nothing is diverted
        try:
            check_life_without_state(moment, state)
        except Exception as error:
            raise AssertionError(f"stopped before operation {moment.operation}: {error}") from error


def test_what_was_diverted_is_known_from_its_records_where_the_state_is_lost(state: StateFile) -> None:
    """Its records in the default storage say where it was taken from, so that what came late counts no more."""
    files = ForgetfulFiles()
    log = DivertingLog(files, state)
    diverting_work(log, count())
    state.put(None)
    again = DivertingLog(files.copy(), state, log.acknowledged)
    assert {each.storage for each in again.catalogue.diversions.all()} == {OTHER}
    again.log.writer.cut()
    again.deliver_all()
    again.check_left()  # reads what stands in the other storage as well
    again.check()
    again.check_stored()
    again.check_records()


def test_a_batch_that_was_delivered_before_the_diversion_stays_where_it_is(state: StateFile) -> None:
    log = DivertingLog(ForgetfulFiles(), state)
    log.switch(OTHER)
    log.emit(1)
    log.switch(DEFAULT)
    log.deliver_to(OTHER)
    log.divert()
    assert log.catalogue.diversions.all() == ()
    assert log.emit(1).repeated[0][1] == OTHER
    log.check()


def test_a_diversion_that_the_state_kept_and_could_not_tell_does_not_double_what_was_delivered_since(
    state: StateFile,
) -> None:
    files = ForgetfulFiles()
    log = DivertingLog(files, state)
    log.switch(OTHER)
    answer = log.emit(1)
    log.switch(DEFAULT)
    unheard = Diversion(answer.log_id, 1, 1, OTHER, DEFAULT, 0, 0)
    Diversions(state.engine).add([unheard], told(Backlog()))  # as a commit whose answer is lost leaves it

    def fail(number: int, name: str) -> None:
        if name == "remove":
            raise OSError(5, "no")

    files.before = fail
    with pytest.raises(OSError, match="no"):
        log.deliver_to(OTHER)  # the batch is in the catalogue, and its segment in the journal
    again = DivertingLog(files.copy(), state, log.acknowledged)
    assert again.emit(1).repeated[0][1] == OTHER
    again.log.writer.cut()
    again.deliver_all()
    again.check()
    again.check_stored()

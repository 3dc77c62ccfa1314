"""Stop before each single file operation of uploads, reopen, and compare what was answered with what is there."""

from __future__ import annotations

import pytest

from tests.crash.lives import FIRST_LIVES
from tests.crash.log_under_test import StateFile
from tests.crash.upload_lives import check_next_life, distinct, life, moments, next_life


@pytest.mark.timeout(600)
@pytest.mark.parametrize("without_state", [False, True], ids=["state kept", "state lost"])
@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
def test_a_stop_at_any_operation_loses_nothing_acknowledged(
    state: StateFile, power_loss: bool, without_state: bool
) -> None:
    found = list(moments(None, state, life))
    assert len(found) > 150
    for moment in distinct(each.after(power_loss=power_loss, without_state=without_state) for each in found):
        try:
            check_next_life(moment, state)
        except Exception as error:
            raise AssertionError(f"stopped before operation {moment.operation}: {error!r}") from error


@pytest.mark.timeout(600)
def test_a_loss_of_power_in_the_next_life_loses_nothing_either(state: StateFile) -> None:
    """After a kill, what the first life didn't sync is seen, believed and built upon: it must be made durable first."""
    starts = list(distinct(each.after(power_loss=False) for each in list(moments(None, state, life))))
    for start in starts[:: 7 * FIRST_LIVES]:
        for moment in distinct(each.after(power_loss=True) for each in list(moments(start, state, next_life))[::3]):
            check_next_life(moment, state)

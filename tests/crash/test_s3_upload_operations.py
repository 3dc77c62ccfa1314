"""Stop before and behind each request to S3, and before file operations between, of uploads that end in a bucket."""

from __future__ import annotations

import os

import pytest

from tests.crash.log_under_test import StateFile
from tests.crash.upload_lives import check_next_life, distinct, life, moments, next_life
from tests.memory_s3 import CloudedFiles

LONG = "EXTAUDIT_CRASH_ROUNDS" in os.environ
EVERY, EVERY_FILE = (1, 1) if LONG else (9, 36)
"""Of moments in a second life, and of file operations, which the tests of the embedded storage stop at each of."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("without_state", [False, True], ids=["state kept", "state lost"])
@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
def test_a_stop_at_any_request_loses_nothing_acknowledged(
    state: StateFile, power_loss: bool, without_state: bool
) -> None:
    files = CloudedFiles()
    found = list(moments(None, state, life, files))
    requests = {each.number for each in files.operations if each.path.name == "s3"}
    assert len(requests) > 60
    chosen = [each for each in found if each.operation in requests or each.operation % EVERY_FILE == 0]
    for moment in distinct(each.after(power_loss=power_loss, without_state=without_state) for each in chosen):
        try:
            check_next_life(moment, state)
        except Exception as error:
            operation = files.operations[min(moment.operation, len(files.operations)) - 1]
            raise AssertionError(f"stopped before operation {moment.operation}, {operation}: {error!r}") from error


@pytest.mark.timeout(600)
def test_without_versions_a_stop_at_any_request_loses_nothing_and_puts_nothing_over_another(state: StateFile) -> None:
    files = CloudedFiles(keeps_versions=False)
    found = list(moments(None, state, life, files))
    requests = {each.number for each in files.operations if each.path.name == "s3"}
    assert len(requests) > 80
    for moment in distinct(
        each.after(power_loss=True, without_state=True) for each in found if each.operation in requests
    ):
        check_next_life(moment, state)


@pytest.mark.timeout(600)
def test_a_stop_in_the_next_life_loses_nothing_either(state: StateFile) -> None:
    starts = list(distinct(each.after(power_loss=False) for each in list(moments(None, state, life, CloudedFiles()))))
    for start in starts[:: EVERY * 6]:
        found = list(moments(start, state, next_life))[:: EVERY * 2]
        for moment in distinct(each.after(power_loss=True) for each in found):
            check_next_life(moment, state)

"""Alerts: raised and cleared at the table's thresholds, each storage and kind by itself, and told once."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from server.errors import NotFound
from server.observability.alerts.alerts import Alert, Alerts, Failure
from server.observability.alerts.evaluation import Evaluation
from server.observability.alerts.kinds import STANDING, AlertKind, Severity
from server.storage.ports import StorageError
from server.storage.recording_port import NotReadable

KIND = AlertKind.EVENT_SEARCH
EMIT, SEARCH, UPLOAD, DOWNLOAD = AlertKind


class Told:
    """Alerts, and what was told of them; the time is 1000 until it is set."""

    def __init__(self) -> None:
        self.raised: list[Alert] = []
        self.cleared: list[Alert] = []
        self.now_ms = 1000
        self.alerts = Alerts(lambda: self.now_ms, self.raised.append, self.cleared.append)

    def count(self, errors: int, successes: int, kind: AlertKind = KIND, storage: str = "aws-1") -> bool:
        """Count so many, evaluate, and say whether the alert is raised."""
        for number in range(errors):
            self.alerts.failed(storage, kind, f"error {number + 1}")
        for _ in range(successes):
            self.alerts.succeeded(storage, kind)
        self.alerts.evaluate()
        return (storage, kind.value) in {(each.storage_id, each.id) for each in self.alerts.listed()}


@pytest.mark.parametrize(
    ("kind", "errors", "successes", "is_raised"),
    [
        (EMIT, 10, 0, True),
        (EMIT, 9, 0, False),
        (EMIT, 10, 15, True),  # 40 % exactly
        (EMIT, 10, 16, False),
        (SEARCH, 4, 0, True),
        (SEARCH, 3, 0, False),
        (SEARCH, 4, 6, True),
        (SEARCH, 4, 7, False),
        (UPLOAD, 4, 6, True),
        (UPLOAD, 3, 0, False),
        (UPLOAD, 4, 7, False),
        (DOWNLOAD, 4, 6, True),
        (DOWNLOAD, 3, 0, False),
        (DOWNLOAD, 4, 7, False),
    ],
)
def test_it_is_raised_from_so_many_errors_and_40_percent_on(
    kind: AlertKind, errors: int, successes: int, is_raised: bool
) -> None:
    assert Told().count(errors, successes, kind) is is_raised


@pytest.mark.parametrize(
    ("kind", "errors", "successes", "is_cleared"),
    [
        (EMIT, 0, 10, True),
        (EMIT, 0, 9, False),
        (EMIT, 1, 19, True),  # 5 % exactly
        (EMIT, 1, 18, False),
        (SEARCH, 0, 4, True),
        (SEARCH, 0, 3, False),
        (SEARCH, 1, 18, False),
        (UPLOAD, 0, 8, True),
        (UPLOAD, 0, 7, False),
        (UPLOAD, 1, 19, True),
        (DOWNLOAD, 0, 2, True),
        (DOWNLOAD, 0, 1, False),
        (DOWNLOAD, 1, 18, False),
    ],
)
def test_it_is_cleared_from_so_many_successes_and_down_to_5_percent(
    kind: AlertKind, errors: int, successes: int, is_cleared: bool
) -> None:
    told = Told()
    assert told.count(10, 0, kind)
    assert told.count(errors, successes, kind) is not is_cleared


@pytest.mark.parametrize(
    ("first", "second", "is_raised"),
    [
        ((3, 0), (1, 0), True),  # less than both minimums: goes on
        ((0, 3), (4, 3), True),  # as it does with too few errors: 4 of 10
        ((4, 7), (3, 0), False),  # both minimums and neither rate: begins anew
        ((3, 7), (1, 0), False),  # only one of them: goes on, and 4 of 11 are too few
        ((0, 4), (4, 6), True),  # cleared, though nothing was raised: begins anew, else it were 4 of 14
    ],
)
def test_what_is_counted_begins_anew_with_both_minimums(
    first: tuple[int, int], second: tuple[int, int], is_raised: bool
) -> None:
    told = Told()
    assert not told.count(*first)
    assert told.count(*second) is is_raised


def test_raising_begins_anew() -> None:
    told = Told()
    assert told.count(100, 0)
    assert not told.count(0, 4), "a hundred errors before mustn't count"


def test_while_it_is_raised_what_fails_between_two_looks_does_not_count_in_the_next() -> None:
    told = Told()
    assert told.count(4, 0)
    assert told.count(3, 3), "the storage comes back"
    assert told.count(0, 3)
    assert not told.count(0, 1), "else it were 3 of 10"


def test_each_storage_and_kind_is_by_itself() -> None:
    told = Told()
    for storage in ("aws-1", "aws-2"):
        told.count(2, 0, SEARCH, storage)
    told.count(2, 0, DOWNLOAD)
    assert told.alerts.listed() == ()
    told.count(4, 0, SEARCH, "aws-2")
    assert [(each.storage_id, each.id) for each in told.alerts.listed()] == [("aws-2", "event-search")]


def test_it_is_told_once_however_long_it_stands_and_names_the_last_error() -> None:
    told = Told()
    for _ in range(3):
        assert told.count(5, 0)
        told.alerts.evaluate()
    (alert,) = told.raised
    assert (alert.id, alert.storage_id, alert.since_ms, alert.severity) == (KIND.value, "aws-1", 1000, Severity.HIGH)
    assert alert.text == "elevated error rate searching events: error 5"
    told.count(4, 0)
    assert told.alerts.listed()[0].detail == "error 4", "the list tells the latest"
    told.now_ms = 2000
    assert not told.count(0, 4)
    assert [each.since_ms for each in told.cleared] == [1000]
    told.count(0, 4)
    assert len(told.cleared) == 1


def test_the_last_failure_is_known_with_its_time_whatever_followed() -> None:
    told = Told()
    told.count(0, 1)
    assert told.alerts.last_failure("aws-1", KIND) is None
    told.count(2, 0)
    told.now_ms = 2000
    told.count(0, 4)
    assert told.alerts.last_failure("aws-1", KIND) == Failure(1000, "error 2")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("x" * 300, "x" * 256),
        ("x" * 255 + "ä", "x" * 255),
        ("ä" * 128 + "b", "ä" * 128),
        ("€" * 100, "€" * 85),
        ("a\nb\tc\x00d\u202ee\ud800f", "a b c d e f"),
    ],
)
def test_an_error_is_cut_at_a_character_within_256_bytes_and_has_nothing_unprintable(error: str, shown: str) -> None:
    told = Told()
    for _ in range(4):
        told.alerts.failed("aws-1", KIND, error)
    told.alerts.evaluate()
    assert told.raised[0].detail == shown


@pytest.mark.parametrize(
    ("error", "is_raised"),
    [(StorageError("away"), True), (NotReadable("aborted"), False), (NotFound("none"), False), (KeyError(), False)],
)
def test_only_failures_of_the_service_count(error: Exception, is_raised: bool) -> None:
    told = Told()
    for _ in range(4):
        with (
            contextlib.suppress(type(error)),
            told.alerts.counting("aws-1", KIND, (StorageError,), but=(NotReadable,)),
        ):
            raise error
    told.alerts.evaluate()
    assert bool(told.raised) is is_raised


def test_a_caller_that_gives_up_is_no_failure_and_no_success() -> None:
    told = Told()
    assert told.count(4, 0)
    for _ in range(10):
        with (
            contextlib.suppress(asyncio.CancelledError),
            told.alerts.counting("aws-1", KIND, (StorageError,)),
        ):
            raise asyncio.CancelledError
    told.alerts.evaluate()
    assert told.cleared == []
    for _ in range(4):
        with told.alerts.counting("aws-1", KIND, (StorageError,)):
            pass
    told.alerts.evaluate()
    assert len(told.cleared) == 1


@pytest.mark.parametrize("name", STANDING)
def test_a_standing_condition_is_told_once_with_its_remedy_until_it_is_cleared(name: str) -> None:
    told = Told()
    for text in ("one", "two"):
        told.alerts.raise_standing("aws-1", name, text)
        told.alerts.evaluate()
    assert [each.detail for each in told.raised] == ["one"]
    (alert,) = told.alerts.listed()
    assert (alert.id, alert.detail, alert.remedy) == (name, "two", STANDING[name].remedy)
    told.alerts.clear_standing("aws-2", name)
    assert told.alerts.listed()
    told.alerts.clear_standing("aws-1", name)
    told.alerts.clear_standing("aws-1", name)
    assert told.alerts.listed() == ()
    assert len(told.cleared) == 1


def test_a_rate_is_not_cleared_as_a_standing_condition_and_no_other_name_can_be_raised() -> None:
    told = Told()
    assert told.count(4, 0)
    told.alerts.clear_standing("aws-1", KIND.value)
    assert told.cleared == []
    with pytest.raises(KeyError):
        told.alerts.raise_standing("aws-1", "made-up", "")


def test_the_evaluation_looks_every_period_until_it_is_stopped() -> None:
    async def evaluate() -> None:
        raised = asyncio.Event()
        alerts = Alerts(raised=lambda alert: raised.set())
        evaluation = Evaluation(alerts, 0.001)
        running = asyncio.create_task(evaluation.run())
        for _ in range(4):
            alerts.failed("aws-1", KIND, "x")
        await asyncio.wait_for(raised.wait(), 60)
        evaluation.stop()
        await asyncio.wait_for(running, 60)

    asyncio.run(evaluate())

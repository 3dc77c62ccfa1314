"""Which looks into a bucket are kept: as many as a search needs, however many dates are asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from server.audit_log import bucket_looks
from server.audit_log.bucket_dates import DateLook
from server.audit_log.bucket_looks import BucketLooks, Freshness, Looked
from server.audit_log.search.query import Missing, MissingReason
from server.audit_log.timestamps import DAY_MS
from server.observability.alerts.alerts import Alerts
from tests.polling import until

UNREAD = Missing(MissingReason.OBJECT_UNREADABLE, "s3", "1970-01-01/x", "there was no time")


class Dates:
    """Of which nothing is wrong; one can be held up, or take several looks."""

    def __init__(self) -> None:
        self.looks: list[str] = []
        self.unfinished = 0
        self.fault: Missing | None = None
        self.held = ""
        self.goes_on = threading.Event()
        self.counting = threading.Lock()

    def look(self, date: str) -> DateLook:
        self.looks.append(date)
        if date == self.held:
            assert self.goes_on.wait(60)
        with self.counting:
            self.unfinished -= 1
            is_finished = self.unfinished < 0
        faults = {"1970-01-02/x": self.fault} if self.fault is not None else {}
        return DateLook(faults, () if is_finished else (UNREAD,), is_finished=is_finished)


@pytest.fixture
def dates() -> Dates:
    return Dates()


@pytest.fixture
def looks(dates: Dates, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketLooks]:
    monkeypatch.setattr(bucket_looks, "MOST_DATES", 5)
    monkeypatch.setattr(bucket_looks, "_MOST_SECONDS", 60.0)
    catalogue: Any = SimpleNamespace(dates=lambda storage: ["1970-01-02"])
    storage: Any = SimpleNamespace(storage_id="s3", dates=lambda: ["1970-01-01"])
    freshness = Freshness(last_dates=0, earlier_dates=600)
    with ThreadPoolExecutor(4) as threads:
        yield BucketLooks(storage, catalogue, dates, threads, Alerts(), freshness)  # type: ignore[arg-type]


def day(number: int) -> tuple[int, int]:
    return number * DAY_MS, (number + 1) * DAY_MS


def test_looks_at_ever_other_dates_are_forgotten_and_those_of_one_search_are_not(
    looks: BucketLooks, dates: Dates
) -> None:
    for number in range(40):
        looks.refresh(*day(number), None, Looked())
    assert len(looks._begun) <= 6
    dates.looks.clear()
    for _ in range(3):
        looks.refresh(0, 4 * DAY_MS, None, Looked())
    assert len(dates.looks) == 4


def test_one_that_was_made_anew_counts_by_its_last_time(looks: BucketLooks) -> None:
    recent = "2999-01-01"
    looks.look(recent)
    for number in range(4):
        looks.refresh(*day(number), None, Looked())
    looks.look(recent)
    looks.refresh(*day(4), None, Looked())
    assert recent in looks._begun


def test_a_look_under_way_is_never_forgotten_so_that_none_begins_beside_it(looks: BucketLooks, dates: Dates) -> None:
    dates.held = "1970-01-01"
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(looks.look, dates.held)
        until(lambda: dates.looks)
        for number in range(1, 40):
            looks.refresh(*day(number), None, Looked())
        second = callers.submit(looks.look, dates.held)
        dates.goes_on.set()
        assert first.result(60) is second.result(60)
    assert dates.looks.count(dates.held) == 1


def test_whoever_has_the_time_waits_for_all_dates_and_for_what_several_looks_take(
    looks: BucketLooks, dates: Dates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_looks, "_MOST_SECONDS", 0.0)
    dates.held, dates.unfinished = "1970-01-01", 3
    hasty, patient = Looked(), Looked()
    looks.refresh(*day(0), None, hasty)
    assert [gap.name for gap in hasty.gaps] == [dates.held]
    asked: list[None] = []

    def go_on() -> None:
        asked.append(None)
        if len(asked) == 2:  # it waited a second in vain
            dates.goes_on.set()

    looks.refresh_all(go_on, patient)
    assert (patient.gaps, patient.of_others) == ([], [])
    assert (dates.looks.count("1970-01-01"), dates.looks.count("1970-01-02")) in ((4, 1), (3, 2), (2, 3), (1, 4))


def test_a_look_that_ends_just_after_its_second_is_no_failure(looks: BucketLooks) -> None:
    class Ending(Future[DateLook]):
        def result(self, timeout: float | None = None) -> DateLook:
            if not self.done():
                self.set_result(DateLook({}, (), is_finished=True))
                raise TimeoutError
            return super().result(timeout)

    assert bucket_looks._awaited(Ending(), lambda: None).is_finished


def test_an_alert_stands_while_what_was_changed_cant_be_read(looks: BucketLooks, dates: Dates) -> None:
    def raised_by(reason: MissingReason | None) -> list[str]:
        dates.fault = reason and Missing(reason, "s3", "1970-01-02/x", "why")
        looks._begun.clear()
        looks.look("1970-01-02")
        return [alert.id for alert in looks._alerts.listed()]

    changed, unread = MissingReason.OBJECT_CHANGED, MissingReason.OBJECT_UNREADABLE
    assert [raised_by(reason) for reason in (unread, changed, unread)] == [[], ["object-changed"], ["object-changed"]]
    assert looks.has_alert("1970-01-02/x")
    assert raised_by(MissingReason.EXPIRED) == []
    assert (raised_by(changed), raised_by(None)) == (["object-changed"], [])


def test_a_stop_ends_the_wait_for_all_dates(looks: BucketLooks, dates: Dates) -> None:
    dates.held = "1970-01-01"

    def stopping() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        looks.refresh_all(stopping, Looked())
    dates.goes_on.set()

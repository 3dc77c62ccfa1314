"""Which looks into a bucket are kept: as many as a search needs, however many dates are asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from server.audit_log import bucket_looks
from server.audit_log.bucket_dates import DateLook
from server.audit_log.bucket_looks import BucketLooks, Freshness, Looked
from server.audit_log.timestamps import DAY_MS
from server.observability.alerts.alerts import Alerts
from tests.polling import until


class Dates:
    """Of which nothing is wrong; one can be held up."""

    def __init__(self) -> None:
        self.looks: list[str] = []
        self.held = ""
        self.goes_on = threading.Event()

    def look(self, date: str) -> DateLook:
        self.looks.append(date)
        if date == self.held:
            assert self.goes_on.wait(60)
        return DateLook({}, (), is_finished=True)


@pytest.fixture
def dates() -> Dates:
    return Dates()


@pytest.fixture
def looks(dates: Dates, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketLooks]:
    monkeypatch.setattr(bucket_looks, "MOST_DATES", 5)
    unused: Any = None
    storage: Any = SimpleNamespace(storage_id="s3")
    freshness = Freshness(last_dates=0, earlier_dates=600)
    with ThreadPoolExecutor(4) as threads:
        yield BucketLooks(storage, unused, dates, threads, Alerts(), freshness)  # type: ignore[arg-type]


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

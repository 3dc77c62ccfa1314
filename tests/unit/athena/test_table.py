"""The live table is held against the plan before it is trusted, and looked at again after a minute."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest

from server.external_storage.planning import infrastructure_plan, wanted_table
from server.integrations.integration import RoleArn
from server.storage.aws.athena.table import LiveTable
from server.storage.aws.clients import ServiceClient
from server.storage.aws.errors import AwsError, Kind
from server.storage.finding import FinderFailed, FinderUnsuited
from server.storage.ports import ScanTimeout
from server.storage.spec import StorageOptions
from tests.account_under_test import Account, table_input
from tests.storages_under_test import ROLE, SPEC
from tests.unit.athena.fake_athena import FakeClock

_role = RoleArn.parse(ROLE)
assert _role is not None
PLAN = infrastructure_plan(SPEC, StorageOptions(), _role, "test")
WANTED = wanted_table(PLAN.glue)
TABLE: dict[str, Any] = table_input(Account(cast(Any, None), cast(Any, None), SPEC, StorageOptions(), PLAN, ROLE))


class FakeGlue:
    """Tells of one table."""

    def __init__(self, table: dict[str, Any] | AwsError) -> None:
        self.table = table
        self.asked: list[dict[str, str]] = []

    def get_table(self, **asked: str) -> dict[str, Any]:
        self.asked.append(asked)
        if isinstance(self.table, AwsError):
            raise self.table
        return {"Table": self.table}

    def dates(self, table: LiveTable | None = None, seconds: float = 60.0) -> tuple[date, date]:
        glue, until = cast(ServiceClient, self), time.monotonic() + seconds
        return (table or LiveTable()).dates(glue, "123456789012", "db", "events", WANTED, until)


def test_a_table_as_planned_gives_its_dates() -> None:
    glue = FakeGlue(TABLE)
    earliest = datetime.now(UTC).date() + timedelta(days=2)
    first, last = glue.dates()
    assert first == date(1970, 1, 1)
    assert earliest <= last <= datetime.now(UTC).date() + timedelta(days=2)
    assert glue.asked == [{"CatalogId": "123456789012", "DatabaseName": "db", "Name": "events"}]


def _set(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(table: dict[str, Any]) -> None:
        at: Any = table
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = to

    return change


DRIFT = {
    "location": _set("StorageDescriptor", "Location", to="s3://elsewhere/events"),
    "column event_time": _set("StorageDescriptor", "Columns", 3, "Type", to="string"),
    "column user": _set("StorageDescriptor", "Columns", 5, "Name", to="users"),
    "partition keys": _set("PartitionKeys", 0, "Type", to="string"),
    "input format": _set("StorageDescriptor", "InputFormat", to="text"),
    "output format": _set("StorageDescriptor", "OutputFormat", to="text"),
    "serialization library": _set("StorageDescriptor", "SerdeInfo", to={}),
    "projection.enabled": _set("Parameters", "projection.enabled", to="false"),
    "projection.event_date.type": _set("Parameters", "projection.event_date.type", to="enum"),
    "projection.event_date.format": _set("Parameters", "projection.event_date.format", to="yyyy-mm-dd"),
    "projection.event_date.interval": _set("Parameters", "projection.event_date.interval", to="2"),
    "projection.event_date.interval.unit": _set("Parameters", "projection.event_date.interval.unit", to="WEEKS"),
    "storage.location.template": _set("Parameters", "storage.location.template", to="s3://x/${event_date}/"),
    "projection.event_date.range can't be read": _set("Parameters", "projection.event_date.range", to="always"),
}


@pytest.mark.parametrize("what", DRIFT)
def test_a_table_that_differs_is_not_trusted_and_what_differs_is_named(what: str) -> None:
    table = copy.deepcopy(TABLE)
    DRIFT[what](table)
    with pytest.raises(FinderUnsuited, match=f"the table isn't as planned: {what}"):
        FakeGlue(table).dates()


def test_what_changes_nothing_that_is_read_is_no_difference() -> None:
    table = copy.deepcopy(TABLE)
    table["Parameters"]["comment"] = "ours"
    table["StorageDescriptor"]["Columns"].append({"Name": "more", "Type": "string"})
    table["StorageDescriptor"]["Location"] += "/"
    table["Parameters"]["projection.event_date.range"] = "2026-01-01,2026-02-01"
    assert FakeGlue(table).dates() == (date(2026, 1, 1), date(2026, 2, 1))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AwsError("glue:GetTable", Kind.MISSING, "EntityNotFoundException"), FinderUnsuited),
        (AwsError("glue:GetTable", Kind.DENIED, "AccessDeniedException"), FinderFailed),
    ],
)
def test_a_table_that_isnt_there_or_cant_be_told(error: AwsError, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        FakeGlue(error).dates()


def test_what_is_known_counts_for_a_minute_and_a_difference_for_no_time() -> None:
    clock, glue = FakeClock(), FakeGlue(copy.deepcopy(TABLE))
    table = LiveTable(clock)
    glue.dates(table)
    clock.now += 59.9
    glue.dates(table)
    assert len(glue.asked) == 1
    _set("StorageDescriptor", "Location", to="s3://elsewhere")(cast(dict[str, Any], glue.table))
    clock.now += 0.1
    for _ in range(2):
        with pytest.raises(FinderUnsuited):
            glue.dates(table)
    glue.table = TABLE
    glue.dates(table)
    assert len(glue.asked) == 4


def test_while_glue_gives_no_answer_nobody_waits_longer_than_they_have_time() -> None:
    asked, let = threading.Event(), threading.Event()

    class Silent(FakeGlue):
        def get_table(self, **about: str) -> dict[str, Any]:
            asked.set()
            let.wait(60)
            return super().get_table(**about)

    glue, table = Silent(TABLE), LiveTable()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(glue.dates, table)
        assert asked.wait(60)
        second = threads.submit(glue.dates, table, 0.01)
        try:
            with pytest.raises(ScanTimeout):
                second.result(60)
        finally:
            let.set()
        assert first.result(60) == glue.dates(table)
    assert len(glue.asked) == 1

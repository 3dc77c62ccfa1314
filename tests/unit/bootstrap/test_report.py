"""What people see of a run: values on one line where that can be, escaped where they could act on a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from extaudit_cli.bootstrap.report import Printer
from extaudit_cli.bootstrap.rows import Outcome, Report, Row
from extaudit_cli.bootstrap.values import differing, is_long, short
from extaudit_cli.colours import Paint

from tests.unit.bootstrap.conftest import Account


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        ([], "nothing"),
        ({}, "nothing"),
        (True, "on"),
        (False, "off"),
        (0, "0"),
        ({"mode": "GOVERNANCE", "days": 1}, "mode GOVERNANCE, days 1"),
        (["uid string", "user string"], "uid string, user string"),
    ],
)
def test_a_value_that_is_short_stands_on_one_line(value: Any, text: str) -> None:
    assert (short(value), is_long(value)) == (text, False)


@pytest.mark.parametrize("value", [[{}], {"a": []}, {"a": "b" * 100}, ["a"] * 50])
def test_one_that_is_nested_or_long_has_lines_of_its_own(value: Any) -> None:
    assert is_long(value)


def test_what_differs_is_shown_line_by_line() -> None:
    assert differing({"a": 1, "b": 2}, {"a": 1, "b": 3}) == ["  {", '    "a": 1,', '-   "b": 2', '+   "b": 3', "  }"]
    assert differing(None, ["a"]) == ["+ [", '+   "a"', "+ ]"]


@pytest.mark.parametrize(
    ("outcomes", "dry_run", "code"),
    [
        ([Outcome.EQUAL], True, 0),
        ([Outcome.EQUAL, Outcome.CREATED, Outcome.SET, Outcome.UPDATED], False, 0),
        ([Outcome.EQUAL, Outcome.WOULD_CREATE], True, 1),
        ([Outcome.DIFFERS], False, 1),
        ([Outcome.MISSING], True, 1),
        ([Outcome.FAILED, Outcome.NOT_LOOKED_AT], True, 1),
        ([Outcome.NOT_TRIED], False, 1),
        ([Outcome.EQUAL, Outcome.NOT_LOOKED_AT], True, 3),
        ([Outcome.EQUAL, Outcome.NOT_LOOKED_AT], False, 1),
    ],
)
def test_the_exit_code_tells_whether_all_is_as_planned(outcomes: list[Outcome], dry_run: bool, code: int) -> None:
    report = Report(dry_run, [Row("workgroup", "", "w", outcome) for outcome in outcomes])
    assert report.exit_code == code


def test_what_is_found_is_escaped_for_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(Paint(False), "heading \x1b[2J")
    hostile = {"team": "\u202ereversed\x1b[2J", "long": "x" * 100}
    printer.row(
        Row("workgroup", "tags", "w", Outcome.DIFFERS, {"a": "b"}, hostile, notes=("tag '\x07'",), remedy="\x1b[0m")
    )
    printer.end(Report(True, []))
    out = capsys.readouterr().out
    assert not set(out) & set("\x1b\x07\u202e")
    assert '-   "team": "\\u202ereversed\\u001b[2J"' in out


def test_a_rule_that_is_found_with_a_date_is_still_evidence(account: Account) -> None:
    plan = account.plan()
    account.run(plan, only=["transient-bucket"])
    rule = {
        "ID": "ExpireQueryResults",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Expiration": {"Date": datetime(2030, 1, 1, tzinfo=UTC)},
    }
    account.sandbox.client("s3").put_bucket_lifecycle_configuration(
        Bucket=plan.buckets[1].name, LifecycleConfiguration={"Rules": [rule]}
    )
    (row,) = [row for row in account.run(plan, only=["transient-bucket"]).rows if row.outcome is Outcome.DIFFERS]
    assert json.loads(json.dumps(row.found))[0]["Expiration"]["Date"].startswith("2030-01-01")

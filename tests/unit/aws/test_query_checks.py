"""The connection test's query: an answer that isn't this query's, or is of another place, is no pass."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from server.storage.aws.checks import query
from server.storage.aws.checks.findings import Findings
from server.storage.aws.checks.query import Question, check_query, question_of
from server.storage.aws.clients import AwsClients
from server.storage.connection import Check, Outcome, Wanted

DATE = "2026-11-27"
WORD = "11111111-2222-3333-4444-555555555555"
WANTED = cast(
    Wanted,
    SimpleNamespace(
        account_id="123456789012",
        test_id=WORD,
        spec=SimpleNamespace(
            athena_workgroup="group",
            glue_database="d",
            glue_table="t",
            athena_results_uri="s3://transient/results",
            audit_events_long_term_uri="s3://longterm/events",
        ),
        table=SimpleNamespace(columns=(("uid", "string"),)),
    ),
)
EMPTY = Question(WORD, DATE, False)
FULL = Question(WORD, DATE, True)


@dataclass(frozen=True)
class Athena:
    """What the services answer; right but for what a test changes."""

    rows: tuple[tuple[str, ...], ...] = (("_col0", "_col1", "_col2"), (WORD, "0", "0"))
    place: str = "s3://transient/results/a.csv"
    body: bytes = f'"{WORD}","0","0"'.encode()
    status: dict[str, str] = field(default_factory=lambda: {"State": "SUCCEEDED"})

    def checks(self, question: Question = EMPTY) -> dict[str, Check]:
        result = {"Rows": [{"Data": [{"VarCharValue": cell} for cell in row]} for row in self.rows]}
        execution = {"Status": self.status, "ResultConfiguration": {"OutputLocation": self.place}}
        athena = SimpleNamespace(
            start_query_execution=lambda **_: {"QueryExecutionId": "q"},
            get_query_execution=lambda **_: {"QueryExecution": execution},
            get_query_results=lambda **_: {"ResultSet": result},
        )
        s3 = SimpleNamespace(get_object=lambda **_: {"Body": io.BytesIO(self.body)})
        told: list[Check] = []
        clients = cast(AwsClients, SimpleNamespace(athena=athena, s3=s3))
        check_query(clients, WANTED, question, Findings(told.append, lambda: False))
        assert tuple(check.name for check in told) == query.OF_QUERIES
        return {check.name: check for check in told}


def failing(checks: dict[str, Check]) -> set[str]:
    found = {name for name, check in checks.items() if check.outcome is Outcome.FAILED}
    assert all(checks[name].remedy and checks[name].wrong_setting for name in found)
    return found


ROW = (WORD, "1", "1")
WRONG: dict[str, tuple[Athena, Question, set[str]]] = {
    "of another query": (Athena(rows=(("a", "b", "c"), ("other", "0", "0"))), EMPTY, {query.RESULTS}),
    "no row": (Athena(rows=(("a", "b", "c"),)), EMPTY, {query.RESULTS}),
    "a row too many": (Athena(rows=(("a", "b", "c"), ROW, ROW)), EMPTY, {query.RESULTS}),
    "a column too few": (Athena(rows=(("a", "b"), ROW[:2])), EMPTY, {query.RESULTS}),
    "no number": (Athena(rows=(("a", "b", "c"), (WORD, "many", "1"))), EMPTY, {query.RESULTS}),
    "rows where S3 has none": (Athena(rows=(("a", "b", "c"), ROW)), EMPTY, {query.TABLE}),
    "no rows where S3 has some": (Athena(), FULL, {query.TABLE}),
    "another prefix": (Athena(place="s3://transient/results-not/a.csv"), EMPTY, {query.PLACE}),
    "another bucket": (Athena(place="s3://other/results/a.csv"), EMPTY, {query.PLACE}),
    "no place": (Athena(place=""), EMPTY, {query.PLACE}),
    "another object": (Athena(body=b"other"), EMPTY, {query.OBJECT}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_fails_by_name(name: str) -> None:
    athena, question, expected = WRONG[name]
    checks = athena.checks(question)
    assert failing(checks) == expected


def test_a_right_answer_passes() -> None:
    for athena, question in ((Athena(), EMPTY), (Athena(rows=(("a", "b", "c"), ROW)), FULL)):
        assert {check.outcome for check in athena.checks(question).values()} == {Outcome.PASSED}


def test_a_query_that_does_not_end_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "_SECONDS", 0.0)
    checks = Athena(status={"State": "QUEUED"}).checks()
    assert failing(checks) == {query.RUN}
    assert "QUEUED" in checks[query.RUN].detail
    assert {checks[name].outcome for name in query.OF_QUERIES[2:]} == {Outcome.NOT_CHECKED}


@pytest.mark.parametrize(
    ("reason", "code", "setting", "says"),
    [
        ("TABLE_NOT_FOUND: line 1:1: Table 'd.t' does not exist", "TABLE_NOT_FOUND", "table", ""),
        ("COLUMN_NOT_FOUND: line 1:8: canary", "COLUMN_NOT_FOUND", "table", ""),
        ("HIVE_S3_ERROR: not authorized to perform: kms:Decrypt canary", "HIVE_S3_ERROR", "rights of the query",
         "It missed kms:Decrypt."),
        ("Insufficient permissions to execute the query. canary", "", "rights of the query", ""),
        ("Unable to verify/create output bucket canary", "", "results", ""),
        ("Access denied when writing output to url: s3://transient", "", "rights of the query", ""),
        ("The output location is not valid: canary", "", "results", ""),
        ("canary", "", "query", ""),
    ],
)  # fmt: skip
def test_why_a_query_failed_is_told_in_our_words(reason: str, code: str, setting: str, says: str) -> None:
    check = Athena(status={"State": "FAILED", "StateChangeReason": reason}).checks()[query.RUN]
    assert (check.outcome, check.aws_error_code, check.wrong_setting) == (Outcome.FAILED, code, setting)
    assert says in check.detail
    assert "canary" not in check.detail + check.remedy
    assert check.remedy


def test_an_object_of_others_is_no_failure_and_is_told() -> None:
    reason = "HIVE_BAD_DATA: Not valid Parquet file: s3://canary"
    check = Athena(status={"State": "FAILED", "StateChangeReason": reason}).checks()[query.RUN]
    assert (check.outcome, check.wrong_setting) == (Outcome.WARNING, "object under the events' prefix")
    assert "canary" not in check.detail + check.remedy


@pytest.mark.parametrize(
    ("key", "date", "objects"),
    [
        ("events/2026-11-27/a-1-2.parquet", DATE, True),
        ("events/2026-11-27/a/b.parquet", None, None),
        ("events/0000-00-00/a.parquet", None, None),
        ("events/other", None, None),
        ("", None, False),
        (None, None, None),
    ],
)
def test_the_date_that_is_asked_for_is_that_of_an_object_which_is_there(
    key: str | None, date: str | None, objects: bool | None
) -> None:
    question = question_of(WANTED, key)
    assert question.objects is objects
    assert date in (None, question.date)
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", question.date)

"""A query by Athena: started, waited for, its result read back, and held against what S3 lists."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from server.storage.aws.checks.findings import Findings
from server.storage.aws.clients import AwsClients
from server.storage.aws.errors import AwsError, Kind, translated
from server.storage.connection import Wanted
from server.storage.spec import S3Location

START: Final = "query.start"
RUN: Final = "query.run"
RESULTS: Final = "query.results"
PLACE: Final = "query.results-place"
TABLE: Final = "query.table"
OBJECT: Final = "query.results-object"
OF_QUERIES: Final = (START, RUN, RESULTS, TABLE, PLACE, OBJECT)

_SECONDS: Final = 60.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
_DATE_OF_KEY: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})/[^/]+\.parquet", re.ASCII)
_OF_AN_OBJECT: Final = "HIVE_BAD_DATA"
"""What Athena says of an object that it can't read as the table has it: where the table is right, that is wrong."""
_CODE_OF_REASON: Final = re.compile(r"([A-Z][A-Z0-9_]{2,63}):", re.ASCII)
_DENIED_REASON: Final = re.compile(
    r"insufficient permissions|permission denied|access ?denied|not authorized|forbidden", re.IGNORECASE
)
_ACTION_OF_REASON: Final = re.compile(r"not authorized to perform:? ([a-z0-9-]{2,20}:[A-Za-z]{3,40})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of Athena: whether there is an event of one date, and the test's own word back."""

    word: str
    date: str
    """`YYYY-MM-DD`: of an object that is there, or today."""
    objects: bool | None
    """Whether S3 lists objects of events; None where it could not be told."""

    def text(self, wanted: Wanted) -> str:
        """As SQL: one row of the date is read, with every column, from one object at most. Word and date have only
        hexadecimal digits and hyphens, the names are of the spec's few characters."""
        names = [f'"{name}"' for name, _ in wanted.table.columns]
        table = f'"{wanted.spec.glue_database}"."{wanted.spec.glue_table}"'
        inner = f"SELECT {', '.join(names)} FROM {table} WHERE event_date = DATE '{self.date}' LIMIT 1"  # noqa: S608
        counts = ", ".join(f"count({name})" for name in names)
        return f"SELECT '{self.word}', count(*), {counts} FROM ({inner}) AS one"  # noqa: S608


def question_of(wanted: Wanted, first_key: str | None) -> Question:
    """The question that fits what S3 lists first of the events; `first_key` as `check_prefix` gives it."""
    today = datetime.now(UTC).date().isoformat()
    if not first_key:
        return Question(wanted.test_id, today, None if first_key is None else False)
    found = _DATE_OF_KEY.fullmatch(
        first_key.removeprefix(S3Location.parse(wanted.spec.audit_events_long_term_uri).keys_prefix)
    )
    if found is None or not _is_date(found[1]):  # others can put what they like there
        return Question(wanted.test_id, today, None)
    return Question(wanted.test_id, found[1], True)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def not_checked(wanted: Wanted, why: str, findings: Findings, *names: str) -> None:
    """Tell that these checks of the query, or all, could not be made."""
    subjects = {
        TABLE: f"{wanted.spec.glue_database}.{wanted.spec.glue_table}",
        PLACE: str(S3Location.parse(wanted.spec.athena_results_uri)),
        OBJECT: str(S3Location.parse(wanted.spec.athena_results_uri)),
    }
    for name in names or OF_QUERIES:
        findings.not_checked(name, subjects.get(name, wanted.spec.athena_workgroup), why)


def check_query(clients: AwsClients, wanted: Wanted, question: Question, findings: Findings) -> S3Location | None:
    """Tell of a query, from its start to its result. Gives the result's object, if it was read and is of this query."""
    query_id = _start(clients, wanted, question, findings)
    if query_id is None:
        not_checked(wanted, "No query could be started.", findings, *OF_QUERIES[1:])
        return None
    execution = _wait(clients, query_id, wanted.spec.athena_workgroup, findings)
    if execution is None:
        not_checked(wanted, "The query gave no result.", findings, *OF_QUERIES[2:])
        return None
    _check_results(clients, query_id, wanted, question, findings)
    return _check_place(clients, execution, wanted, findings)


def _start(clients: AwsClients, wanted: Wanted, question: Question, findings: Findings) -> str | None:
    group = wanted.spec.athena_workgroup
    try:
        started = clients.athena.start_query_execution(
            QueryString=question.text(wanted),
            ClientRequestToken=f"extaudit-connection-test-{wanted.test_id}",
            QueryExecutionContext={"Database": wanted.spec.glue_database},
            # Counts only where the workgroup doesn't say where results go.
            ResultConfiguration={
                "OutputLocation": str(S3Location.parse(wanted.spec.athena_results_uri)),
                "ExpectedBucketOwner": wanted.account_id,
            },
            WorkGroup=group,
        )
    except AwsError as error:
        findings.refused(
            START, group, error, setting="workgroup",
            remedy="See that the workgroup is there, enabled, and of an engine that takes SQL: "
            "`extaudit storage bootstrap` makes it. And that the bucket of results is there, of which the role needs "
            "s3:GetBucketLocation.",
        )  # fmt: skip
        return None
    findings.passed(START, group, "A query is started.")
    return str(started["QueryExecutionId"])


def _wait(clients: AwsClients, query_id: str, group: str, findings: Findings) -> dict[str, Any] | None:
    deadline, pause = time.monotonic() + _SECONDS, _FIRST_PAUSE
    while True:
        findings.go_on()
        try:
            execution: dict[str, Any] = clients.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        except AwsError as error:
            findings.refused(RUN, group, error)
            return None
        status = execution.get("Status") or {}
        state = status.get("State")
        if state == "SUCCEEDED":
            scanned = str((execution.get("Statistics") or {}).get("DataScannedInBytes", ""))
            findings.passed(RUN, group, "The query ran.", scanned_bytes=scanned, query=query_id)
            return execution
        if state in ("FAILED", "CANCELLED"):
            _tell_failed(status, query_id, group, findings)
            return None
        if time.monotonic() > deadline:
            findings.failed(
                RUN, group, f"The query was not done within {_SECONDS:.0f} seconds; its state is {state}.",
                setting="workgroup", remedy="Try again; where it goes on, look at the account's quota of queries.",
                query=query_id,
            )  # fmt: skip
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _tell_failed(status: dict[str, Any], query_id: str, group: str, findings: Findings) -> None:
    """Athena's own text isn't shown; what is known of it is told in ours."""
    reason = str(status.get("StateChangeReason") or "")
    found = _CODE_OF_REASON.match(reason)
    code = found[1] if found else ""
    setting, remedy = "query", "Look the query up in the workgroup's history: Athena says there what it missed."
    denied = _ACTION_OF_REASON.search(reason)
    if code == _OF_AN_OBJECT:
        findings.warning(
            RUN, group, "The query did not succeed: Athena met an object that is none of events. Scans pass it over.",
            setting="object under the events' prefix",
            remedy="See in the workgroup's history which object it is, and who put it there; Athena answers no search "
            "of its date until it is gone. `extaudit events search` names it.",
            query=query_id,
        )  # fmt: skip
        return
    if code in ("TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND", "COLUMN_NOT_FOUND", "HIVE_METASTORE_ERROR", "TYPE_MISMATCH"):
        setting, remedy = "table", "Put right what the checks of the table name; `extaudit storage bootstrap` does it."
    elif denied or _DENIED_REASON.search(reason):
        setting = "rights of the query"
        remedy = (
            "Athena reads with the role's own rights: allow it the table, the objects under the events' prefix and "
            "writing under the results' prefix; `extaudit storage iam-policy` prints the policy."
        )
    elif re.search(r"output (?:location|bucket)|result", reason, re.IGNORECASE):
        setting, remedy = (
            "results",
            "See that the bucket of results is there, and the role may write under its prefix.",
        )
    action = f" It missed {denied[1]}." if denied else ""
    findings.failed(
        RUN, group, f"The query did not succeed.{action}", setting=setting, remedy=remedy, code=code, query=query_id
    )


def _check_results(clients: AwsClients, query_id: str, wanted: Wanted, question: Question, findings: Findings) -> None:
    group, subject = wanted.spec.athena_workgroup, f"{wanted.spec.glue_database}.{wanted.spec.glue_table}"
    try:
        answer = clients.athena.get_query_results(QueryExecutionId=query_id, MaxResults=10)
    except AwsError as error:
        findings.refused(
            RESULTS, group, error, setting="results",
            remedy="See that the role may read under the prefix of the results, and that nothing deletes them at once.",
        )  # fmt: skip
        findings.not_checked(TABLE, subject, "The result could not be read.")
        return
    rows = [[cell.get("VarCharValue", "") for cell in row.get("Data") or []] for row in answer["ResultSet"]["Rows"]]
    row = rows[-1] if len(rows) == 2 else []
    if len(row) != 2 + len(wanted.table.columns) or row[0] != question.word or not row[1].isdecimal():
        findings.failed(
            RESULTS, group, "The result is not the answer to the query.", setting="results",
            remedy="See that `aws.endpoint` is Athena, or keeps its promises.",
        )  # fmt: skip
        findings.not_checked(TABLE, subject, "The result is of no use.")
        return
    findings.passed(RESULTS, group, "The result is read back, and is of this query.")
    _check_count(int(row[1]), question, subject, findings)


def _check_count(count: int, question: Question, subject: str, findings: Findings) -> None:
    facts = {"date": question.date}
    remedy = "Put right location and projection of the table: `extaudit storage bootstrap` does it."
    if question.objects is True and not count:
        detail = f"Athena finds no event of {question.date}, of which S3 has objects: it reads another place."
        findings.failed(TABLE, subject, detail, setting="location", remedy=remedy, **facts)
    elif question.objects is False and count:
        detail = f"Athena finds events of {question.date}, and S3 has none under the prefix: it reads another place."
        findings.failed(TABLE, subject, detail, setting="location", remedy=remedy, **facts)
    elif question.objects is True:
        findings.passed(TABLE, subject, f"Athena reads an event of {question.date}, of which S3 has objects.", **facts)
    elif question.objects is False:
        findings.passed(TABLE, subject, "Athena reads the table, which has no events yet, as S3 has none.", **facts)
    else:
        findings.passed(TABLE, subject, "Athena reads the table; S3's listing has nothing to compare it with.", **facts)


def _check_place(
    clients: AwsClients, execution: dict[str, Any], wanted: Wanted, findings: Findings
) -> S3Location | None:
    planned = S3Location.parse(wanted.spec.athena_results_uri)
    subject = str(planned)
    told = str((execution.get("ResultConfiguration") or {}).get("OutputLocation") or "")
    if not told.startswith(f"s3://{planned.bucket}/{planned.keys_prefix}"):
        findings.failed(
            PLACE, subject, f"Athena put the result at {told or 'an unknown place'}, as the workgroup decides.",
            setting="result location of the workgroup", remedy="`extaudit storage bootstrap` sets it.",
        )  # fmt: skip
        findings.not_checked(OBJECT, subject, "The result is elsewhere.")
        return None
    findings.passed(PLACE, subject, "Athena puts results where they are planned.")
    place = S3Location.parse(told)
    try:
        answer = clients.s3.get_object(Bucket=place.bucket, Key=place.prefix, ExpectedBucketOwner=wanted.account_id)
        with translated("s3:GetObject"):
            body: bytes = answer["Body"].read(65_536)
    except AwsError as error:
        findings.refused(
            OBJECT, subject, error, setting="results" if error.kind is Kind.MISSING else "",
            remedy="See that nothing deletes results at once." if error.kind is Kind.MISSING else "",
        )  # fmt: skip
        return None
    if wanted.test_id.encode() in body:
        findings.passed(
            OBJECT, subject, "The result's object is read, and is of this query; it expires with the others."
        )
        return place
    findings.failed(
        OBJECT, subject, "The result's object is not that of this query.", setting="results",
        remedy="See that nothing else writes under the prefix of the results.",
    )  # fmt: skip
    return None

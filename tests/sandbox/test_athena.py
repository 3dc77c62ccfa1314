"""Athena: moto runs no SQL, and takes anything for a query; the sandbox runs it over what S3 and Glue have."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest

from tests.sandbox.athena_account import AthenaAccount, make_account, parquet, table_input
from tests.sandbox.athena_projection import read_projection
from tests.sandbox.refusing import make_bucket, refused
from tests.sandbox.running import Sandbox


@pytest.fixture(scope="module")
def account(sandbox: Sandbox) -> AthenaAccount:
    return make_account(sandbox, "athena")


@pytest.fixture
def held(sandbox: Sandbox) -> Iterator[None]:
    sandbox.hold_queries(True)
    yield
    sandbox.hold_queries(False)


def test_moto_runs_no_sql(moto: Sandbox) -> None:
    account = make_account(moto, "athena")
    assert account.rows("THIS IS NOT SQL") == []
    assert account.rows("SELECT uid FROM events") == []
    assert account.rows("SELECT uid FROM events WHERE uid = ?") == []
    token = str(uuid.uuid4())
    assert account.start("SELECT 1", ClientRequestToken=token) != account.start("SELECT 1", ClientRequestToken=token)
    assert refused(moto.client("athena").get_query_execution, QueryExecutionId="unknown") == "500"
    assert refused(moto.client("athena").update_work_group, WorkGroup="primary") == "500"


def test_a_query_finds_the_rows(account: AthenaAccount) -> None:
    sql = 'SELECT uid, event_time, event_date, "user", json_extract_scalar(event_data, \'$["a"]["b"]\') FROM events'
    today, yesterday = str(account.today), str(account.today - timedelta(days=1))
    moment = "2026-01-01 00:00:00.123"
    assert sorted(account.rows(sql), key=str) == [
        ["u1", moment, today, "alice", "1"],
        ["u2", moment, today, "alice", None],
        ["u3", moment, yesterday, "alice", None],
    ]


def test_parameters_take_the_place_of_question_marks(account: AthenaAccount) -> None:
    sql = "SELECT uid, '?' FROM events WHERE event_data LIKE ? AND event_date >= ? LIMIT ?"
    assert account.rows(sql, "'%it''s%'", f"DATE '{account.today}'", "5") == [["u2", "?"]]


@pytest.mark.parametrize(
    ("sql", "parameters", "reason"),
    [
        ("SELECT nope FROM events", [], "COLUMN_NOT_FOUND"),
        ("SELECT uid FROM nope", [], "TABLE_NOT_FOUND"),
        ("SELECT uid FROM nope.events", [], "SCHEMA_NOT_FOUND"),
        ("SELECT read_blob(uid) FROM events", [], "FUNCTION_NOT_FOUND"),
        ("SELECT CAST(uid AS bigint) FROM events", [], "TYPE_MISMATCH"),
        ("SELECT uid FROM events WHERE uid = ?", [], "expected 1 but found 0"),
        ("SELECT uid FROM events WHERE uid = ?", ["'a'", "'b'"], "expected 1 but found 2"),
    ],
)
def test_a_wrong_query_fails_and_says_why(account: AthenaAccount, sql: str, parameters: list[str], reason: str) -> None:
    assert reason in account.failure(sql, *parameters)


@pytest.mark.parametrize(
    "sql",
    [
        "THIS IS NOT SQL",
        "SELECT uid FROM",
        "DROP TABLE events",
        "SELECT 'a",
        "SELECT uid::bigint FROM events",
        "SELECT 1; SELECT 2",
        "SELECT uid FROM events WHERE uid ILIKE 'a'",
        "SELECT event_data->>'a' FROM events",
    ],
)
def test_what_athena_cannot_read_is_not_begun(account: AthenaAccount, sql: str) -> None:
    assert refused(account.start, sql) == "InvalidRequestException"


@pytest.mark.parametrize("parameter", ["'a' OR true", "uid", "- -uid", "'" + "a" * 1023 + "'", "1)"])
def test_a_parameter_is_one_literal_of_at_most_1024_characters(account: AthenaAccount, parameter: str) -> None:
    assert refused(account.start, "SELECT uid FROM events WHERE uid = ?", parameter) == "InvalidRequestException"
    assert account.rows("SELECT ?", "'" + "a" * 1022 + "'") == [["a" * 1022]]


def test_results_come_in_pages_with_the_header_first(account: AthenaAccount) -> None:
    query = account.start("SELECT uid, 7 FROM events ORDER BY uid")
    account.ended(query)
    athena = account.sandbox.client("athena")
    pages = list(
        athena.get_paginator("get_query_results").paginate(QueryExecutionId=query, PaginationConfig={"PageSize": 2})
    )
    rows = [[each["VarCharValue"] for each in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]]
    assert [len(page["ResultSet"]["Rows"]) for page in pages] == [2, 2]
    assert rows == [["uid", "_col1"], ["u1", "7"], ["u2", "7"], ["u3", "7"]]
    info = pages[0]["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [(each["Name"], each["Type"]) for each in info] == [("uid", "varchar"), ("_col1", "integer")]
    assert refused(athena.get_query_results, QueryExecutionId=query, MaxResults=1001) == "InvalidRequestException"
    assert refused(athena.get_query_results, QueryExecutionId=query, NextToken="x") == "InvalidRequestException"


def test_results_are_a_file_too(account: AthenaAccount) -> None:
    execution = account.ended(account.start("SELECT uid, event_data, NULL AS n FROM events WHERE uid = 'u2'"))
    url = execution["ResultConfiguration"]["OutputLocation"]
    assert url == f"s3://athena-transient/query_results/{execution['QueryExecutionId']}.csv"
    key = url.removeprefix("s3://athena-transient/")
    s3 = account.sandbox.client("s3")
    body = s3.get_object(Bucket=account.transient, Key=key)["Body"].read()
    assert body == b'"uid","event_data","n"\n"u2","{""a"": ""it\'s""}",\n'
    assert s3.head_object(Bucket=account.transient, Key=f"{key}.metadata")


def test_only_the_dates_asked_for_are_read(account: AthenaAccount) -> None:
    files = account.sandbox.client("s3").list_objects_v2(Bucket=account.long_term, Prefix="events/")["Contents"]
    sizes = {each["Key"].split("/")[1]: each["Size"] for each in files}
    today, yesterday = account.today, account.today - timedelta(days=1)
    for condition, days in (
        ("true", [today, yesterday]),
        (f"event_date = DATE '{today}'", [today]),
        (f"e.event_date BETWEEN DATE '{yesterday}' AND DATE '{yesterday}' AND uid > ''", [yesterday]),
        (f"event_date = DATE '{today}' OR uid = 'u3'", [today, yesterday]),
        ("event_date > DATE '2100-01-01'", []),
    ):
        execution = account.ended(account.start(f"SELECT uid FROM events e WHERE {condition}"))
        assert execution["Statistics"]["DataScannedInBytes"] == sum(sizes[str(day)] for day in days), condition


@pytest.mark.parametrize(
    ("bounds", "found"),
    [
        ("{yesterday},{yesterday}", ["u3"]),
        ("NOW-2MONTHS,NOW+1YEARS", ["u1", "u2", "u3"]),
        ("2020-01-01,2020-12-31", []),
        ("2020-01-01,NOW", ["u1", "u2", "u3"]),
    ],
)
def test_the_projections_range_says_which_dates_there_are(
    account: AthenaAccount, bounds: str, found: list[str]
) -> None:
    bounds = bounds.format(yesterday=account.today - timedelta(days=1))
    glue = account.sandbox.client("glue")
    glue.create_table(DatabaseName="athena", TableInput=table_input(account.long_term, "ranged", range=bounds))
    try:
        assert [uid for (uid,) in account.rows("SELECT uid FROM ranged ORDER BY uid")] == found
    finally:
        glue.delete_table(DatabaseName="athena", Name="ranged")


@pytest.mark.parametrize(
    ("bounds", "first", "last"),
    [
        ("NOW,NOW", "2026-03-31", "2026-03-31"),
        ("NOW-1DAYS,NOW-1DAYS", "2026-03-30", "2026-03-30"),
        ("NOW-1MONTHS,NOW+1YEARS", "2026-02-28", "2027-03-31"),
        ("NOW - 1WEEKS,NOW - 20HOURS", "2026-03-24", "2026-03-30"),
    ],
)
def test_a_range_may_be_told_from_now(bounds: str, first: str, last: str) -> None:
    parameters = table_input("bucket", range=bounds)["Parameters"]
    found = read_projection(parameters, {"event_date": "date"}, "s3://bucket/events", datetime(2026, 3, 31, 12))
    assert found is not None
    assert (str(found.first), str(found.last)) == (first, last)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"range": "tomorrow,NOW"}, "INVALID_TABLE_PROPERTY"),
        ({"range": "NOW"}, "INVALID_TABLE_PROPERTY"),
        ({"type": "enum"}, "INVALID_TABLE_PROPERTY"),
        ({"format": "yyyy/MM/dd"}, "INVALID_TABLE_PROPERTY"),
        ({"interval": "2"}, "NOT_SUPPORTED"),
    ],
)
def test_a_wrong_projection_fails(account: AthenaAccount, settings: dict[str, str], reason: str) -> None:
    glue = account.sandbox.client("glue")
    glue.create_table(DatabaseName="athena", TableInput=table_input(account.long_term, "wrong", **settings))
    try:
        assert reason in account.failure("SELECT uid FROM wrong")
    finally:
        glue.delete_table(DatabaseName="athena", Name="wrong")


def test_files_elsewhere_or_hidden_are_no_events_and_one_that_is_no_parquet_fails(sandbox: Sandbox) -> None:
    account = make_account(sandbox, "athenafiles")
    s3 = sandbox.client("s3")
    for key in (
        "events/_batches/1.json",
        f"events/{account.today}/_x",
        f"events/{account.today}/.y",
        "events/z",
        "other/a",
    ):
        s3.put_object(Bucket=account.long_term, Key=key, Body=b"no Parquet")
    s3.put_object(Bucket=account.long_term, Key=f"events/{account.today}/empty", Body=b"")
    assert len(account.rows("SELECT uid FROM events")) == 3
    s3.put_object(Bucket=account.long_term, Key=f"events/{account.today}/2.parquet", Body=b"no Parquet")
    assert "HIVE_BAD_DATA" in account.failure("SELECT uid FROM events")


def test_a_column_that_is_another_type_in_the_file_fails(sandbox: Sandbox) -> None:
    account = make_account(sandbox, "athenatypes")
    table = table_input(account.long_term)
    table["StorageDescriptor"]["Columns"][0]["Type"] = "bigint"
    sandbox.client("glue").update_table(DatabaseName=account.name, TableInput=table)
    assert "HIVE_BAD_DATA: Field uid's type" in account.failure("SELECT uid FROM events")
    table["StorageDescriptor"]["Columns"][0] = {"Name": "added_later", "Type": "string"}
    sandbox.client("glue").update_table(DatabaseName=account.name, TableInput=table)
    assert account.rows("SELECT DISTINCT added_later FROM events") == [[None]]


def test_the_same_token_is_the_same_query(account: AthenaAccount) -> None:
    token = str(uuid.uuid4())
    query = account.start("SELECT 1", ClientRequestToken=token)
    assert account.start("SELECT 1", ClientRequestToken=token) == query
    assert refused(account.start, "SELECT 2", ClientRequestToken=token) == "InvalidRequestException"


def test_a_query_that_runs_can_be_stopped_and_has_no_results_yet(account: AthenaAccount, held: None) -> None:
    athena = account.sandbox.client("athena")
    query = account.start("SELECT 1")
    assert athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]["State"] == "QUEUED"
    assert refused(athena.get_query_results, QueryExecutionId=query) == "InvalidRequestException"
    athena.stop_query_execution(QueryExecutionId=query)
    assert account.ended(query)["Status"]["State"] == "CANCELLED"
    assert refused(athena.get_query_results, QueryExecutionId=query) == "InvalidRequestException"


def test_an_unknown_query_is_said_to_be_unknown(account: AthenaAccount) -> None:
    athena = account.sandbox.client("athena")
    for ask in (athena.get_query_execution, athena.get_query_results, athena.stop_query_execution):
        assert refused(ask, QueryExecutionId=str(uuid.uuid4())) == "InvalidRequestException"


def test_a_query_can_be_made_to_fail(account: AthenaAccount) -> None:
    account.sandbox.fail("athena:Query", "EXCEEDED_LOCAL_MEMORY_LIMIT")
    assert "EXCEEDED_LOCAL_MEMORY_LIMIT" in account.failure("SELECT 1")
    assert account.rows("SELECT 1") == [["1"]]


def test_a_workgroup_bounds_what_a_query_reads(account: AthenaAccount) -> None:
    athena, name = account.sandbox.client("athena"), "bounded"
    output = {"OutputLocation": f"s3://{account.transient}/query_results/"}
    bounded = {"BytesScannedCutoffPerQuery": 10_000_000, "ResultConfiguration": output}
    athena.create_work_group(Name=name, Configuration=bounded)
    assert refused(athena.create_work_group, Name=name) == "InvalidRequestException"
    day = date(2026, 1, 1)
    big = parquet(*((f"u{n}", base64.b64encode(os.urandom(110_000)).decode()) for n in range(100)))
    assert len(big) > 10_000_000
    account.sandbox.client("s3").put_object(Bucket=account.long_term, Key=f"events/{day}/big.parquet", Body=big)
    try:
        sql = f"SELECT count(*) FROM events WHERE event_date = DATE '{day}'"
        status = account.ended(account.start(sql, WorkGroup=name))["Status"]
        assert (status["State"], status["StateChangeReason"]) == ("CANCELLED", "Bytes scanned limit was exceeded")
        athena.update_work_group(WorkGroup=name, ConfigurationUpdates={"RemoveBytesScannedCutoffPerQuery": True})
        assert account.rows(sql, WorkGroup=name) == [["100"]]
    finally:
        account.sandbox.client("s3").delete_object(Bucket=account.long_term, Key=f"events/{day}/big.parquet")


def test_a_workgroup_that_enforces_its_settings_says_where_results_go(account: AthenaAccount) -> None:
    athena = account.sandbox.client("athena")
    bucket = make_bucket(account.sandbox, "athena-elsewhere")
    elsewhere = {"ResultConfiguration": {"OutputLocation": f"s3://{bucket}/mine"}}

    def output() -> str:
        execution = account.ended(account.start("SELECT 1", **elsewhere))
        return str(execution["ResultConfiguration"]["OutputLocation"])

    assert output().startswith(f"s3://{account.transient}/query_results/")
    athena.update_work_group(WorkGroup="athena", ConfigurationUpdates={"EnforceWorkGroupConfiguration": False})
    assert output().startswith(f"s3://{bucket}/mine/")
    athena.update_work_group(WorkGroup="athena", ConfigurationUpdates={"EnforceWorkGroupConfiguration": True})
    athena.create_work_group(Name="without-settings")
    assert refused(account.start, "SELECT 1", WorkGroup="without-settings") == "InvalidRequestException"
    assert account.rows("SELECT 1", WorkGroup="without-settings", **elsewhere) == [["1"]]


def test_a_workgroup_must_be_there_and_enabled(account: AthenaAccount) -> None:
    athena = account.sandbox.client("athena")
    for ask in (athena.get_work_group, athena.update_work_group):
        assert refused(ask, WorkGroup="there-is-none") == "InvalidRequestException"
    assert refused(account.start, "SELECT 1", WorkGroup="there-is-none") == "InvalidRequestException"
    athena.create_work_group(Name="off", Description="one")
    athena.update_work_group(WorkGroup="off", State="DISABLED", Description="two")
    group = athena.get_work_group(WorkGroup="off")["WorkGroup"]
    assert (group["State"], group["Description"]) == ("DISABLED", "two")
    elsewhere = {"ResultConfiguration": {"OutputLocation": f"s3://{account.transient}/x"}}
    assert refused(account.start, "SELECT 1", WorkGroup="off", **elsewhere) == "InvalidRequestException"

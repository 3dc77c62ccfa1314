"""Athena acts with its caller's rights on S3 and Glue; moto asks for none of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.athena_account import AthenaAccount, make_account
from tests.sandbox.refusing import refused, session_of, set_rights
from tests.sandbox.running import Sandbox

HERE = "us-west-2:123456789012"
SQL = "SELECT uid FROM events"


def rights() -> dict[str, dict[str, Any]]:
    """By name, each needed for a query and its results."""
    long_term, transient = "arn:aws:s3:::rights-long-term", "arn:aws:s3:::rights-transient"
    glue = [f"arn:aws:glue:{HERE}:{rest}" for rest in ("catalog", "database/rights", "table/rights/events")]
    group = f"arn:aws:athena:{HERE}:workgroup/rights"
    return {
        "start": {"Action": "athena:StartQueryExecution", "Resource": group},
        "get": {"Action": "athena:GetQueryExecution", "Resource": group},
        "results": {"Action": "athena:GetQueryResults", "Resource": group},
        "table": {"Action": "glue:GetTable", "Resource": glue},
        "list": {"Action": "s3:ListBucket", "Resource": long_term},
        "read": {"Action": "s3:GetObject", "Resource": f"{long_term}/events/*"},
        "where": {"Action": "s3:GetBucketLocation", "Resource": transient},
        "write": {"Action": "s3:PutObject", "Resource": f"{transient}/query_results/*"},
        "fetch": {"Action": "s3:GetObject", "Resource": f"{transient}/query_results/*"},
    }


@pytest.fixture(scope="module")
def account(sandbox: Sandbox) -> AthenaAccount:
    return make_account(sandbox, "rights")


@pytest.fixture(scope="module")
def athena(account: AthenaAccount) -> Any:
    return account.sandbox.client("athena", credentials=session_of(account.sandbox, "athena-rights"))


def test_the_rights_needed_are_enough(account: AthenaAccount, athena: Any) -> None:
    set_rights(account.sandbox, "athena-rights", *rights().values())
    account.sandbox.clear_calls()
    query = account.start(SQL, athena=athena)
    assert account.ended(query, athena)["Status"]["State"] == "SUCCEEDED"
    assert athena.get_query_results(QueryExecutionId=query)
    delegated = {call.action for call in account.sandbox.calls() if call.via == "athena" and call.outcome == "OK"}
    assert delegated == {"glue:GetTable", "s3:ListBucket", "s3:GetObject", "s3:GetBucketLocation", "s3:PutObject"}


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("table", "is not authorized to perform: glue:GetTable"),
        ("list", "PERMISSION_DENIED: Permission denied on S3 path: s3://rights-long-term"),
        ("read", "PERMISSION_DENIED: Permission denied on S3 path: s3://rights-long-term/events/"),
        ("write", "Access denied when writing output to url: s3://rights-transient/query_results/"),
    ],
)
def test_without_a_right_on_the_data_the_query_fails(
    account: AthenaAccount, athena: Any, missing: str, reason: str
) -> None:
    left = {name: each for name, each in rights().items() if name != missing}
    set_rights(account.sandbox, "athena-rights", *left.values())
    status = account.ended(account.start(SQL, athena=athena))["Status"]
    assert status["State"] == "FAILED"
    assert reason in status["StateChangeReason"]


@pytest.mark.parametrize("arn", ["catalog", "database/rights", "table/rights/events"])
def test_the_table_needs_its_catalog_and_database(account: AthenaAccount, athena: Any, arn: str) -> None:
    given = rights()
    given["table"]["Resource"] = [each for each in given["table"]["Resource"] if not each.endswith(f":{arn}")]
    set_rights(account.sandbox, "athena-rights", *given.values())
    status = account.ended(account.start(SQL, athena=athena))["Status"]
    assert f"on resource: arn:aws:glue:{HERE}:{arn}" in status["StateChangeReason"]


def test_without_a_right_on_athena_or_the_output_nothing_begins(account: AthenaAccount, athena: Any) -> None:
    for missing, code in (("start", "AccessDeniedException"), ("where", "InvalidRequestException")):
        left = {name: each for name, each in rights().items() if name != missing}
        set_rights(account.sandbox, "athena-rights", *left.values())
        assert refused(account.start, SQL, athena=athena) == code


def test_results_are_read_by_whoever_may_read_their_file(account: AthenaAccount, athena: Any) -> None:
    query = account.start(SQL)
    account.ended(query)
    for missing in ("results", "fetch"):
        left = {name: each for name, each in rights().items() if name != missing}
        set_rights(account.sandbox, "athena-rights", *left.values())
        assert refused(athena.get_query_results, QueryExecutionId=query) == "AccessDeniedException"


def test_moto_asks_for_no_rights_on_the_data(moto: Sandbox) -> None:
    account = make_account(moto, "rights")
    moto.client("s3").put_bucket_policy(
        Bucket="rights-long-term",
        Policy='{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}',
    )
    assert account.ended(account.start(SQL))["Status"]["State"] == "SUCCEEDED"

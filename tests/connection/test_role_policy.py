"""The role holds exactly the page's policy: with it everything passes, without any action a named check fails."""

from __future__ import annotations

import pytest

from server.external_storage.iam_policy import iam_policy
from server.storage.connection import Outcome
from tests.account_under_test import Account, named, spec_named

NOT_NEEDED = {"glue:UpdateTable"}
"""Of the page's policy; docs/connection-test.md says why the service never asks for it."""
NO_RIGHTS = {"sts:AssumeRoleWithWebIdentity", "sts:GetCallerIdentity"}
"""Calls that no policy of the role is asked about."""

FAILING: dict[str, set[str]] = {
    "s3:PutObject": {"prefix.write", "query.run"},
    "s3:GetObject": {"prefix.read", "query.results", "query.results-object"},
    "s3:GetObjectVersion": {"prefix.read-version"},
    "s3:ListMultipartUploadParts": {"prefix.list-parts"},
    "s3:AbortMultipartUpload": {"prefix.abort"},
    "s3:ListBucket": {"prefix.list-objects", "query.run"},
    "s3:ListBucketVersions": {"prefix.list-versions"},
    "s3:ListBucketMultipartUploads": {"prefix.list-uploads"},
    "s3:GetBucketOwnershipControls": {"bucket.ownership"},
    "s3:GetBucketPublicAccessBlock": {"bucket.public-access"},
    "s3:GetBucketObjectLockConfiguration": {"bucket.object-lock"},
    "s3:GetBucketVersioning": {"bucket.versioning"},
    "s3:GetBucketLocation": {"bucket.region", "query.start"},
    "athena:StartQueryExecution": {"query.start"},
    "athena:GetQueryResults": {"query.results"},
    "athena:GetQueryExecution": {"query.run"},
    "glue:GetTable": {"table.exists"},
    "glue:GetTableVersion": {"table.version"},
    "glue:GetTableVersions": {"table.versions"},
    "glue:UpdateTable": set(),
}


def actions() -> list[str]:
    policy = iam_policy(spec_named("any"), "aws", "123456789012")
    return [action for statement in policy["Statement"] for action in statement["Action"]]


def test_the_table_has_every_action_of_the_policy() -> None:
    assert list(FAILING) == actions()


def test_with_the_policy_everything_passes_and_nothing_is_asked_that_it_does_not_have(account: Account) -> None:
    account.sandbox.clear_calls()
    checks = account.probe()
    assert {check.outcome for check in checks} == {Outcome.PASSED}
    calls = {call.action for call in account.sandbox.calls() if call.caller.endswith("/extaudit") and not call.via}
    assert set(actions()) - calls == NOT_NEEDED
    assert calls - set(actions()) <= NO_RIGHTS


@pytest.mark.parametrize("action", FAILING)
def test_without_an_action_a_named_check_fails_and_names_it(account: Account, action: str) -> None:
    policy = account.policy
    for statement in policy["Statement"]:
        statement["Action"] = [each for each in statement["Action"] if each != action]
    account.put_policy(policy)
    try:
        checks = account.check()
    finally:
        account.put_policy(account.policy)
    assert named(checks, Outcome.FAILED) == FAILING[action]
    denied = [check for check in checks if check.outcome is Outcome.FAILED and check.missing_action]
    assert {check.missing_action for check in denied} <= {action, "athena:GetQueryResults"}
    assert not FAILING[action] or action in {check.missing_action for check in denied}
    assert all(check.aws_error_code and check.aws_request_id and check.remedy for check in denied)

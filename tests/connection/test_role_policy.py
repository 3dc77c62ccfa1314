"""The role holds exactly the page's policy: with it everything passes, without any action a named check fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.storage.connection import Outcome
from tests.account_under_test import Account, named
from tests.connection.sent_by_suite import NO_RIGHTS, NOT_NEEDED, main, policy_actions, problems
from tests.sandbox.calls import Call, Calls
from tests.sandbox.sent import VARIABLE, Sent, sent_folder

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


def test_the_table_has_every_action_of_the_policy() -> None:
    assert list(FAILING) == policy_actions()


def test_with_the_policy_everything_passes_and_nothing_is_asked_that_it_does_not_have(account: Account) -> None:
    account.sandbox.clear_calls()
    checks = account.probe()
    assert {check.outcome for check in checks} == {Outcome.PASSED}
    calls = {call.action for call in account.sandbox.calls() if call.caller.endswith("/extaudit") and not call.via}
    assert set(policy_actions()) - calls == NOT_NEEDED
    assert calls - set(policy_actions()) <= NO_RIGHTS


NEEDED = {(action, "") for action in set(policy_actions()) - NOT_NEEDED}


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (NEEDED, []),
        (NEEDED | {("kms:Decrypt", ""), ("sts:GetCallerIdentity", ""), ("glue:GetTable", "athena")}, []),
        (NEEDED | {("s3:DeleteObject", "")}, ["s3:DeleteObject, which its role's policy does not have"]),
        (NEEDED | {("glue:UpdateTable", "")}, ["glue:UpdateTable, which docs"]),
        (NEEDED - {("glue:GetTable", "")} | {("glue:GetTable", "athena")}, ["no test had the service send glue:"]),
    ],
)
def test_what_a_whole_suite_sends_is_held_to_the_policy(sent: set[tuple[str, str]], says: list[str]) -> None:
    found = list(problems(sent))
    assert len(found) == len(says)
    assert all(part in line for line, part in zip(found, says, strict=True))


def test_a_sandbox_notes_what_sessions_of_the_service_send(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, other = ("arn:aws:sts::1:assumed-role/audit/extaudit", "arn:aws:sts::1:assumed-role/audit/test")
    calls = Calls(Sent(sent_folder({VARIABLE: str(tmp_path)})))
    calls.add(Call("s3", "PutObject", "s3:PutObject", "r", ours, "AccessDenied"))
    calls.add(Call("s3", "DeleteObject", "s3:DeleteObject", "r", other, "OK"))
    for action in [*policy_actions(), "s3:PutObject"]:
        calls.add(Call("s3", "Any", action, "r", ours, "OK"))
    assert main(tmp_path) == 1
    [wrong] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("the service sent glue")]
    assert "never" in wrong
    assert len(next(tmp_path.iterdir()).read_text().splitlines()) == len(policy_actions())
    assert sent_folder({}) is None


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

"""The rights that docs/bootstrap.md asks for are enough, and each of them is needed: without it, it is named."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from extaudit_cli.bootstrap.rows import Outcome, Report
from extaudit_client import InfrastructurePlan

from tests.unit.bootstrap.conftest import ROLE, Account

PAGE = Path(__file__).parents[3] / "docs" / "bootstrap.md"
(POLICY,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)


def actions() -> list[str]:
    found: list[str] = []
    for statement in json.loads(POLICY)["Statement"]:
        given = statement["Action"]
        found += given if isinstance(given, list) else [given]
    return found


def policy(plan: InfrastructurePlan, without: str = "") -> str:
    """The page's policy for a plan, without one action."""
    text = POLICY
    for name, value in {
        "long-term bucket": plan.buckets[0].name,
        "transient bucket": plan.buckets[1].name,
        "region": plan.region,
        "account": plan.account_id,
        "workgroup": plan.workgroup.name,
        "database": plan.glue.database,
        "table": plan.glue.table,
        "role": ROLE,
    }.items():
        text = text.replace(f"<{name}>", value)
    assert "<" not in text
    document: dict[str, Any] = json.loads(text)
    for statement in document["Statement"]:
        given = statement["Action"]
        statement["Action"] = [each for each in (given if isinstance(given, list) else [given]) if each != without]
    document["Statement"] = [each for each in document["Statement"] if each["Action"]]
    return json.dumps(document)


Run = Callable[[Account, InfrastructurePlan, str, Sequence[str]], Report]
"""Account, plan, profile of who runs it, and the things that it is about; none for all."""


def build(account: Account, plan: InfrastructurePlan, profile: str, only: Sequence[str] = ()) -> Report:
    return account.run(plan, profile=profile, only=only)


def look(account: Account, plan: InfrastructurePlan, profile: str, only: Sequence[str] = ()) -> Report:
    """At what is there already."""
    account.run(plan, only=only)
    return account.run(plan, dry_run=True, profile=profile, only=only)


def change(account: Account, plan: InfrastructurePlan, profile: str, only: Sequence[str] = ()) -> Report:
    """What is otherwise in what can be changed after its making."""
    only = ["workgroup", "glue-database", "glue-table"]
    account.run(plan, only=only)
    glue = dataclasses.replace(plan.glue, database_description="otherwise", location="s3://otherwise")
    workgroup = dataclasses.replace(plan.workgroup, scan_limit_bytes=10_000_000)
    other = dataclasses.replace(plan, glue=glue, workgroup=workgroup)
    return account.run(other, only=only, updates=only, profile=profile)


def bare(account: Account, plan: InfrastructurePlan, profile: str, only: Sequence[str] = ()) -> Report:
    """A bucket without tags, which may be one that a run left half made."""
    account.sandbox.fail("PutBucketTagging", "AccessDenied", status=403)
    account.run(plan, only=["transient-bucket"])
    return account.run(plan, only=["transient-bucket"], profile=profile)


def owner(account: Account, plan: InfrastructurePlan, profile: str, only: Sequence[str] = ()) -> Report:
    """Of a bucket that may not be looked at, which then is another account's."""
    bucket = {"LocationConstraint": plan.region}
    s3 = account.sandbox.client("s3", credentials=account.sandbox.other_account("999999999999"))
    s3.create_bucket(Bucket=plan.buckets[1].name, CreateBucketConfiguration=bucket)
    return account.run(plan, only=["transient-bucket"], profile=profile)


def nobody(account: Account, plan: InfrastructurePlan, profile: str, only: Sequence[str] = ()) -> Report:
    """A role that isn't there has no policy either."""
    return account.run(plan, only=["role-policy"], dry_run=True, profile=profile)


def unblocked(account: Account, plan: InfrastructurePlan, profile: str, only: Sequence[str] = ()) -> Report:
    """A bucket whose block of public access somebody took away; AWS gives every new bucket one."""
    account.run(plan, only=["transient-bucket"])
    account.sandbox.client("s3").delete_public_access_block(Bucket=plan.buckets[1].name)
    return account.run(plan, only=["transient-bucket"], updates=["transient-bucket"], profile=profile)


def encrypted_otherwise(account: Account, plan: InfrastructurePlan, profile: str, only: Sequence[str] = ()) -> Report:
    """A bucket that somebody has encrypted with a key; AWS encrypts every new bucket without one."""
    account.run(plan, only=["transient-bucket"])
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    account.sandbox.client("s3").put_bucket_encryption(
        Bucket=plan.buckets[1].name, ServerSideEncryptionConfiguration={"Rules": [rule]}
    )
    return account.run(plan, only=["transient-bucket"], updates=["transient-bucket"], profile=profile)


SCENES: dict[str, Run] = {
    "s3:ListAllMyBuckets": owner,
    "s3:ListBucketVersions": bare,
    "s3:PutBucketPublicAccessBlock": unblocked,
    "s3:PutEncryptionConfiguration": encrypted_otherwise,
    "athena:UpdateWorkGroup": change,
    "glue:UpdateDatabase": change,
    "glue:UpdateTable": change,
    "iam:GetRole": nobody,
}
"""Action → the run that needs it, where neither building nor looking does."""
NOT_NAMED = {"s3:ListAllMyBuckets": "transient-bucket", "s3:ListBucketVersions": "transient-bucket.tags"}
"""Action → what isn't done without it, where it is only asked to know more."""


THINGS = {
    "s3": ["transient-bucket"],
    "athena": ["workgroup"],
    "glue": ["glue-database", "glue-table"],
    "iam": ["role-policy"],
}
"""Service → the things whose building and comparison need its actions."""


def scene(action: str) -> Run:
    return SCENES.get(action, look if re.match(r"\w+:(Get|List)", action) else build)


@pytest.mark.parametrize(
    "run", [build, look, change, bare, unblocked, encrypted_otherwise], ids=lambda run: run.__name__
)
def test_the_rights_of_the_page_are_enough(account: Account, run: Run) -> None:
    plan = account.plan()
    report = run(account, plan, account.allow(policy(plan)), ())
    assert report.exit_code == 0


@pytest.mark.parametrize("action", actions())
def test_each_right_that_is_missing_is_named(account: Account, action: str) -> None:
    plan = account.plan()
    things = ["long-term-bucket"] if "ObjectLock" in action else THINGS[action.partition(":")[0]]
    report = scene(action)(account, plan, account.allow(policy(plan, action)), things)
    assert report.exit_code != 0
    troubled = [row for row in report.rows if row.outcome in (Outcome.FAILED, Outcome.NOT_LOOKED_AT)]
    if action in NOT_NAMED:
        assert NOT_NAMED[action] in {row.name for row in report.rows if row.outcome is not Outcome.EQUAL}
    else:
        assert troubled
        assert all(row.action == action or action in row.detail for row in troubled)


def test_nothing_else_is_ever_asked_for(account: Account) -> None:
    """All that a run sends, whatever it finds, is on the page."""
    plan = account.plan()
    account.sandbox.clear_calls()
    for run in (build, look):
        run(account, plan, "administrator")
    sent = {call.action for call in account.sandbox.calls()}
    assert sent <= set(actions())

"""A run builds what is planned, a second one changes nothing, and a dry run never does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from extaudit_cli.bootstrap.patience import Patience
from extaudit_cli.bootstrap.rows import Outcome
from extaudit_cli.bootstrap.run import names, things

from server.storage.spec import ObjectLockMode, StorageOptions
from tests.unit.bootstrap.conftest import REGION, ROLE, Account, account_of, outcomes, sandbox_with_role

KEY = "arn:aws:kms:us-west-2:123456789012:key/11111111-2222-3333-4444-555555555555"
ALL = ("long-term-bucket", "transient-bucket", "workgroup", "glue-database", "glue-table", "role-policy")


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
def test_a_second_run_changes_nothing(account: Account, region: str) -> None:
    plan = account.plan(region=region)
    first = account.run(plan)
    assert first.exit_code == 0
    assert outcomes(first, Outcome.CREATED) == set(ALL)
    account.sandbox.clear_calls()
    second = account.run(plan)
    assert (second.exit_code, {row.outcome for row in second.rows}) == (0, {Outcome.EQUAL})
    assert len(account.sandbox.calls()) > 20
    assert account.changes() == []


def test_govcloud_is_another_partition(tmp_path: Path) -> None:
    with sandbox_with_role("us-gov-west-1") as sandbox, account_of(sandbox, tmp_path) as account:
        plan = account.plan(region="us-gov-west-1")
        assert plan.role_policy.role_arn.startswith("arn:aws-us-gov:")
        assert account.run(plan).exit_code == 0
        assert {row.outcome for row in account.run(plan).rows} == {Outcome.EQUAL}


def test_a_dry_run_shows_the_whole_plan_and_changes_nothing(account: Account) -> None:
    plan = account.plan()
    account.sandbox.clear_calls()
    report = account.run(plan, dry_run=True)
    assert account.changes() == []
    planned = {
        f"{thing.name}.{name}": value
        for thing in things(account.admin(), plan, Patience())
        for name, value in thing.planned.items()
        if value is not None
    }
    shown = {row.name: row.planned for row in report.rows if row.outcome is Outcome.WOULD_SET}
    assert shown == planned
    assert outcomes(report, Outcome.WOULD_CREATE) == set(ALL)
    assert report.exit_code == 1


@pytest.mark.parametrize(
    "options",
    [
        StorageOptions(kms_key_arn=KEY),
        StorageOptions(object_lock_mode=ObjectLockMode.COMPLIANCE, object_lock_days=30, retention_days=60),
        StorageOptions(object_lock_mode=ObjectLockMode.NONE, object_lock_days=0, retention_days=400, results_days=7),
    ],
)
def test_what_was_built_is_equal_to_any_plan_that_an_administrator_may_choose(
    account: Account, options: StorageOptions
) -> None:
    plan = account.plan(options=options)
    assert account.run(plan).exit_code == 0
    again = account.run(plan, dry_run=True)
    assert {row.outcome for row in again.rows} == {Outcome.EQUAL}


def test_what_is_built_is_what_aws_then_says(account: Account) -> None:
    """Read with calls of the test's own, not with those that compare."""
    plan = account.plan()
    account.run(plan)
    s3, longterm = account.sandbox.client("s3"), plan.buckets[0].name
    lock = s3.get_object_lock_configuration(Bucket=longterm)["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"].items() >= {"Mode": "GOVERNANCE", "Days": 1460}.items()
    assert s3.get_bucket_versioning(Bucket=longterm)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=longterm)["PublicAccessBlockConfiguration"].values())
    owner = s3.get_bucket_ownership_controls(Bucket=longterm)["OwnershipControls"]["Rules"]
    assert owner == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert json.loads(s3.get_bucket_policy(Bucket=longterm)["Policy"])["Statement"][0]["Effect"] == "Deny"
    assert s3.get_bucket_location(Bucket=longterm)["LocationConstraint"] == REGION
    group = account.sandbox.client("athena").get_work_group(WorkGroup=plan.workgroup.name)["WorkGroup"]
    configuration = group["Configuration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["BytesScannedCutoffPerQuery"] == 1_000_000_000_000
    glue = account.sandbox.client("glue")
    table = glue.get_table(DatabaseName=plan.glue.database, Name=plan.glue.table)["Table"]
    assert table["StorageDescriptor"]["Location"] == plan.glue.location
    assert table["Parameters"]["projection.event_date.range"] == "1970-01-01,NOW+2DAYS"
    policy = account.sandbox.client("iam").get_role_policy(RoleName=ROLE, PolicyName=plan.role_policy.policy_name)
    assert policy["PolicyDocument"] == json.loads(plan.role_policy.policy)


def test_names_are_of_things_and_of_their_attributes(account: Account) -> None:
    known = names(things(account.admin(), account.plan(), Patience()))
    assert len(set(known)) == len(known)
    assert {"workgroup", "workgroup.scan-limit", "long-term-bucket.other-lifecycle-rules"} <= set(known)


@pytest.mark.parametrize(
    "refused", [["PutBucketTagging"], ["PutBucketTagging", "PutBucketPolicy", "PutBucketLifecycleConfiguration"]]
)
def test_a_bucket_that_a_run_left_half_made_is_completed_by_the_next(account: Account, refused: list[str]) -> None:
    plan = account.plan()
    for operation in refused:
        account.sandbox.fail(operation, "AccessDenied", status=403)
    first = account.run(plan, only=["transient-bucket"])
    failed = outcomes(first, Outcome.FAILED)
    assert (first.exit_code, len(failed)) == (1, len(refused))
    second = account.run(plan, only=["transient-bucket"])
    assert (second.exit_code, outcomes(second, Outcome.SET)) == (0, failed)

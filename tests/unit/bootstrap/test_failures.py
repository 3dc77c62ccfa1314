"""What AWS refuses is told by name, hides nothing else, and a bucket that settles is waited for within bounds."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import cast
from uuid import uuid4

import pytest
from extaudit_cli.aws.admin import Admin
from extaudit_cli.bootstrap.bucket_aspects import BucketCalls, aspects
from extaudit_cli.bootstrap.patience import Patience
from extaudit_cli.bootstrap.rows import Outcome
from extaudit_cli.bootstrap.things import State

from tests.planned_infrastructure import plan, spec
from tests.unit.bootstrap.conftest import REGION, Account, outcomes


def test_a_step_that_fails_hides_no_other(account: Account) -> None:
    plan = account.plan()
    account.sandbox.fail("athena:CreateWorkGroup", "AccessDeniedException", status=403)
    report = account.run(plan)
    (failed,) = [row for row in report.rows if row.outcome is Outcome.FAILED]
    assert (failed.name, failed.code, failed.action) == (
        "workgroup",
        "AccessDeniedException",
        "athena:CreateWorkGroup",
    )
    assert "lack athena:CreateWorkGroup" in failed.detail
    assert outcomes(report, Outcome.CREATED) >= {"long-term-bucket", "glue-table", "role-policy"}
    assert report.exit_code == 1
    assert account.run(plan).exit_code == 0


def test_a_table_is_not_tried_without_its_database(account: Account) -> None:
    account.sandbox.fail("glue:CreateDatabase", "AccessDeniedException", status=403)
    report = account.run(account.plan(), only=["glue-database", "glue-table"])
    assert [(row.name, row.outcome) for row in report.rows] == [
        ("glue-database", Outcome.FAILED),
        ("glue-table", Outcome.NOT_TRIED),
    ]


def test_without_the_role_the_next_step_is_named(account: Account) -> None:
    plan = account.plan()
    absent = dataclasses.replace(plan.role_policy, role_arn="arn:aws:iam::123456789012:role/nobody")
    report = account.run(dataclasses.replace(plan, role_policy=absent), only=["role-policy"])
    (row,) = report.rows
    assert row.outcome is Outcome.FAILED
    assert "run `extaudit integrations aws-setup`" in row.detail


@pytest.mark.parametrize("code", ["OperationAborted", "NoSuchBucket"])
def test_a_bucket_that_settles_is_waited_for(account: Account, code: str) -> None:
    account.pauses.clear()
    account.sandbox.fail("s3:PutBucketPolicy", code, status=409 if code == "OperationAborted" else 404, times=3)
    assert account.run(account.plan(), only=["transient-bucket"]).exit_code == 0
    assert account.pauses == [1.0] * 3


def test_a_bucket_that_never_settles_is_told(account: Account) -> None:
    account.sandbox.fail("s3:PutBucketPolicy", "OperationAborted", status=409, times=100)
    report = account.run(account.plan(), only=["transient-bucket"])
    account.sandbox.clear_faults()
    (failed,) = [row for row in report.rows if row.outcome is Outcome.FAILED]
    assert (failed.name, failed.code) == ("transient-bucket.policy", "OperationAborted")


def test_a_bucket_that_is_not_seen_at_once_after_its_making_is_looked_for_again(account: Account) -> None:
    """The first look is the one before it is made."""
    account.pauses.clear()
    account.sandbox.fail("HeadBucket", "NoSuchBucket", status=404, times=3)
    assert account.run(account.plan(), only=["transient-bucket"]).exit_code == 0
    assert account.pauses == [1.0] * 2


def test_object_lock_that_s3_does_not_show_at_once_does_not_stand_in_the_way_of_what_was_just_made(
    account: Account,
) -> None:
    code = "ObjectLockConfigurationNotFoundError"
    account.sandbox.fail("GetObjectLockConfiguration", code, status=404, times=3)
    account.pauses.clear()
    assert account.run(account.plan(), only=["long-term-bucket"]).exit_code == 0
    assert len(account.pauses) == 3


def test_an_encryption_rule_that_names_no_algorithm_is_none_of_encryption(account: Account) -> None:
    """As S3 answers where somebody has only forbidden keys of the client's own."""

    class Answering:
        def find(self, *_: object, **__: object) -> object:
            return {"ServerSideEncryptionConfiguration": {"Rules": [{"BlockedEncryptionTypes": {}}]}}

    plan = account.plan().buckets[0]
    calls = BucketCalls(cast(Admin, Answering()), plan.name, "123456789012", REGION, Patience())
    (encryption,) = [each for each in aspects(calls, plan) if each.name == "encryption"]
    assert encryption.look().state is State.ABSENT


def test_what_may_not_be_read_is_named_and_not_changed(account: Account) -> None:
    plan = account.plan()
    account.run(plan)
    allowed = {"s3:Get*", "s3:List*", "athena:Get*", "athena:List*", "glue:Get*", "iam:Get*"}
    limited = account.allow_actions(allowed - {"iam:Get*", "athena:List*"})
    report = account.run(plan, dry_run=True, profile=limited)
    unseen = {row.name: row.action for row in report.rows if row.outcome is not Outcome.EQUAL}
    assert unseen == {"workgroup.tags": "athena:ListTagsForResource", "role-policy": "iam:GetRolePolicy"}
    assert report.exit_code == 3
    report = account.run(plan, updates=["role-policy", "workgroup"], profile=limited)
    assert outcomes(report, Outcome.NOT_LOOKED_AT) == set(unseen)
    assert report.exit_code == 1


class TestObstacles:
    """Because of these nothing at all is changed, and that is told first."""

    def refused(self, account: Account, bucket: str, unique: str) -> str:
        plan = account.plan(unique)
        account.sandbox.clear_calls()
        report = account.run(plan)
        assert account.changes() == []
        (failed,) = [row for row in report.rows if row.outcome is Outcome.FAILED]
        assert failed.name == bucket
        assert failed.remedy
        assert {row.outcome for row in report.rows} == {Outcome.FAILED, Outcome.NOT_TRIED}
        assert report.exit_code == 1
        assert failed.name in outcomes(account.run(plan, dry_run=True), Outcome.FAILED)
        return failed.detail

    def make(
        self, account: Account, name: str, region: str = REGION, credentials: dict[str, str] | None = None
    ) -> None:
        s3 = account.sandbox.client("s3", region=region, credentials=credentials)
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})

    def test_a_bucket_of_another_account(self, account: Account) -> None:
        unique = uuid4().hex[:12]
        self.make(account, f"transient-{unique}", credentials=account.sandbox.other_account("999999999999"))
        assert "of another account" in self.refused(account, "transient-bucket", unique)

    def test_a_long_term_bucket_without_object_lock(self, account: Account) -> None:
        unique = uuid4().hex[:12]
        self.make(account, f"longterm-{unique}")
        assert "has no object lock" in self.refused(account, "long-term-bucket", unique)

    def test_a_transient_bucket_that_keeps_another_storage_s_events(self, account: Account) -> None:
        """It has the cluster's tags, so a rule by which all in it expires would be set unasked."""
        first, unique = account.plan(), uuid4().hex[:12]
        account.run(first, only=["long-term-bucket"])
        bucket = first.buckets[0].name
        other = replace(spec(unique), athena_results_uri=f"s3://{bucket}/events")
        account.sandbox.clear_calls()
        report = account.run(plan(other, partition=account.sandbox.partition))
        assert account.changes() == []
        (failed,) = [row for row in report.rows if row.outcome is Outcome.FAILED]
        assert (failed.name, failed.subject) == ("transient-bucket", bucket)
        assert "has object lock" in failed.detail

    def test_a_bucket_in_another_region(self, account: Account) -> None:
        unique = uuid4().hex[:12]
        self.make(account, f"transient-{unique}", region="eu-central-1")
        assert "is in eu-central-1, not in us-west-2" in self.refused(account, "transient-bucket", unique)


def test_whose_a_bucket_is_that_may_not_be_looked_at(account: Account) -> None:
    """Without s3:ListAllMyBuckets nobody can tell; with it, the right that is missing is."""
    plan = account.plan()
    account.run(plan, only=["transient-bucket"])
    for allowed, says in (({"s3:ListAllMyBuckets"}, ""), ({"iam:GetRole"}, "or else the bucket is of another account")):
        report = account.run(plan, only=["transient-bucket"], profile=account.allow_actions(allowed))
        (row,) = report.rows
        assert (row.outcome, row.action) == (Outcome.NOT_LOOKED_AT, "s3:ListBucket")
        assert says in row.detail


def test_every_call_about_a_bucket_says_whose_it_must_be(account: Account) -> None:
    """With rights on everything, and a plan of another account than the bucket's."""
    plan = account.plan()
    account.run(plan, only=["transient-bucket"])
    account.sandbox.client("s3").delete_bucket_policy(Bucket=plan.buckets[1].name)
    account.sandbox.clear_calls()
    report = account.run(dataclasses.replace(plan, account_id="999999999999"), only=["transient-bucket"])
    assert account.changes() == []
    assert [(row.name, row.outcome) for row in report.rows] == [("transient-bucket", Outcome.NOT_LOOKED_AT)]

"""What the user has is left as it is; where a change of it is asked for, all else of it stays."""

from __future__ import annotations

import json
from typing import Any, cast
from uuid import uuid4

from extaudit_cli.aws.admin import Admin
from extaudit_cli.bootstrap.bucket import Bucket
from extaudit_cli.bootstrap.bucket_aspects import BucketCalls
from extaudit_cli.bootstrap.bucket_rules import LifecycleAspect
from extaudit_cli.bootstrap.patience import Patience
from extaudit_cli.bootstrap.rows import Outcome
from extaudit_cli.bootstrap.things import State
from extaudit_client import InfrastructurePlan

from tests.unit.bootstrap.conftest import REGION, ROLE, Account, outcomes

RULE = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "reports/"}, "Expiration": {"Days": 9}}
STATEMENT = {"Sid": "Theirs", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}
ASPECTS = {
    f"transient-bucket.{name}"
    for name in ("tags", "public-access-block", "ownership", "versioning", "policy", "lifecycle")
}


def their_bucket(account: Account, unique: str) -> InfrastructurePlan:
    """A plan whose transient bucket the user has already, with tags, a rule and a policy, and an object in it."""
    plan, s3 = account.plan(unique), account.sandbox.client("s3")
    name = plan.buckets[1].name
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.delete_bucket_ownership_controls(Bucket=name)
    s3.delete_public_access_block(Bucket=name)
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "team", "Value": "reports"}]})
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [RULE]})
    policy = {
        "Version": "2012-10-17",
        "Statement": [STATEMENT | {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}],
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    s3.put_object(Bucket=name, Key="reports/1", Body=b"theirs")
    return plan


def test_a_bucket_of_the_user_is_left_as_it_is(account: Account) -> None:
    plan = their_bucket(account, uuid4().hex[:12])
    account.sandbox.clear_calls()
    report = account.run(plan, only=["transient-bucket"])
    assert account.changes() == []
    assert outcomes(report, Outcome.DIFFERS, Outcome.MISSING) == ASPECTS
    assert report.exit_code == 1
    assert all(f"--update {row.name}" in row.remedy for row in report.rows if row.name in ASPECTS)


def test_a_bare_bucket_with_an_object_in_it_is_of_the_user(account: Account) -> None:
    plan, s3 = account.plan(), account.sandbox.client("s3")
    name = plan.buckets[1].name
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=name, Key="1", Body=b"theirs")
    account.sandbox.clear_calls()
    report = account.run(plan, only=["transient-bucket"])
    assert account.changes() == []
    assert outcomes(report, Outcome.MISSING) >= {"transient-bucket.policy", "transient-bucket.lifecycle"}
    s3.delete_object(Bucket=name, Key="1")
    assert account.run(plan, only=["transient-bucket"]).exit_code == 0


def test_a_bucket_with_nothing_but_delete_markers_is_of_the_user(account: Account) -> None:
    """Something was in it, and may come back when they are taken away."""
    plan, s3 = account.plan(), account.sandbox.client("s3")
    name = plan.buckets[1].name
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=name, Key="1", Body=b"theirs")
    version = s3.list_object_versions(Bucket=name)["Versions"][0]["VersionId"]
    s3.delete_object(Bucket=name, Key="1")
    s3.delete_object(Bucket=name, Key="1", VersionId=version)
    account.sandbox.clear_calls()
    assert account.run(plan, only=["transient-bucket"]).exit_code == 1
    assert account.changes() == []


def test_a_region_s_old_name_is_the_region(account: Account) -> None:
    """S3 says EU of buckets that were made in eu-west-1 long ago."""

    class Old:
        def call(self, _service: str, method: str, **_: Any) -> object:
            assert method in ("head_bucket", "get_bucket_location", "get_bucket_versioning", "list_object_versions")
            return {"LocationConstraint": "EU"}

        def find(self, *_: object, **__: object) -> None:
            return None

    plan = account.plan(region="eu-west-1").buckets[1]
    found = Bucket(cast(Admin, Old()), plan, "123456789012", "eu-west-1", Patience()).look()
    assert found is not None
    assert found.attributes[0].state is State.EQUAL


def test_an_empty_bucket_that_the_user_has_set_something_of_is_of_the_user(account: Account) -> None:
    plan, s3 = account.plan(), account.sandbox.client("s3")
    name = plan.buckets[1].name
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "team", "Value": "reports"}]})
    account.sandbox.clear_calls()
    assert account.run(plan, only=["transient-bucket"]).exit_code == 1
    assert account.changes() == []


def test_only_what_is_named_is_changed_and_what_is_beside_it_stays(account: Account) -> None:
    plan = their_bucket(account, uuid4().hex[:12])
    name, s3 = plan.buckets[1].name, account.sandbox.client("s3")
    account.sandbox.clear_calls()
    report = account.run(plan, only=["transient-bucket"], updates=["transient-bucket"], dry_run=True)
    assert account.changes() == []
    assert outcomes(report, Outcome.WOULD_UPDATE, Outcome.WOULD_SET) >= ASPECTS
    report = account.run(plan, only=["transient-bucket"], updates=["transient-bucket.tags"])
    assert outcomes(report, Outcome.UPDATED) == {"transient-bucket.tags"}
    tags = {each["Key"]: each["Value"] for each in s3.get_bucket_tagging(Bucket=name)["TagSet"]}
    assert tags == {"team": "reports", "extaudit:cluster": "demo", "extaudit:integration": "acme"}
    report = account.run(plan, only=["transient-bucket"], updates=["transient-bucket"])
    assert report.exit_code == 0
    rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert [each["ID"] for each in rules] == ["ExpireQueryResults", "ExpireNoncurrentQueryResults", "theirs"]
    assert rules[2] == RULE
    found = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"]
    assert [each["Sid"] for each in found] == ["RefuseAllButTls", "Theirs"]
    notes = [note for row in account.run(plan, only=["transient-bucket"], dry_run=True).rows for note in row.notes]
    assert notes == [
        "tag 'team' is beside the plan",
        "statement 'Theirs': Allow s3:GetObject is beside the plan",
    ]


def test_parameters_and_other_fields_of_a_table_stay(account: Account) -> None:
    plan, glue = account.plan(), account.sandbox.client("glue")
    account.run(plan, only=["glue-database", "glue-table"])
    found = glue.get_table(DatabaseName=plan.glue.database, Name=plan.glue.table)["Table"]
    given = {key: found[key] for key in ("Name", "StorageDescriptor", "PartitionKeys", "TableType")}
    parameters = {"theirs": "stays", "projection.enabled": "false"}
    glue.update_table(
        DatabaseName=plan.glue.database,
        TableInput=given | {"Parameters": parameters, "Description": "theirs", "Owner": "they"},
    )
    assert account.run(plan, only=["glue-table"], updates=["glue-table"]).exit_code == 0
    found = glue.get_table(DatabaseName=plan.glue.database, Name=plan.glue.table)["Table"]
    assert (found["Description"], found["Owner"]) == ("theirs", "they")
    assert found["Parameters"] == dict(plan.glue.parameters) | {"theirs": "stays"}


def test_other_fields_of_a_database_stay(account: Account) -> None:
    plan, glue = account.plan(), account.sandbox.client("glue")
    given = {"Name": plan.glue.database, "LocationUri": "s3://theirs/", "Parameters": {"theirs": "stays"}}
    glue.create_database(DatabaseInput=given)
    report = account.run(plan, only=["glue-database"])
    assert outcomes(report, Outcome.MISSING) == {"glue-database.description", "glue-database.tags"}
    assert account.run(plan, only=["glue-database"], updates=["glue-database"]).exit_code == 0
    found = glue.get_database(Name=plan.glue.database)["Database"]
    assert (found["LocationUri"], found["Parameters"]) == ("s3://theirs/", {"theirs": "stays"})


def test_the_size_from_which_objects_are_moved_stays_with_the_rules_that_move_them(account: Account) -> None:
    """S3 takes it back where rules are put without it; the sandbox doesn't know it."""
    put: list[dict[str, Any]] = []

    class Answering:
        def find(self, *_: object, **__: object) -> object:
            return {"Rules": [RULE], "TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}

        def call(self, _service: str, method: str, **parameters: Any) -> object:
            put.append({"method": method} | parameters)
            return {}

    plan = account.plan().buckets[1]
    calls = BucketCalls(cast(Admin, Answering()), plan.name, "123456789012", REGION, Patience())
    aspect = LifecycleAspect(calls, plan)
    aspect.write(aspect.look())
    [written] = put
    assert written["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    assert written["LifecycleConfiguration"]["Rules"][-1] == RULE


def test_other_policies_of_the_role_are_noted(account: Account) -> None:
    """They may allow anything, and yet be there for a reason."""
    plan, iam = account.plan(), account.sandbox.client("iam")
    account.run(plan, only=["role-policy"])
    arn = iam.create_policy(PolicyName="all", PolicyDocument=plan.role_policy.policy)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=ROLE, PolicyArn=arn)
    iam.put_role_policy(RoleName=ROLE, PolicyName="theirs", PolicyDocument=plan.role_policy.policy)
    report = account.run(plan, only=["role-policy"])
    iam.detach_role_policy(RoleName=ROLE, PolicyArn=arn)
    iam.delete_role_policy(RoleName=ROLE, PolicyName="theirs")
    notes = [note for row in report.rows for note in row.notes]
    assert report.exit_code == 0
    assert {f"the role has the policy {name!r} too, which may allow more" for name in ("theirs", arn)} <= set(notes)
    assert not [note for note in notes if plan.role_policy.policy_name in note]

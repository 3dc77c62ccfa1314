"""Every attribute of the plan, changed by somebody: a dry run names exactly it, and `--update` of it puts it right.

One infrastructure is shared: each test leaves it as planned.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from extaudit_cli.bootstrap.patience import Patience
from extaudit_cli.bootstrap.rows import Outcome
from extaudit_cli.bootstrap.run import names, things
from extaudit_client import InfrastructurePlan

from server.storage.spec import StorageOptions
from tests.unit.bootstrap.conftest import ROLE, Account, outcomes

Plant = Callable[[Account, InfrastructurePlan], object]


@pytest.fixture(scope="module")
def built(account: Account) -> InfrastructurePlan:
    plan = account.plan(options=StorageOptions(retention_days=2000))
    assert account.run(plan).exit_code == 0
    return plan


def bucket(purpose: str, method: str, **parameters: Any) -> Plant:
    """Call a method of S3's client on a bucket."""

    def plant(account: Account, plan: InfrastructurePlan) -> object:
        (name,) = [each.name for each in plan.buckets if each.purpose == purpose]
        return getattr(account.sandbox.client("s3"), method)(Bucket=name, **parameters)

    return plant


def workgroup(**updates: Any) -> Plant:
    return lambda account, plan: account.sandbox.client("athena").update_work_group(
        WorkGroup=plan.workgroup.name, **updates
    )


def workgroup_tags(account: Account, plan: InfrastructurePlan) -> None:
    arn = f"arn:aws:athena:{plan.region}:{plan.account_id}:workgroup/{plan.workgroup.name}"
    account.sandbox.client("athena").untag_resource(ResourceARN=arn, TagKeys=["extaudit:cluster"])


def database_tags(account: Account, plan: InfrastructurePlan) -> None:
    arn = f"arn:aws:glue:{plan.region}:{plan.account_id}:database/{plan.glue.database}"
    tags = {"extaudit:cluster": "another", "theirs": "stays"}
    account.sandbox.client("glue").tag_resource(ResourceArn=arn, TagsToAdd=tags)


def database_description(account: Account, plan: InfrastructurePlan) -> None:
    given = {"Name": plan.glue.database, "Description": "ours now", "Parameters": {"theirs": "stays"}}
    account.sandbox.client("glue").update_database(Name=plan.glue.database, DatabaseInput=given)


def table(change: Callable[[dict[str, Any]], object]) -> Plant:
    """Change what the table says of itself."""

    def plant(account: Account, plan: InfrastructurePlan) -> None:
        glue = account.sandbox.client("glue")
        found = glue.get_table(DatabaseName=plan.glue.database, Name=plan.glue.table)["Table"]
        given = {key: found[key] for key in ("Name", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters")}
        change(given)
        glue.update_table(DatabaseName=plan.glue.database, TableInput=given)

    return plant


def role_policy(change: Callable[[list[dict[str, Any]]], object]) -> Plant:
    """Change the statements of the role's policy."""

    def plant(account: Account, plan: InfrastructurePlan) -> None:
        document = json.loads(plan.role_policy.policy)
        change(document["Statement"])
        account.sandbox.client("iam").put_role_policy(
            RoleName=ROLE, PolicyName=plan.role_policy.policy_name, PolicyDocument=json.dumps(document)
        )

    return plant


def _rules(**rule: Any) -> dict[str, Any]:
    return {"Rules": [{"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": ""}, **rule}]}


_BLOCK = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
_LOCK = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
_KMS = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn:aws:kms:us-west-2:123456789012:key/other"}
_ANYBODY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:PutObject",
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}},
            }
        ],
    }
)

BUCKETS: list[tuple[str, Plant]] = [
    (f"{purpose}-bucket.{name}", bucket(purpose, method, **parameters))
    for purpose in ("long-term", "transient")
    for name, method, parameters in [
        ("tags", "put_bucket_tagging", {"Tagging": {"TagSet": [{"Key": "extaudit:cluster", "Value": "another"}]}}),
        ("tags", "delete_bucket_tagging", {}),
        (
            "public-access-block",
            "put_public_access_block",
            {"PublicAccessBlockConfiguration": _BLOCK | {"BlockPublicPolicy": False}},
        ),
        (
            "ownership",
            "put_bucket_ownership_controls",
            {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
        ),
        (
            "encryption",
            "put_bucket_encryption",
            {
                "ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": _KMS}]},
            },
        ),
        ("policy", "put_bucket_policy", {"Policy": _ANYBODY}),
        (
            "lifecycle",
            "put_bucket_lifecycle_configuration",
            {"LifecycleConfiguration": _rules(Expiration={"ExpiredObjectDeleteMarker": True})},
        ),
    ]
]

OTHERS: list[tuple[str, Plant]] = [
    ("long-term-bucket.retention", bucket("long-term", "put_object_lock_configuration", ObjectLockConfiguration=_LOCK)),
    (
        "transient-bucket.versioning",
        bucket("transient", "put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"}),
    ),
    ("workgroup.state", workgroup(State="DISABLED")),
    (
        "workgroup.output-location",
        workgroup(ConfigurationUpdates={"ResultConfigurationUpdates": {"OutputLocation": "s3://theirs/"}}),
    ),
    ("workgroup.enforced", workgroup(ConfigurationUpdates={"EnforceWorkGroupConfiguration": False})),
    ("workgroup.scan-limit", workgroup(ConfigurationUpdates={"BytesScannedCutoffPerQuery": 10_000_001})),
    ("workgroup.scan-limit", workgroup(ConfigurationUpdates={"RemoveBytesScannedCutoffPerQuery": True})),
    (
        "workgroup.encryption",
        workgroup(ConfigurationUpdates={"ResultConfigurationUpdates": {"RemoveEncryptionConfiguration": True}}),
    ),
    ("workgroup.tags", workgroup_tags),
    ("glue-database.description", database_description),
    ("glue-database.tags", database_tags),
    ("glue-table.type", table(lambda given: given.update(TableType="VIRTUAL_VIEW"))),
    ("glue-table.location", table(lambda given: given["StorageDescriptor"].update(Location="s3://theirs/events"))),
    ("glue-table.columns", table(lambda given: given["StorageDescriptor"]["Columns"].pop())),
    ("glue-table.columns", table(lambda given: given["StorageDescriptor"]["Columns"][3].update(Type="string"))),
    ("glue-table.partition-keys", table(lambda given: given["PartitionKeys"][0].update(Type="string"))),
    ("glue-table.input-format", table(lambda given: given["StorageDescriptor"].update(InputFormat="x"))),
    ("glue-table.output-format", table(lambda given: given["StorageDescriptor"].update(OutputFormat="x"))),
    (
        "glue-table.serialization-library",
        table(lambda given: given["StorageDescriptor"]["SerdeInfo"].update(SerializationLibrary="x")),
    ),
    (
        "glue-table.serialization-parameters",
        table(lambda given: given["StorageDescriptor"]["SerdeInfo"]["Parameters"].clear()),
    ),
    (
        "glue-table.serialization-parameters",
        table(
            lambda given: given["StorageDescriptor"]["SerdeInfo"]["Parameters"].update(
                {"parquet.column.index.access": "true"}
            )
        ),
    ),
    ("glue-table.parameters", table(lambda given: given["Parameters"].update({"table_type": "ICEBERG"}))),
    (
        "glue-table.parameters",
        table(lambda given: given["Parameters"].update({"projection.event_date.range": "NOW-4YEARS,NOW"})),
    ),
    ("glue-table.parameters", table(lambda given: given["Parameters"].pop("projection.enabled"))),
    ("role-policy.policy", role_policy(lambda statements: statements[0]["Action"].remove("s3:PutObject"))),
    ("role-policy.policy", role_policy(lambda statements: statements.pop())),
]

BY_HAND: list[tuple[str, Plant, Plant]] = [
    (
        "long-term-bucket.other-lifecycle-rules",
        bucket(
            "long-term", "put_bucket_lifecycle_configuration", LifecycleConfiguration=_rules(Expiration={"Days": 9})
        ),
        bucket("long-term", "delete_bucket_lifecycle"),
    ),
    (
        "role-policy.other-statements",
        role_policy(
            lambda statements: statements.append(
                {"Sid": "More", "Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "*"}
            )
        ),
        role_policy(lambda statements: None),
    ),
]


def drifted(account: Account, plan: InfrastructurePlan, thing: str) -> set[str]:
    """What a dry run says is not as planned."""
    report = account.run(plan, only=[thing], dry_run=True)
    return {row.name for row in report.rows} - outcomes(report, Outcome.EQUAL)


def test_every_attribute_is_in_the_table(account: Account, built: InfrastructurePlan) -> None:
    """But for what stands in the way of everything, and what object lock forbids to change."""
    all_names = {name for name in names(things(account.admin(), built, Patience())) if "." in name}
    planted = {name for name, _ in BUCKETS + OTHERS} | {name for name, _, _ in BY_HAND}
    assert all_names - planted == {
        "long-term-bucket.region",
        "long-term-bucket.object-lock",
        "long-term-bucket.versioning",
        "transient-bucket.region",
        "transient-bucket.object-lock",
        "transient-bucket.retention",
    }


@pytest.mark.parametrize(("name", "plant"), BUCKETS + OTHERS, ids=[name for name, _ in BUCKETS + OTHERS])
def test_a_change_is_named_and_put_right_where_that_is_asked(
    account: Account, built: InfrastructurePlan, name: str, plant: Plant
) -> None:
    thing = name.partition(".")[0]
    plant(account, built)
    assert drifted(account, built, thing) == {name}
    left = account.run(built, only=[thing], updates=["nothing"])
    asked = outcomes(left, Outcome.DIFFERS, Outcome.MISSING)
    assert asked | outcomes(left, Outcome.SET) == {name}
    if asked:
        updated = account.run(built, only=[thing], updates=[name])
        assert outcomes(updated, Outcome.UPDATED, Outcome.SET) == {name}
        assert updated.exit_code == 0
    assert drifted(account, built, thing) == set()


@pytest.mark.parametrize(("name", "plant", "mend"), BY_HAND, ids=[name for name, _, _ in BY_HAND])
def test_what_only_its_owner_may_take_out_is_named_and_stays(
    account: Account, built: InfrastructurePlan, name: str, plant: Plant, mend: Plant
) -> None:
    thing = name.partition(".")[0]
    plant(account, built)
    report = account.run(built, only=[thing], updates=[thing])
    assert outcomes(report, Outcome.DIFFERS) == {name}
    assert report.exit_code == 1
    assert drifted(account, built, thing) == {name}
    mend(account, built)
    account.run(built, only=[thing])
    assert drifted(account, built, thing) == set()

"""The file for Terraform has all of the plan, each attribute in its block, and nothing in a plan breaks out of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from extaudit_cli.terraform.storage import storage_text
from extaudit_cli.terraform.syntax import Json, Reference
from extaudit_client import AwsTag, BucketPlan, InfrastructurePlan, LifecycleRulePlan

from server.storage.spec import ObjectLockMode, StorageOptions
from tests.terraform_reader import read
from tests.unit.external_storage.specs import CUSTOM, KEY, SPEC
from tests.unit.terraform.plans import client_plan, random_plans
from tests.unit.terraform.test_encoding import PIECES, needs_terraform, run_terraform

Found = Mapping[str, Any]


class Written:
    """A file that was written, as another parser reads it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.blocks = read(text)

    def of(self, kind: str, label: str) -> dict[str, Any]:
        """What is in a resource; {} where there is none."""
        found = [each[kind][label] for each in self.blocks["resource"] if label in each.get(kind, {})]
        assert len(found) <= 1
        return dict(found[0]) if found else {}

    @property
    def provider(self) -> dict[str, Any]:
        [provider] = self.blocks["provider"]
        return dict(provider["aws"])


def one(found: Found, *path: str) -> Any:
    """What is at the end of a path of blocks, each of which is there once; None where one isn't there."""
    value: Any = found
    for name in path:
        if name not in value:
            return None
        value = value[name]
        if isinstance(value, list) and value and isinstance(value[0], dict):
            assert len(value) == 1, path
            value = value[0]
    return value


def label_of(bucket: BucketPlan) -> str:
    return bucket.purpose.replace("-", "_")


def on(bucket: BucketPlan, written: Written, kind: str) -> dict[str, Any]:
    """A resource that is about this bucket, which it names by reference."""
    found = written.of(f"aws_s3_bucket_{kind}", label_of(bucket))
    assert not found or found["bucket"] == Reference(f"aws_s3_bucket.{label_of(bucket)}.id")
    return found


def lock_of(bucket: BucketPlan, written: Written, name: str) -> Any:
    return one(on(bucket, written, "object_lock_configuration"), "rule", "default_retention", name)


def key_of(bucket: BucketPlan, written: Written) -> Any:
    rule = on(bucket, written, "server_side_encryption_configuration")["rule"][0]
    [by_default] = rule["apply_server_side_encryption_by_default"]
    kms = by_default["sse_algorithm"] == "aws:kms"
    assert kms == ("kms_master_key_id" in by_default) == rule.get("bucket_key_enabled", False)
    return by_default.get("kms_master_key_id", "")


def tags_of(found: Found) -> tuple[AwsTag, ...]:
    return tuple(AwsTag(key, value) for key, value in found["tags"].items())


def rules_of(bucket: BucketPlan, written: Written) -> list[Found]:
    return list(on(bucket, written, "lifecycle_configuration").get("rule", []))


def json_of(found: Found) -> Any:
    assert isinstance(found["policy"], Json)
    return found["policy"].value


def columns_of(blocks: list[Found]) -> tuple[tuple[str, str], ...]:
    return tuple((block["name"], block["type"]) for block in blocks)


def expiration(rule: Found, name: str) -> Any:
    found = [each[name] for each in rule.get("expiration", []) if name in each]
    return found[0] if found else 0


BUCKET_ROWS: Mapping[str, Callable[[BucketPlan, Written], Any]] = {
    "name": lambda bucket, written: written.of("aws_s3_bucket", label_of(bucket))["bucket"],
    "purpose": lambda bucket, written: bucket.purpose if written.of("aws_s3_bucket", label_of(bucket)) else None,
    "versioning": lambda b, w: one(on(b, w, "versioning"), "versioning_configuration", "status") == "Enabled",
    "object_lock": lambda b, w: w.of("aws_s3_bucket", label_of(b)).get("object_lock_enabled", False),
    "object_lock_mode": lambda b, w: (lock_of(b, w, "mode") or "NONE").lower(),
    "object_lock_days": lambda b, w: lock_of(b, w, "days") or 0,
    "kms_key_arn": key_of,
    "policy": lambda b, w: json.dumps(json_of(on(b, w, "policy")), indent=2),
    "tags": lambda b, w: tags_of(w.of("aws_s3_bucket", label_of(b))),
    # What is kept there is nothing to make: the rules of the lifecycle and the role's policy name the prefixes.
    "prefixes": lambda bucket, _: bucket.prefixes,
}
RULE_ROWS: Mapping[str, Callable[[Found], Any]] = {
    "id": lambda rule: rule["id"] if rule["status"] == "Enabled" else None,
    "prefix": lambda rule: one(rule, "filter", "prefix"),
    "expiration_days": lambda rule: expiration(rule, "days"),
    "noncurrent_days": lambda rule: one(rule, "noncurrent_version_expiration", "noncurrent_days") or 0,
    "abort_upload_days": lambda rule: one(rule, "abort_incomplete_multipart_upload", "days_after_initiation") or 0,
    "expired_delete_markers": lambda rule: bool(expiration(rule, "expired_object_delete_marker")),
}


def table(written: Written) -> dict[str, Any]:
    return written.of("aws_glue_catalog_table", "events")


def described(written: Written) -> Any:
    return one(table(written), "storage_descriptor")


def database(written: Written) -> dict[str, Any]:
    assert table(written)["database_name"] == Reference("aws_glue_catalog_database.events.name")
    return written.of("aws_glue_catalog_database", "events")


def workgroup(written: Written) -> dict[str, Any]:
    return written.of("aws_athena_workgroup", "events")


def results_key(written: Written) -> Any:
    encryption = one(workgroup(written), "configuration", "result_configuration", "encryption_configuration")
    assert encryption["encryption_option"] == ("SSE_KMS" if "kms_key_arn" in encryption else "SSE_S3")
    return encryption.get("kms_key_arn", "")


def role_policy(written: Written) -> dict[str, Any]:
    return written.of("aws_iam_role_policy", "extaudit")


def role_arn(written: Written, plan: InfrastructurePlan) -> str:
    # Terraform wants the role's name; its account is the provider's.
    return plan.role_policy.role_arn.rpartition("/")[0] + "/" + str(role_policy(written)["role"])


ROWS: Mapping[str, Callable[[InfrastructurePlan, Written], Any]] = {
    "partition": lambda _, w: json_of(role_policy(w))["Statement"][0]["Resource"][0].split(":")[1],
    "account_id": lambda _, w: w.provider["allowed_account_ids"][0],
    "region": lambda _, w: w.provider["region"],
    "workgroup.name": lambda _, w: workgroup(w)["name"],
    "workgroup.output_location": lambda _, w: one(
        workgroup(w), "configuration", "result_configuration", "output_location"
    ),
    "workgroup.enforce_configuration": lambda _, w: one(
        workgroup(w), "configuration", "enforce_workgroup_configuration"
    ),
    "workgroup.scan_limit_bytes": lambda _, w: one(workgroup(w), "configuration", "bytes_scanned_cutoff_per_query"),
    "workgroup.kms_key_arn": lambda _, w: results_key(w),
    "workgroup.tags": lambda _, w: tags_of(workgroup(w)),
    "glue.database": lambda _, w: database(w)["name"],
    "glue.database_description": lambda _, w: database(w)["description"],
    "glue.database_tags": lambda _, w: tags_of(database(w)),
    "glue.table": lambda _, w: table(w)["name"],
    "glue.location": lambda _, w: described(w)["location"],
    "glue.columns": lambda _, w: columns_of(described(w)["columns"]),
    "glue.partition_keys": lambda _, w: columns_of(table(w)["partition_keys"]),
    "glue.table_type": lambda _, w: table(w)["table_type"],
    "glue.input_format": lambda _, w: described(w)["input_format"],
    "glue.output_format": lambda _, w: described(w)["output_format"],
    "glue.serialization_library": lambda _, w: one(described(w), "ser_de_info", "serialization_library"),
    "glue.serialization_parameters": lambda _, w: tuple(one(described(w), "ser_de_info", "parameters").items()),
    "glue.parameters": lambda _, w: tuple(table(w)["parameters"].items()),
    "role_policy.role_arn": lambda plan, w: role_arn(w, plan),
    "role_policy.policy_name": lambda _, w: role_policy(w)["name"],
    "role_policy.policy": lambda _, w: json.dumps(json_of(role_policy(w)), indent=2),
    "revision": lambda plan, w: plan.revision if f"revision {plan.revision}." in w.text.split("\n\n")[0] else None,
}


def attributes(of: type, path: str = "") -> Iterator[str]:
    """The paths of all attributes of a plan; buckets have a table of their own."""
    hints = get_type_hints(of)
    for field in fields(of):
        kind = hints[field.name]
        if is_dataclass(kind):
            assert isinstance(kind, type)
            yield from attributes(kind, f"{path}{field.name}.")
        elif BucketPlan not in get_args(kind) and LifecycleRulePlan not in get_args(kind):
            yield path + field.name


def test_each_attribute_of_a_plan_has_its_row() -> None:
    assert set(attributes(InfrastructurePlan)) == set(ROWS)
    assert set(attributes(BucketPlan)) == set(BUCKET_ROWS)
    assert set(attributes(LifecycleRulePlan)) == set(RULE_ROWS)


def planned(plan: Any, path: str) -> Any:
    for name in path.split("."):
        plan = getattr(plan, name)
    return (
        tuple((column.name, column.type) for column in plan) if path.endswith(("columns", "partition_keys")) else plan
    )


def assert_written(plan: InfrastructurePlan, written: Written) -> None:
    for path, row in ROWS.items():
        assert row(plan, written) == planned(plan, path), path
    for bucket in plan.buckets:
        for name, bucket_row in BUCKET_ROWS.items():
            assert bucket_row(bucket, written) == getattr(bucket, name), name
        rules = rules_of(bucket, written)
        assert len(rules) == len(bucket.lifecycle_rules)
        for rule, block in zip(bucket.lifecycle_rules, rules, strict=True):
            for name, rule_row in RULE_ROWS.items():
                assert rule_row(block) == getattr(rule, name), name


def test_every_planned_attribute_is_in_its_block_for_any_legal_storage() -> None:
    for plan in random_plans(63, 8):
        assert_written(plan, Written(storage_text(plan)))


def hostile(value: Any, number: int) -> Any:
    """The same plan with text that no rule allows in every place for text that isn't JSON."""
    if isinstance(value, str) and not value.startswith("{") and value not in ("long-term", "transient"):
        return value + "".join(PIECES[(number + at) % len(PIECES)] for at in range(6)).replace("/", "")
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: hostile(getattr(value, f.name), number + at) for at, f in enumerate(fields(value))}
        return replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(hostile(each, number + at) for at, each in enumerate(value))
    return value


def test_text_that_no_rule_allows_stays_in_its_string_all_the_same() -> None:
    plan = client_plan(CUSTOM, StorageOptions(kms_key_arn=KEY, retention_days=1460))
    for number in range(0, len(PIECES), 7):
        told = replace(hostile(plan, number), partition="aws", revision=plan.revision)
        buckets = tuple(replace(bucket, object_lock_mode="governance") for bucket in told.buckets)
        changed = replace(told, buckets=(buckets[0], replace(buckets[1], object_lock_mode="none")))
        assert_written(changed, Written(storage_text(changed)))


def test_the_same_plan_gives_the_same_text() -> None:
    [plan], [again] = random_plans(64, 1), random_plans(64, 1)
    assert storage_text(plan) == storage_text(again)


@pytest.mark.parametrize(
    "options",
    [StorageOptions(), StorageOptions(ObjectLockMode.NONE, 0, KEY, 90)],
    ids=["usual", "other"],
)
def test_both_buckets_are_private_and_the_long_term_one_is_not_destroyed(options: StorageOptions) -> None:
    plan = client_plan(SPEC, options)
    written = Written(storage_text(plan))
    for bucket in plan.buckets:
        blocked = on(bucket, written, "public_access_block")
        names = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
        assert [blocked[name] for name in names] == [True] * 4
        assert one(on(bucket, written, "ownership_controls"), "rule", "object_ownership") == "BucketOwnerEnforced"
    assert one(written.of("aws_s3_bucket", "long_term"), "lifecycle", "prevent_destroy") is True
    assert bool(written.of("aws_s3_bucket_object_lock_configuration", "long_term")) == (options.object_lock_days > 0)


def test_the_provider_is_required_and_bound_to_the_account() -> None:
    written = Written(storage_text(client_plan(SPEC, StorageOptions())))
    [terraform] = written.blocks["terraform"]
    assert terraform["required_providers"][0]["aws"] == {"source": "hashicorp/aws", "version": ">= 5.60"}
    assert written.provider == {"region": "us-west-2", "allowed_account_ids": ["278576220453"]}


@needs_terraform
def test_terraform_fmt_changes_nothing(tmp_path: Path) -> None:
    for plan in random_plans(65, 2):
        text = storage_text(plan)
        assert run_terraform(tmp_path, "fmt", "-", given=text) == text

"""A planned bucket as Terraform's resources: the bucket, and one resource for each thing that is set on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from extaudit_cli.terraform.syntax import Block, Json, Reference, Value

if TYPE_CHECKING:
    from extaudit_client import AwsTag, BucketPlan, LifecycleRulePlan

_COMMENTS: Final = {
    "long-term": "Events and recordings. Nothing that extaudit may do deletes or changes what is in it.",
    "transient": "Results of Athena's queries, for as long as it takes to read them.",
}


def bucket_blocks(bucket: BucketPlan) -> list[Block]:
    """Every resource of a bucket. Its label is what the bucket is for, such as `long_term`."""
    label = bucket_label(bucket)
    kinds: list[tuple[str, dict[str, Value], tuple[Block, ...]]] = [
        ("versioning", {}, (Block("versioning_configuration", (), {"status": _status(bucket.versioning)}),)),
        *([("object_lock_configuration", {}, (_default_retention(bucket),))] if bucket.object_lock_days else []),
        ("ownership_controls", {}, (Block("rule", (), {"object_ownership": "BucketOwnerEnforced"}),)),
        ("public_access_block", dict.fromkeys(_PUBLIC_ACCESS, True), ()),
        (
            "policy",
            {
                "policy": Json(json.loads(bucket.policy)),
                "depends_on": [Reference(f"aws_s3_bucket_public_access_block.{label}")],
            },
            (),
        ),
        ("server_side_encryption_configuration", {}, (_encryption(bucket.kms_key_arn),)),
    ]
    if bucket.lifecycle_rules:
        needs = {"depends_on": [Reference(f"aws_s3_bucket_versioning.{label}")]}
        kinds.append(("lifecycle_configuration", {**needs}, tuple(map(_lifecycle_rule, bucket.lifecycle_rules))))
    of = {"bucket": Reference(f"aws_s3_bucket.{label}.id")}
    return [
        _bucket(bucket),
        *(Block("resource", (f"aws_s3_bucket_{kind}", label), of | values, inner) for kind, values, inner in kinds),
    ]


def bucket_label(bucket: BucketPlan) -> str:
    """The label of a bucket's resources."""
    return bucket.purpose.replace("-", "_")


def tags(planned: tuple[AwsTag, ...]) -> dict[str, Value]:
    """Tags as a map, in their order."""
    return {tag.key: tag.value for tag in planned}


_PUBLIC_ACCESS: Final = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")


def _bucket(bucket: BucketPlan) -> Block:
    values: dict[str, Value] = {"bucket": bucket.name}
    if bucket.object_lock:
        values["object_lock_enabled"] = True
    values["tags"] = tags(bucket.tags)
    kept = (Block("lifecycle", (), {"prevent_destroy": True}),) if bucket.object_lock else ()
    return Block("resource", ("aws_s3_bucket", bucket_label(bucket)), values, kept, _COMMENTS.get(bucket.purpose, ""))


def _status(enabled: bool) -> str:
    return "Enabled" if enabled else "Suspended"


def _default_retention(bucket: BucketPlan) -> Block:
    retention: dict[str, Value] = {"mode": bucket.object_lock_mode.upper(), "days": bucket.object_lock_days}
    return Block("rule", (), {}, (Block("default_retention", (), retention),))


def _encryption(kms_key_arn: str) -> Block:
    if not kms_key_arn:
        return Block("rule", (), {}, (Block(_BY_DEFAULT, (), {"sse_algorithm": "AES256"}),))
    by_default = Block(_BY_DEFAULT, (), {"sse_algorithm": "aws:kms", "kms_master_key_id": kms_key_arn})
    return Block("rule", (), {"bucket_key_enabled": True}, (by_default,))


_BY_DEFAULT: Final = "apply_server_side_encryption_by_default"


def _lifecycle_rule(rule: LifecycleRulePlan) -> Block:
    inner = [Block("filter", (), {"prefix": rule.prefix})]
    if rule.expiration_days:
        inner.append(Block("expiration", (), {"days": rule.expiration_days}))
    if rule.expired_delete_markers:
        inner.append(Block("expiration", (), {"expired_object_delete_marker": True}))
    if rule.noncurrent_days:
        inner.append(Block("noncurrent_version_expiration", (), {"noncurrent_days": rule.noncurrent_days}))
    if rule.abort_upload_days:
        aborted = {"days_after_initiation": rule.abort_upload_days}
        inner.append(Block("abort_incomplete_multipart_upload", (), aborted))
    return Block("rule", (), {"id": rule.id, "status": "Enabled"}, tuple(inner))

"""From planned infrastructure to messages."""

from __future__ import annotations

from collections.abc import Iterable

from extaudit.v1 import external_audit_storage_pb2 as storage_pb
from extaudit.v1 import infrastructure_pb2 as pb

from server.external_storage.infrastructure import (
    BucketPlan,
    Column,
    GlueTablePlan,
    InfrastructurePlan,
    LifecycleRule,
)
from server.storage.spec import ObjectLockMode

_MODES = {
    ObjectLockMode.GOVERNANCE: storage_pb.OBJECT_LOCK_MODE_GOVERNANCE,
    ObjectLockMode.COMPLIANCE: storage_pb.OBJECT_LOCK_MODE_COMPLIANCE,
    ObjectLockMode.NONE: storage_pb.OBJECT_LOCK_MODE_NONE,
}


def plan_message(plan: InfrastructurePlan) -> pb.InfrastructurePlan:
    """All of the infrastructure."""
    workgroup, policy = plan.workgroup, plan.role_policy
    return pb.InfrastructurePlan(
        partition=plan.partition,
        account_id=plan.account_id,
        region=plan.region,
        buckets=[_bucket(bucket) for bucket in plan.buckets],
        workgroup=pb.WorkgroupPlan(
            name=workgroup.name,
            output_location=workgroup.output_location,
            enforce_configuration=workgroup.enforce_configuration,
            scan_limit_bytes=workgroup.scan_limit_bytes,
            kms_key_arn=workgroup.kms_key_arn,
            tags=_tags(workgroup.tags),
        ),
        glue=_glue(plan.glue),
        role_policy=pb.RolePolicyPlan(role_arn=policy.role_arn, policy_name=policy.policy_name, policy=policy.policy),
    )


def _bucket(bucket: BucketPlan) -> pb.BucketPlan:
    return pb.BucketPlan(
        name=bucket.name,
        purpose=bucket.purpose,
        versioning=bucket.versioning,
        object_lock=bucket.object_lock,
        object_lock_mode=_MODES[bucket.object_lock_mode],
        object_lock_days=bucket.object_lock_days,
        kms_key_arn=bucket.kms_key_arn,
        policy=bucket.policy,
        lifecycle_rules=[_rule(rule) for rule in bucket.lifecycle_rules],
        tags=_tags(bucket.tags),
        prefixes=bucket.prefixes,
    )


def _rule(rule: LifecycleRule) -> pb.LifecycleRulePlan:
    return pb.LifecycleRulePlan(
        id=rule.id,
        prefix=rule.prefix,
        expiration_days=rule.expiration_days,
        noncurrent_days=rule.noncurrent_days,
        abort_upload_days=rule.abort_upload_days,
        expired_delete_markers=rule.expired_delete_markers,
    )


def _glue(glue: GlueTablePlan) -> pb.GlueTablePlan:
    return pb.GlueTablePlan(
        database=glue.database,
        database_description=glue.database_description,
        database_tags=_tags(glue.database_tags),
        table=glue.table,
        location=glue.location,
        columns=_columns(glue.columns),
        partition_keys=_columns(glue.partition_keys),
        table_type=glue.table_type,
        input_format=glue.input_format,
        output_format=glue.output_format,
        serialization_library=glue.serialization_library,
        serialization_parameters=_parameters(glue.serialization_parameters),
        parameters=_parameters(glue.parameters),
    )


def _tags(tags: Iterable[tuple[str, str]]) -> list[pb.AwsTag]:
    return [pb.AwsTag(key=key, value=value) for key, value in tags]


def _columns(columns: Iterable[Column]) -> list[pb.ColumnPlan]:
    return [pb.ColumnPlan(name=column.name, type=column.type) for column in columns]


def _parameters(parameters: Iterable[tuple[str, str]]) -> list[pb.TableParameter]:
    return [pb.TableParameter(name=name, value=value) for name, value in parameters]

"""The infrastructure of an external audit storage in AWS, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from extaudit.v1 import infrastructure_pb2 as pb

from extaudit_client.names import OBJECT_LOCK_MODES, name_of


@dataclass(frozen=True, slots=True)
class AwsTag:
    """A tag of AWS."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class LifecycleRulePlan:
    """A rule by which S3 deletes; 0 days mean never. `prefix` is '' for all keys."""

    id: str
    prefix: str
    expiration_days: int = 0
    noncurrent_days: int = 0
    abort_upload_days: int = 0
    expired_delete_markers: bool = False


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """A bucket. `purpose` is long-term or transient, `object_lock_mode` governance, compliance or none.

    `kms_key_arn` is '' for SSE-S3; `policy` is JSON; `prefixes` are those of the keys that the service keeps in it.
    """

    name: str
    purpose: str
    versioning: bool
    object_lock: bool
    object_lock_mode: str
    object_lock_days: int
    kms_key_arn: str
    policy: str
    lifecycle_rules: tuple[LifecycleRulePlan, ...]
    tags: tuple[AwsTag, ...]
    prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """A column of a table, its type in Hive's words."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class GlueTablePlan:
    """The database and table that describe the events to Athena; parameters are names with values."""

    database: str
    database_description: str
    database_tags: tuple[AwsTag, ...]
    table: str
    location: str
    columns: tuple[ColumnPlan, ...]
    partition_keys: tuple[ColumnPlan, ...]
    table_type: str
    input_format: str
    output_format: str
    serialization_library: str
    serialization_parameters: tuple[tuple[str, str], ...]
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class WorkgroupPlan:
    """The Athena workgroup; `kms_key_arn` is '' for SSE-S3."""

    name: str
    output_location: str
    enforce_configuration: bool
    scan_limit_bytes: int
    kms_key_arn: str
    tags: tuple[AwsTag, ...]


@dataclass(frozen=True, slots=True)
class RolePolicyPlan:
    """The inline policy on the integration's role; `policy` is JSON."""

    role_arn: str
    policy_name: str
    policy: str


@dataclass(frozen=True, slots=True)
class InfrastructurePlan:
    """All that must be there in the account before the connection test can pass, but for the role itself.

    `revision` is that of the draft or storage that it is of.
    """

    partition: str
    account_id: str
    region: str
    buckets: tuple[BucketPlan, ...]
    workgroup: WorkgroupPlan
    glue: GlueTablePlan
    role_policy: RolePolicyPlan
    revision: str = ""


def plan_from(message: pb.InfrastructurePlan, revision: str = "") -> InfrastructurePlan:
    """Read a plan."""
    return InfrastructurePlan(
        message.partition,
        message.account_id,
        message.region,
        tuple(_bucket(each) for each in message.buckets),
        _workgroup(message.workgroup),
        _glue(message.glue),
        RolePolicyPlan(message.role_policy.role_arn, message.role_policy.policy_name, message.role_policy.policy),
        revision,
    )


def _bucket(message: pb.BucketPlan) -> BucketPlan:
    return BucketPlan(
        message.name,
        message.purpose,
        message.versioning,
        message.object_lock,
        name_of(message.object_lock_mode, OBJECT_LOCK_MODES),
        message.object_lock_days,
        message.kms_key_arn,
        message.policy,
        tuple(
            LifecycleRulePlan(
                each.id,
                each.prefix,
                each.expiration_days,
                each.noncurrent_days,
                each.abort_upload_days,
                each.expired_delete_markers,
            )
            for each in message.lifecycle_rules
        ),
        _tags(message.tags),
        tuple(message.prefixes),
    )


def _workgroup(message: pb.WorkgroupPlan) -> WorkgroupPlan:
    return WorkgroupPlan(
        message.name,
        message.output_location,
        message.enforce_configuration,
        message.scan_limit_bytes,
        message.kms_key_arn,
        _tags(message.tags),
    )


def _glue(message: pb.GlueTablePlan) -> GlueTablePlan:
    return GlueTablePlan(
        message.database,
        message.database_description,
        _tags(message.database_tags),
        message.table,
        message.location,
        _columns(message.columns),
        _columns(message.partition_keys),
        message.table_type,
        message.input_format,
        message.output_format,
        message.serialization_library,
        _parameters(message.serialization_parameters),
        _parameters(message.parameters),
    )


def _tags(messages: Iterable[pb.AwsTag]) -> tuple[AwsTag, ...]:
    return tuple(AwsTag(each.key, each.value) for each in messages)


def _columns(messages: Iterable[pb.ColumnPlan]) -> tuple[ColumnPlan, ...]:
    return tuple(ColumnPlan(each.name, each.type) for each in messages)


def _parameters(messages: Iterable[pb.TableParameter]) -> tuple[tuple[str, str], ...]:
    return tuple((each.name, each.value) for each in messages)

"""The infrastructure of an external audit storage, planned as data: what is to be there in AWS, and nothing done."""

from __future__ import annotations

from dataclasses import dataclass

from server.storage.spec import ObjectLockMode


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """A rule by which S3 deletes; 0 days mean never. `prefix` is '' for all keys."""

    id: str
    prefix: str
    expiration_days: int = 0
    noncurrent_days: int = 0
    abort_upload_days: int = 0
    expired_delete_markers: bool = False


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """A bucket. `purpose` is `long-term` or `transient`; its policy is JSON; tags are sorted by key."""

    name: str
    purpose: str
    versioning: bool
    object_lock: bool
    object_lock_mode: ObjectLockMode
    object_lock_days: int
    kms_key_arn: str
    policy: str
    lifecycle_rules: tuple[LifecycleRule, ...]
    tags: tuple[tuple[str, str], ...]
    prefixes: tuple[str, ...]
    """What the service keeps in it, without slashes at either end."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, its type in Hive's words."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class GlueTablePlan:
    """Database and table that describe the events to Athena; parameters and tags are sorted by name."""

    database: str
    database_description: str
    database_tags: tuple[tuple[str, str], ...]
    table: str
    location: str
    columns: tuple[Column, ...]
    partition_keys: tuple[Column, ...]
    table_type: str
    input_format: str
    output_format: str
    serialization_library: str
    serialization_parameters: tuple[tuple[str, str], ...]
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class WorkgroupPlan:
    """The Athena workgroup; '' as key means SSE-S3."""

    name: str
    output_location: str
    enforce_configuration: bool
    scan_limit_bytes: int
    kms_key_arn: str
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RolePolicyPlan:
    """The inline policy on the integration's role; it is JSON."""

    role_arn: str
    policy_name: str
    policy: str


@dataclass(frozen=True, slots=True)
class InfrastructurePlan:
    """All that must be there in the account, but for the role itself; the long-term bucket comes first."""

    partition: str
    account_id: str
    region: str
    buckets: tuple[BucketPlan, ...]
    workgroup: WorkgroupPlan
    glue: GlueTablePlan
    role_policy: RolePolicyPlan

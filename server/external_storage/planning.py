"""Plans the infrastructure of an external audit storage: the same storage always gives the same plan."""

from __future__ import annotations

from typing import Final

from server.external_storage.iam_policy import iam_policy, policy_text, tls_only_policy
from server.external_storage.infrastructure import (
    BucketPlan,
    Column,
    GlueTablePlan,
    InfrastructurePlan,
    LifecycleRule,
    RolePolicyPlan,
    WorkgroupPlan,
)
from server.integrations.integration import RoleArn
from server.storage.connection import WantedTable
from server.storage.spec import ObjectLockMode, S3Location, StorageOptions, StorageSpec

NONCURRENT_DAYS: Final = 1
ABORT_UPLOAD_DAYS: Final = 7
"""Only in the transient bucket: an upload of a recording may be open for as long as its session lasts."""

DATES: Final = "1970-01-01,NOW+2DAYS"
"""The dates that Athena looks for objects of. Events are taken in from 1970 to 24 hours ahead of the service's clock,
which is tomorrow at most; one more day is for a clock of Athena's that is behind."""

_COLUMNS: Final = (
    Column("uid", "string"),
    Column("session_id", "string"),
    Column("event_type", "string"),
    Column("event_time", "timestamp"),
    Column("event_data", "string"),
    Column("user", "string"),
)
_PARQUET: Final = "org.apache.hadoop.hive.ql.io.parquet"


def infrastructure_plan(
    spec: StorageSpec, options: StorageOptions, role: RoleArn, cluster_name: str
) -> InfrastructurePlan:
    """The plan for a valid spec and options, in the account and partition of the role."""
    tags = (("extaudit:cluster", cluster_name), ("extaudit:integration", spec.integration_name))
    policy = policy_text(iam_policy(spec, role.partition, role.account_id, options.kms_key_arn))
    return InfrastructurePlan(
        role.partition,
        role.account_id,
        spec.region,
        (
            _long_term_bucket(spec, options, role.partition, tags),
            _transient_bucket(spec, options, role.partition, tags),
        ),
        WorkgroupPlan(
            spec.athena_workgroup,
            str(S3Location.parse(spec.athena_results_uri)),
            True,
            options.scan_limit_bytes,
            options.kms_key_arn,
            tags,
        ),
        _glue_table(spec, tags),
        RolePolicyPlan(str(role), spec.policy_name, policy),
    )


def wanted_table(glue: GlueTablePlan) -> WantedTable:
    """What the live table has to be like."""
    return WantedTable(
        tuple((column.name, column.type) for column in glue.columns),
        tuple((key.name, key.type) for key in glue.partition_keys),
        glue.location,
        glue.input_format,
        glue.output_format,
        glue.serialization_library,
        glue.serialization_parameters,
        glue.table_type,
        glue.parameters,
    )


def _long_term_bucket(
    spec: StorageSpec, options: StorageOptions, partition: str, tags: tuple[tuple[str, str], ...]
) -> BucketPlan:
    events = S3Location.parse(spec.audit_events_long_term_uri)
    sessions = S3Location.parse(spec.session_recordings_uri)
    rules: tuple[LifecycleRule, ...] = ()
    if options.retention_days:
        rules = _retention_rules("Events", events, options) + _retention_rules("Recordings", sessions, options)
    return BucketPlan(
        name=events.bucket,
        purpose="long-term",
        versioning=True,
        object_lock=True,
        object_lock_mode=options.object_lock_mode,
        object_lock_days=options.object_lock_days,
        kms_key_arn=options.kms_key_arn,
        policy=policy_text(tls_only_policy(events.bucket, partition)),
        lifecycle_rules=rules,
        tags=tags,
        prefixes=(events.prefix, sessions.prefix),
    )


def _retention_rules(name: str, location: S3Location, options: StorageOptions) -> tuple[LifecycleRule, ...]:
    """What lets go of one kind of object after its days.

    S3 counts a version's days as not current from when another one, or a delete marker, came over it. Where object lock
    doesn't hold a version for the whole retention, a short count would let whoever may write delete one by writing
    over it. So it is then as long as the retention itself, and an object is gone after twice the days.
    """
    days = options.retention_days
    covered = options.object_lock_mode is not ObjectLockMode.NONE and options.object_lock_days >= days
    return (
        LifecycleRule(f"Expire{name}", location.keys_prefix, expiration_days=days),
        LifecycleRule(
            f"ExpireNoncurrent{name}",
            location.keys_prefix,
            noncurrent_days=NONCURRENT_DAYS if covered else days,
            expired_delete_markers=True,
        ),
    )


def _transient_bucket(
    spec: StorageSpec, options: StorageOptions, partition: str, tags: tuple[tuple[str, str], ...]
) -> BucketPlan:
    results = S3Location.parse(spec.athena_results_uri)
    return BucketPlan(
        name=results.bucket,
        purpose="transient",
        versioning=True,
        object_lock=False,
        object_lock_mode=ObjectLockMode.NONE,
        object_lock_days=0,
        kms_key_arn=options.kms_key_arn,
        policy=policy_text(tls_only_policy(results.bucket, partition)),
        lifecycle_rules=(
            LifecycleRule("ExpireQueryResults", results.keys_prefix, expiration_days=options.results_days),
            LifecycleRule(
                "ExpireNoncurrentQueryResults",
                results.keys_prefix,
                noncurrent_days=NONCURRENT_DAYS,
                abort_upload_days=ABORT_UPLOAD_DAYS,
                expired_delete_markers=True,
            ),
        ),
        tags=tags,
        prefixes=(results.prefix,),
    )


def _glue_table(spec: StorageSpec, tags: tuple[tuple[str, str], ...]) -> GlueTablePlan:
    location = str(S3Location.parse(spec.audit_events_long_term_uri))
    return GlueTablePlan(
        database=spec.glue_database,
        database_description="Audit events that extaudit stores, for Athena.",
        database_tags=tags,
        table=spec.glue_table,
        location=location,
        columns=_COLUMNS,
        partition_keys=(Column("event_date", "date"),),
        table_type="EXTERNAL_TABLE",
        input_format=f"{_PARQUET}.MapredParquetInputFormat",
        output_format=f"{_PARQUET}.MapredParquetOutputFormat",
        serialization_library=f"{_PARQUET}.serde.ParquetHiveSerDe",
        serialization_parameters=(("serialization.format", "1"),),
        parameters=(
            ("EXTERNAL", "TRUE"),
            ("classification", "parquet"),
            ("parquet.compression", "SNAPPY"),
            ("projection.enabled", "true"),
            ("projection.event_date.format", "yyyy-MM-dd"),
            ("projection.event_date.interval", "1"),
            ("projection.event_date.interval.unit", "DAYS"),
            ("projection.event_date.range", DATES),
            ("projection.event_date.type", "date"),
            ("storage.location.template", f"{location}/${{event_date}}/"),
        ),
    )

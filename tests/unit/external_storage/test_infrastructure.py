"""What is planned for an external audit storage."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from rbac.identities import Identity, IdentityKind
from server.audit_log.event import parse_event
from server.audit_log.timestamps import DAY_MS, format_rfc3339, utc_date
from server.errors import InvalidRequest
from server.external_storage.iam_policy import iam_policy
from server.external_storage.infrastructure import InfrastructurePlan, LifecycleRule
from server.external_storage.planning import infrastructure_plan
from server.storage.spec import ObjectLockMode, S3Location, StorageOptions
from tests.unit.external_storage.specs import (
    CUSTOM,
    KEY,
    ROLE,
    SPEC,
    random_options,
    random_role,
    random_spec,
)


def plan_of(spec: Any = SPEC, **options: Any) -> InfrastructurePlan:
    return infrastructure_plan(spec, StorageOptions(**options), ROLE, "acme.example.com")


@pytest.mark.parametrize(
    "spec", [SPEC, CUSTOM, replace(SPEC, region="us-east-1")], ids=["usual", "custom", "us-east-1"]
)
def test_both_buckets_keep_versions_and_refuse_what_does_not_come_over_tls(spec: Any) -> None:
    plan = plan_of(spec)
    long_term, transient = plan.buckets
    assert (long_term.name, transient.name) == (
        S3Location.parse(spec.audit_events_long_term_uri).bucket,
        S3Location.parse(spec.athena_results_uri).bucket,
    )
    assert (long_term.purpose, transient.purpose) == ("long-term", "transient")
    for bucket in plan.buckets:
        assert bucket.versioning
        [statement] = json.loads(bucket.policy)["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Principal"] == "*"
        assert statement["Action"] == "s3:*"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert statement["Resource"] == [f"arn:aws:s3:::{bucket.name}", f"arn:aws:s3:::{bucket.name}/*"]


@pytest.mark.parametrize(
    ("mode", "days"),
    [(ObjectLockMode.GOVERNANCE, 1460), (ObjectLockMode.COMPLIANCE, 30), (ObjectLockMode.NONE, 0)],
)
def test_the_long_term_bucket_alone_has_object_lock_as_chosen(mode: ObjectLockMode, days: int) -> None:
    long_term, transient = plan_of(object_lock_mode=mode, object_lock_days=days).buckets
    assert (long_term.object_lock, long_term.object_lock_mode, long_term.object_lock_days) == (True, mode, days)
    assert (transient.object_lock, transient.object_lock_mode) == (False, ObjectLockMode.NONE)
    assert transient.object_lock_days == 0


def test_a_key_encrypts_buckets_and_results_and_is_in_the_role_policy() -> None:
    plan = plan_of(kms_key_arn=KEY)
    assert {each.kms_key_arn for each in (*plan.buckets, plan.workgroup)} == {KEY}
    assert json.loads(plan.role_policy.policy) == iam_policy(SPEC, "aws", ROLE.account_id, KEY)
    assert {each.kms_key_arn for each in (*plan_of().buckets, plan_of().workgroup)} == {""}


def matches(rule: LifecycleRule, key: str) -> bool:
    return key.startswith(rule.prefix)


@pytest.mark.parametrize("spec", [SPEC, CUSTOM, replace(SPEC, athena_results_uri="s3://teleport-transient")])
def test_results_of_queries_really_expire_and_nothing_beside_them(spec: Any) -> None:
    _, transient = plan_of(spec, results_days=3).buckets
    expire, clean = transient.lifecycle_rules
    prefix = S3Location.parse(spec.athena_results_uri).prefix
    for rule in (expire, clean):
        assert not rule.prefix.startswith("/")
        assert matches(rule, f"{prefix}/0b1c.csv".lstrip("/"))
        assert not prefix or not matches(rule, f"{prefix}-of-others/a")
    assert (expire.expiration_days, expire.noncurrent_days, expire.expired_delete_markers) == (3, 0, False)
    assert clean == LifecycleRule(clean.id, expire.prefix, 0, 1, 7, True)


def test_the_long_term_bucket_deletes_nothing_unless_a_retention_is_stated() -> None:
    assert plan_of().buckets[0].lifecycle_rules == ()


@pytest.mark.parametrize(
    ("mode", "lock", "retention", "noncurrent"),
    [
        (ObjectLockMode.COMPLIANCE, 30, 30, 1),
        (ObjectLockMode.GOVERNANCE, 30, 31, 31),
        (ObjectLockMode.NONE, 0, 90, 90),
    ],
)
def test_a_stated_retention_lets_go_of_events_and_recordings_and_of_no_version_before_its_time(
    mode: ObjectLockMode, lock: int, retention: int, noncurrent: int
) -> None:
    options = {"object_lock_mode": mode, "object_lock_days": lock, "retention_days": retention}
    rules = plan_of(CUSTOM, **options).buckets[0].lifecycle_rules
    for prefix in ("teleport/(prod)/audit_events/", "teleport/(prod)/recordings/"):
        expire, clean = (rule for rule in rules if rule.prefix == prefix)
        assert expire == LifecycleRule(expire.id, prefix, expiration_days=retention)
        assert clean == LifecycleRule(clean.id, prefix, noncurrent_days=noncurrent, expired_delete_markers=True)
    assert len({rule.id for rule in rules}) == len(rules) == 4


def test_the_table_is_described_as_teleport_does_but_where_its_events_are() -> None:
    glue = plan_of(CUSTOM).glue
    assert glue.location == "s3://acme.audit/teleport/(prod)/audit_events"
    assert [(column.name, column.type) for column in glue.columns] == [
        ("uid", "string"),
        ("session_id", "string"),
        ("event_type", "string"),
        ("event_time", "timestamp"),
        ("event_data", "string"),
        ("user", "string"),
    ]
    assert [(column.name, column.type) for column in glue.partition_keys] == [("event_date", "date")]
    assert dict(glue.parameters) == {
        "EXTERNAL": "TRUE",
        "classification": "parquet",
        "parquet.compression": "SNAPPY",
        "projection.enabled": "true",
        "projection.event_date.type": "date",
        "projection.event_date.format": "yyyy-MM-dd",
        "projection.event_date.interval": "1",
        "projection.event_date.interval.unit": "DAYS",
        "projection.event_date.range": "1970-01-01,NOW+2DAYS",
        "storage.location.template": "s3://acme.audit/teleport/(prod)/audit_events/${event_date}/",
    }
    assert glue.input_format == "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    assert glue.output_format == "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
    assert glue.serialization_library == "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    assert glue.serialization_parameters == (("serialization.format", "1"),)
    assert (glue.database, glue.table, glue.table_type) == (SPEC.glue_database, SPEC.glue_table, "EXTERNAL_TABLE")


def accepted(time_ms: int, now_ms: int) -> bool:
    emitter = Identity(IdentityKind.COMPONENT, "node", frozenset())
    text = format_rfc3339(time_ms) if time_ms >= 0 else "1969-12-31T23:59:59.999Z"
    try:
        parse_event(b'{"event":"a","uid":"u","time":"%b"}' % text.encode(), emitter, now_ms=now_ms, max_bytes=1000)
    except InvalidRequest:
        return False
    return True


@pytest.mark.parametrize("hour", ["00:00:00.000", "12:34:56.789", "23:59:59.999"])
@pytest.mark.parametrize("day", ["2026-11-28", "2028-02-28", "2099-12-31"])
def test_the_projection_covers_the_date_of_every_event_that_is_taken_in(day: str, hour: str) -> None:
    now_ms = int(datetime.fromisoformat(f"{day}T{hour}+00:00").timestamp() * 1000)
    dates = dict(plan_of().glue.parameters)["projection.event_date.range"]
    first, last = projected(dates, now_ms)
    for edge, beyond in ((0, -1), (now_ms + DAY_MS, now_ms + DAY_MS + 1)):
        assert accepted(edge, now_ms)
        assert not accepted(beyond, now_ms)
        assert first <= date.fromisoformat(utc_date(edge)) <= last
    # Athena's clock may be behind by a day.
    assert date.fromisoformat(utc_date(now_ms + DAY_MS)) <= projected(dates, now_ms - DAY_MS)[1]


def projected(text: str, now_ms: int) -> tuple[date, date]:
    """First and last date of a range, as Athena understands it."""
    first, last = text.split(",")
    days = re.fullmatch(r"NOW\+([0-9]+)DAYS", last)
    assert days is not None
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    return date.fromisoformat(first), today + timedelta(days=int(days[1]))


def test_the_workgroup_bounds_what_a_query_scans_and_enforces_where_results_go() -> None:
    workgroup = plan_of(CUSTOM, scan_limit_bytes=10_000_000).workgroup
    assert workgroup.name == SPEC.athena_workgroup
    assert workgroup.enforce_configuration
    assert workgroup.output_location == "s3://acme-scratch/athena/audit!"
    assert workgroup.scan_limit_bytes == 10_000_000


def test_tags_tell_whose_it_is() -> None:
    plan = plan_of()
    tags = (("extaudit:cluster", "acme.example.com"), ("extaudit:integration", "audit-account"))
    assert {*(bucket.tags for bucket in plan.buckets), plan.workgroup.tags, plan.glue.database_tags} == {tags}


def test_any_legal_storage_gives_the_same_plan_again_and_its_json_can_be_read() -> None:
    chance = random.Random(62)
    for _ in range(200):
        spec = random_spec(chance)
        role = random_role(chance, spec.region)
        options = random_options(chance, role, spec.region)
        plan = infrastructure_plan(spec, options, role, "c")
        assert infrastructure_plan(spec, options, role, "c") == plan
        assert (plan.partition, plan.account_id, plan.region) == (role.partition, role.account_id, spec.region)
        for bucket in plan.buckets:
            assert json.loads(bucket.policy)["Statement"][0]["Resource"][0].endswith(f":::{bucket.name}")
            assert len({rule.id for rule in bucket.lifecycle_rules}) == len(bucket.lifecycle_rules)
        assert all(rule.abort_upload_days == 0 for rule in plan.buckets[0].lifecycle_rules)
        assert plan.role_policy.role_arn == str(role)
        assert plan.role_policy.policy_name == spec.policy_name

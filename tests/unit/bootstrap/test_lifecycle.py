"""Which rules hit which keys, by what S3 says of rules: results expire, events and recordings only with a retention."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from extaudit_cli.bootstrap.lifecycle import LifecycleRule, harmful, read_rule

from server.storage.spec import ObjectLockMode, StorageOptions
from tests.unit.bootstrap.conftest import Account

KEYS = {
    "long-term": [
        "events/2026-01-01/0f-1-20.parquet",
        "events/_batches/0f/1-20.json",
        "sessions/0d4c1f0e.tar",
        "events",
        "other/file",
    ],
    "transient": [
        "query_results/2026/01/01/q.csv",
        "query_results/q.csv.metadata",
        "query_results2/q.csv",
        "other/file",
    ],
}
"""By the purpose of a bucket."""


def stored_rules(account: Account, options: StorageOptions) -> dict[str, list[LifecycleRule]]:
    """What S3 has of each bucket's rules, after a run."""
    plan, found = account.plan(options=options), {}
    account.run(plan, only=["long-term-bucket", "transient-bucket"])
    s3 = account.sandbox.client("s3")
    for bucket in plan.buckets:
        rules: list[dict[str, Any]] = []
        with suppress(s3.exceptions.ClientError):  # one without rules says that it has none
            rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket.name)["Rules"]
        found[bucket.purpose] = [read_rule(rule) for rule in rules]
    return found


def expiring(rules: list[LifecycleRule], keys: list[str]) -> dict[str, int]:
    """Keys that expire, with the days."""
    return {
        key: rule.expiration_days
        for key in keys
        for rule in rules
        if rule.is_for(key) and rule.expiration_days is not None
    }


@pytest.mark.parametrize(
    ("options", "long_term", "results_days"),
    [
        (StorageOptions(), {}, 1),
        (StorageOptions(results_days=30), {}, 30),
        (StorageOptions(retention_days=1500), dict.fromkeys(KEYS["long-term"][:3], 1500), 1),
        (
            StorageOptions(object_lock_mode=ObjectLockMode.NONE, object_lock_days=0, retention_days=90),
            dict.fromkeys(KEYS["long-term"][:3], 90),
            1,
        ),
    ],
    ids=["kept for ever", "results longer", "retention", "retention without lock"],
)
def test_results_expire_and_what_is_kept_does_not_but_by_its_retention(
    account: Account, options: StorageOptions, long_term: dict[str, int], results_days: int
) -> None:
    rules = stored_rules(account, options)
    assert expiring(rules["long-term"], KEYS["long-term"]) == long_term
    assert expiring(rules["transient"], KEYS["transient"]) == dict.fromkeys(KEYS["transient"][:2], results_days)
    assert [rule.id for rule in rules["long-term"] if rule.abort_upload_days is not None] == [], (
        "uploads last as sessions"
    )
    gone = [rule for rule in rules["transient"] if rule.is_for(KEYS["transient"][0])]
    assert any(rule.noncurrent_days for rule in gone), "an expired result is a version that isn't current, and goes too"
    assert any(rule.abort_upload_days for rule in gone)
    assert any(rule.expired_delete_markers for rule in gone)


@pytest.mark.parametrize(
    ("rule", "hit"),
    [
        ({"Filter": {"Prefix": "query_results/"}}, True),
        ({"Filter": {"Prefix": "query_results"}}, True),
        ({"Filter": {"Prefix": ""}}, True),
        ({"Filter": {}}, True),
        ({"Prefix": "query_results/"}, True),
        ({"Filter": {"And": {"Prefix": "query", "Tags": [{"Key": "a", "Value": "b"}]}}}, True),
        ({"Filter": {"Prefix": "/query_results"}}, False),
        ({"Filter": {"Prefix": "query_results/2/"}}, False),
        ({"Filter": {"Prefix": "Query_results"}}, False),
        ({"Filter": {"Prefix": ""}, "Status": "Disabled"}, False),
    ],
)
def test_a_rule_is_for_keys_that_begin_with_its_prefix_letter_by_letter(rule: dict[str, Any], hit: bool) -> None:
    """A prefix with a slash before it is for no key, since keys begin without."""
    assert read_rule({"Status": "Enabled"} | rule).is_for("query_results/q.csv") is hit


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"Expiration": {"Days": 30}}, "deletes objects after 30 days"),
        ({"Expiration": {"Date": "2030-01-01"}}, "deletes objects on 2030-01-01"),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 5}}, "deletes older versions after 5 days"),
        ({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}, "aborts uploads after 7 days"),
        ({"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}, "can't be read at once"),
        ({"NoncurrentVersionTransitions": [{"StorageClass": "DEEP_ARCHIVE"}]}, "can't be read at once"),
        ({"Filter": {"Prefix": "events/2020"}, "Expiration": {"Days": 1}}, "under events/2020"),
        ({"Filter": {"Prefix": "ev"}, "Expiration": {"Days": 1}}, "under ev"),
        ({"Expiration": {"ExpiredObjectDeleteMarker": True}}, ""),
        ({"Transitions": [{"Days": 1, "StorageClass": "GLACIER_IR"}]}, ""),
        ({"Filter": {"Prefix": "events2/"}, "Expiration": {"Days": 1}}, ""),
        ({"Filter": {"Prefix": "other/"}, "Expiration": {"Days": 1}}, ""),
        ({"Status": "Disabled", "Expiration": {"Days": 1}}, ""),
    ],
)
def test_rules_of_others_that_do_harm_to_what_is_kept_are_told(rule: dict[str, Any], says: str) -> None:
    found = harmful([read_rule({"ID": "theirs", "Status": "Enabled"} | rule)], ["events", "sessions"])
    assert (says in found[0]) if says else found == []


@pytest.mark.parametrize(
    "change",
    [
        {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 100}},
        {"Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}]},
        {"Status": "Disabled"},
    ],
)
def test_a_rule_that_does_less_or_more_is_not_the_same(change: dict[str, Any]) -> None:
    rule = {"ID": "a", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
    assert read_rule(rule) != read_rule(rule | change)

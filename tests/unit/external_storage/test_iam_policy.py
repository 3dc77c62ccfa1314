"""The IAM policy of an external audit storage is that of Teleport's page, filled in."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from server.external_storage.iam_policy import iam_policy, policy_text, tls_only_policy
from server.storage.spec import StorageSpec
from tests.unit.external_storage.specs import (
    ACCOUNT,
    CUSTOM,
    KEY,
    LEGAL,
    LEGAL_IN_BUCKETS,
    SPEC,
    random_role,
    random_spec,
)

POLICIES = Path(__file__).parent / "policies"
GOV = replace(SPEC, region="us-gov-west-1")
CHINA = replace(SPEC, region="cn-north-1")
SHARED = replace(SPEC, session_recordings_uri=SPEC.audit_events_long_term_uri)
BARE = replace(SPEC, athena_results_uri="s3://teleport-transient")


def key_of(partition: str, region: str) -> str:
    return KEY.replace("arn:aws:", f"arn:{partition}:").replace("us-west-2", region)


@pytest.mark.parametrize(
    ("name", "spec", "partition", "key"),
    [
        ("aws", SPEC, "aws", ""),
        ("aws-kms", SPEC, "aws", KEY),
        ("aws-us-gov", GOV, "aws-us-gov", ""),
        ("aws-us-gov-kms", GOV, "aws-us-gov", key_of("aws-us-gov", GOV.region)),
        ("aws-cn", CHINA, "aws-cn", ""),
        ("aws-cn-kms", CHINA, "aws-cn", key_of("aws-cn", CHINA.region)),
        ("custom-prefixes", CUSTOM, "aws", ""),
        ("custom-prefixes-kms", CUSTOM, "aws", KEY),
        ("shared-prefix", SHARED, "aws", ""),
        ("no-prefix", BARE, "aws", ""),
    ],
)
def test_a_policy_is_the_golden_one(name: str, spec: StorageSpec, partition: str, key: str) -> None:
    assert policy_text(iam_policy(spec, partition, ACCOUNT, key)) + "\n" == (POLICIES / f"{name}.json").read_text()


def test_a_key_adds_one_statement_after_the_three_and_changes_none() -> None:
    plain, with_key = (iam_policy(CUSTOM, "aws", ACCOUNT, key)["Statement"] for key in ("", KEY))
    assert with_key[:3] == plain
    assert [statement["Resource"] for statement in with_key[3:]] == [KEY]


def test_a_policy_of_any_legal_spec_comes_back_from_its_text_and_names_no_resource_twice() -> None:
    chance = random.Random(61)
    for _ in range(300):
        spec = random_spec(chance)
        role = random_role(chance, spec.region)
        policy = iam_policy(spec, role.partition, ACCOUNT)
        assert json.loads(policy_text(policy)) == policy
        for statement in policy["Statement"]:
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            assert len(set(resources)) == len(resources)
            assert all(resource.startswith(f"arn:{role.partition}:") for resource in resources)


def test_random_specs_have_every_character_that_the_rules_take() -> None:
    # What is shown of them, here and for the other texts, is then shown of every legal character.
    chance = random.Random(60)
    specs = [random_spec(chance) for _ in range(300)]
    for name, characters in LEGAL.items():
        behind_bucket = slice(5, None) if name.endswith("_uri") else slice(None)
        assert set("".join(getattr(spec, name)[behind_bucket] for spec in specs)) == set(characters), name
    buckets = "".join(spec.events.bucket + spec.results.bucket for spec in specs)
    assert set(buckets) == set(LEGAL_IN_BUCKETS)


HOSTILE = ['"', "\\", '","Action":"*', "\n", "\0", "é", "\u2028", "\U0001f600", "${aws:username}", "]}", "'"]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_text_that_no_rule_allows_stays_in_its_string_all_the_same(text: str) -> None:
    spec = replace(CUSTOM, region=text, athena_workgroup=text, glue_database=text, glue_table=text)
    spec = replace(spec, audit_events_long_term_uri=f"s3://b{text}/p{text}")
    for policy in (iam_policy(spec, "aws", ACCOUNT, f"arn{text}"), tls_only_policy(text, "aws")):
        assert json.loads(policy_text(policy)) == policy
        assert policy_text(policy).isascii()

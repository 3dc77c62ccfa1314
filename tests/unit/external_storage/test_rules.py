"""The rules for the nine fields and the options, value by value."""

from __future__ import annotations

import random
import uuid
from dataclasses import replace
from typing import Any

import pytest

from server.external_storage.bucket_names import bucket_problem
from server.external_storage.generated_names import generated_spec
from server.external_storage.locations import is_within
from server.external_storage.placement import placement_violations, storage_id
from server.external_storage.regions import RegionRule, partition_of
from server.external_storage.rules import Rules, description_violations
from server.integrations.integration import RoleArn
from server.storage.spec import ObjectLockMode, S3Location, StorageOptions, StorageSpec
from tests.unit.external_storage.specs import ACCOUNT, CUSTOM, KEY, ROLE, SPEC, random_options, random_role, random_spec

RULES = Rules(RegionRule())
EVENTS, RECORDINGS, RESULTS = "audit_events_long_term_uri", "session_recordings_uri", "athena_results_uri"
GLUE = ("glue_database", "glue_table")

GOOD_NAMES = {
    "integration_name": ["a", "A" * 128, "pro.duction", "a@b", "a+b", "-", "...", "x_1"],
    "policy_name": ["a", "P" * 128, "a+b=c,d.e@f-g_h", "..", "-"],
    "athena_workgroup": ["a", "w" * 128, "a.b_c-D", ".", "0"],
    "glue_database": ["a", "g" * 255, "_", "0", "a_1"],
    "glue_table": ["t", "g" * 255, "0_"],
}
BAD_NAMES = {
    "integration_name": ["", ".", "..", "a/b", "a b", "ä", "a" * 129, "a\n", "\na", "a\0", "a:b", "٣"],
    "policy_name": ["", "a" * 129, "a b", "a/b", "a*", "ä", "a\n", "a'b", "a\u200b", "Ⅷ"],
    "athena_workgroup": ["", "w" * 129, "a b", "a/b", "a@b", "a+b", "a\n", "ä", "\u0661"],
    "glue_database": ["", "g" * 256, "A", "a-b", "a.b", "a b", "a\n", "ä", "²", 'a"b'],
    "glue_table": ["", "g" * 256, "T", "t;", "t--", "t\n", "é"],
}
GOOD_REGIONS = [
    "us-west-2",
    "us-east-1",
    "eu-central-1",
    "ap-southeast-12",
    "us-gov-west-1",
    "cn-north-1",
    "mx-central-1",
]
BAD_REGIONS = [
    "", "us", "us-west", "us-west-", "us-west-123", "US-WEST-2", "us-west-2\n", " us-west-2", "aws-global", "us_west_2",
    "us-wést-2", "us-west-٢", "us-west-2.evil.example", "us-west-2/x", "us-iso-east-1", "us-isob-east-1",
    "eu-isoe-west-1", "us-gov-global", "eusc-de-east-1", "u1-west-2", "us--west-2", "us-foo-west-2",
    "us-a-b-west-2", "us-govern-west-1", "a" * 40,
]  # fmt: skip
GOOD_BUCKETS = [
    "abc",
    "a" * 63,
    "a-b",
    "a.b",
    "a.b-c.d",
    "1bucket",
    "0.0.0.0a",
    "1.2.3",
    "1.2.3.4.5",
    "xn-a",
    "a--x",
    "s3alias",
]
BAD_BUCKETS = [
    "", "ab", "a" * 64, "Abc", "a_b", "-abc", "abc-", ".abc", "abc.", "a..b", "a.-b", "a-.b", "192.168.5.4", "1.2.3.4",
    "999.999.999.999", "xn--abc", "sthree-abc", "sthree-configurator", "amzn-s3-demo-abc", "abc-s3alias", "abc--ol-s3",
    "abc.mrap", "abc--x-s3", "abc--usw2-az1--x-s3", "abc--table-s3", "a b", "äbc", "abc\n", "a%41b", "a*c", "a'c",
    "a²c",
]  # fmt: skip
GOOD_PREFIXES = ["e", "events", "a/b/c", "(prod)/x", "x!", "a_b-c.d", "A1", "e" * 490]
BAD_PREFIXES = {
    "no prefix": "s3://audit-longterm",
    "only a slash": "s3://audit-longterm/",
    "slash at the end": "s3://audit-longterm/events/",
    "two slashes first": "s3://audit-longterm//events",
    "two slashes inside": "s3://audit-longterm/a//b",
    "dots": "s3://audit-longterm/a/../b",
    "dots in a name": "s3://audit-longterm/a..b",
    "dots at the end": "s3://audit-longterm/a/..",
    "a dot": "s3://audit-longterm/./a",
    "a dot at the end": "s3://audit-longterm/a/.",
    "star": "s3://audit-longterm/ev*nts",
    "question mark": "s3://audit-longterm/ev?nts",
    "query": "s3://audit-longterm/events?versionId=1",
    "empty query": "s3://audit-longterm/events?",
    "fragment": "s3://audit-longterm/events#x",
    "empty fragment": "s3://audit-longterm/events#",
    "quote": "s3://audit-longterm/ev'nts",
    "double quote": 's3://audit-longterm/ev"nts',
    "brackets": "s3://audit-longterm/ev[n]ts",
    "braces": "s3://audit-longterm/${x}",
    "percent": "s3://audit-longterm/ev%65nts",
    "backslash": "s3://audit-longterm/ev\\nts",
    "comma": "s3://audit-longterm/a,b",
    "space": "s3://audit-longterm/a b",
    "line break at the end": "s3://audit-longterm/events\n",
    "line break": "s3://audit-longterm/ev\nents",
    "NUL": "s3://audit-longterm/ev\0ents",
    "not ASCII": "s3://audit-longterm/évents",
    "digit that isn't ASCII": "s3://audit-longterm/events٣",
    "too long": "s3://audit-longterm/" + "e" * 494,
    "too short": "s3://a/b",
}
BAD_URIS = {
    "empty": "",
    "https": "https://audit-longterm/events",
    "upper case": "S3://audit-longterm/events",
    "s3a": "s3a://audit-longterm/events",
    "no scheme": "audit-longterm/events",
    "one slash": "s3:/audit-longterm/events",
    "ARN": "arn:aws:s3:::audit-longterm/events",
    "user": "s3://me@audit-longterm/events",
    "user and password": "s3://me:secret@audit-longterm/events",
    "port": "s3://audit-longterm:443/events",
    "empty port": "s3://audit-longterm:/events",
    "no bucket": "s3:///events/and/more",
    "query at the bucket": "s3://audit-longterm?x/events",
    **BAD_PREFIXES,
}  # fmt: skip
PLACES: dict[str, tuple[dict[str, str], list[str]]] = {
    "the same prefix": ({RECORDINGS: "s3://b-1/x", EVENTS: "s3://b-1/x"}, [RECORDINGS]),
    "recordings within events": ({RECORDINGS: "s3://b-1/x/y", EVENTS: "s3://b-1/x"}, [RECORDINGS]),
    "events within recordings": ({RECORDINGS: "s3://b-1/x", EVENTS: "s3://b-1/x/y"}, [RECORDINGS]),
    "the same beginning of a name": ({RECORDINGS: "s3://b-1/xy", EVENTS: "s3://b-1/x"}, []),
    "the same but for case": ({RECORDINGS: "s3://b-1/X", EVENTS: "s3://b-1/x"}, []),
    "two buckets": ({RECORDINGS: "s3://b-2/x", EVENTS: "s3://b-1/y"}, [RECORDINGS]),
    "results among them": ({RECORDINGS: "s3://b-1/x", EVENTS: "s3://b-1/y", RESULTS: "s3://b-1/z"}, [RESULTS]),
    "results with the recordings": ({RECORDINGS: "s3://b-2/x", EVENTS: "s3://b-1/y", RESULTS: "s3://b-2/z"},
                                    [RECORDINGS, RESULTS]),
    "results with the events": ({RECORDINGS: "s3://b-2/x", EVENTS: "s3://b-1/y", RESULTS: "s3://b-1/z"},
                                [RECORDINGS, RESULTS]),
}  # fmt: skip
GOOD_OPTIONS: list[dict[str, Any]] = [
    {},
    {"object_lock_days": 1},
    {"object_lock_days": 36_500},
    {"object_lock_mode": ObjectLockMode.NONE, "object_lock_days": 0},
    {"object_lock_mode": ObjectLockMode.NONE, "object_lock_days": 0, "retention_days": 1},
    {"object_lock_mode": ObjectLockMode.COMPLIANCE},
    {"retention_days": 1460},
    {"retention_days": 36_500},
    {"results_days": 365},
    {"scan_limit_bytes": 10_000_000},
    {"scan_limit_bytes": 2**63 - 1},
    {"kms_key_arn": KEY},
    {"kms_key_arn": f"arn:aws:kms:us-west-2:{ACCOUNT}:key/mrk-{'0a' * 16}"},
]
BAD_OPTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({"object_lock_days": 0}, ["object_lock_days"]),
    ({"object_lock_days": -1}, ["object_lock_days"]),
    ({"object_lock_days": 36_501}, ["object_lock_days"]),
    ({"object_lock_mode": ObjectLockMode.NONE}, ["object_lock_days"]),
    ({"retention_days": -1}, ["retention_days"]),
    ({"retention_days": 36_501}, ["retention_days"]),
    ({"retention_days": 1459}, ["retention_days"]),
    ({"results_days": 0}, ["results_days"]),
    ({"results_days": -1}, ["results_days"]),
    ({"results_days": 366}, ["results_days"]),
    ({"scan_limit_bytes": 9_999_999}, ["scan_limit_bytes"]),
    ({"scan_limit_bytes": -1}, ["scan_limit_bytes"]),
    ({"object_lock_days": 0, "retention_days": -1, "results_days": 0, "scan_limit_bytes": 0, "kms_key_arn": "x"},
     ["object_lock_days", "kms_key_arn", "retention_days", "results_days", "scan_limit_bytes"]),
]  # fmt: skip
BAD_KEYS = [
    "x",
    KEY + "\n",
    KEY.replace("key/", "alias/"),
    KEY.replace(ACCOUNT, "12345"),
    KEY.replace("us-west-2", "us-east-1"),
    KEY.replace("aws:kms", "aws-iso:kms"),
    KEY.replace(":kms:", ":s3:"),
    KEY.upper(),
    KEY + "/x",
    KEY[:-1],
    KEY.replace("us-west-2", ""),
    KEY.replace(ACCOUNT, "\u066378576220453"),
]


def wrong(spec: StorageSpec, options: StorageOptions | None = None, rules: Rules = RULES) -> list[str]:
    """The fields that are wrong, each once, in the order in which they are told."""
    return list(dict.fromkeys(each.field for each in rules.violations(spec, options or StorageOptions(), "")))


def with_place(uri: str, field: str) -> StorageSpec:
    return replace(SPEC, **{field: uri})


def test_the_table_is_as_large_as_it_should_be() -> None:
    names = sum(map(len, GOOD_NAMES.values())) + sum(map(len, BAD_NAMES.values()))
    regions, buckets = len(GOOD_REGIONS + BAD_REGIONS), len(GOOD_BUCKETS + BAD_BUCKETS)
    assert names + regions + buckets + len(BAD_URIS) + len(BAD_OPTIONS) + len(BAD_KEYS) > 200


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in GOOD_NAMES.items() for value in values])
def test_a_good_name_is_taken(field: str, value: str) -> None:
    assert wrong(replace(SPEC, **{field: value})) == []


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in BAD_NAMES.items() for value in values])
def test_a_bad_name_is_refused_by_its_field(field: str, value: str) -> None:
    assert wrong(replace(SPEC, **{field: value})) == [field]


@pytest.mark.parametrize("region", GOOD_REGIONS)
def test_a_region_is_taken(region: str) -> None:
    assert wrong(replace(SPEC, region=region)) == []


@pytest.mark.parametrize("region", BAD_REGIONS)
def test_what_is_no_region_of_a_known_partition_is_refused(region: str) -> None:
    assert wrong(replace(SPEC, region=region)) == ["region"]


@pytest.mark.parametrize("bucket", GOOD_BUCKETS)
def test_a_bucket_that_s3_allows_is_taken(bucket: str) -> None:
    assert bucket_problem(bucket) == ""
    assert wrong(replace(SPEC, athena_results_uri=f"s3://{bucket}/results")) == []


@pytest.mark.parametrize("bucket", BAD_BUCKETS)
def test_a_bucket_that_s3_does_not_allow_is_refused(bucket: str) -> None:
    assert bucket_problem(bucket) != ""
    assert wrong(replace(SPEC, athena_results_uri=f"s3://{bucket}/results")) == [RESULTS]


@pytest.mark.parametrize("prefix", GOOD_PREFIXES)
def test_a_prefix_is_taken(prefix: str) -> None:
    assert wrong(with_place(f"s3://audit-transient/{prefix}", RESULTS)) == []


@pytest.mark.parametrize("field", [EVENTS, RECORDINGS, RESULTS])
@pytest.mark.parametrize("name", BAD_URIS)
def test_a_uri_that_names_no_place_in_s3_is_refused_by_its_field_alone(name: str, field: str) -> None:
    assert wrong(with_place(BAD_URIS[name], field)) == [field]


SAID = {
    "https": "begin with s3://",
    "upper case": "begin with s3://",
    "user": "no user and password",
    "user and password": "no user and password",
    "port": "no port",
    "empty port": "no port",
    "no prefix": "a prefix after the bucket",
    "only a slash": "a prefix after the bucket",
    "query": "no query",
    "fragment": "no fragment",
    "slash at the end": "end with a slash",
    "dots": "must not have ..",
    "too long": "at most 512 characters",
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_wrong_with_a_uri_is_said(name: str) -> None:
    (found,) = RULES.violations(with_place(BAD_URIS[name], RESULTS), StorageOptions())
    assert SAID[name] in found.description


def test_only_places_of_one_bucket_are_within_each_other() -> None:
    outer = S3Location("b", "x")
    found = [
        is_within(S3Location(bucket, prefix), outer) for bucket in ("b", "c") for prefix in ("x", "x/y", "xy", "y")
    ]
    assert found == [True, True, *[False] * 6]


@pytest.mark.parametrize("name", PLACES)
def test_places_are_beside_each_other(name: str) -> None:
    fields, expected = PLACES[name]
    assert wrong(replace(SPEC, **fields)) == expected


@pytest.mark.parametrize("fields", GOOD_OPTIONS)
def test_good_options_are_taken(fields: dict[str, Any]) -> None:
    assert wrong(SPEC, replace(StorageOptions(), **fields)) == []


@pytest.mark.parametrize(("fields", "expected"), BAD_OPTIONS)
def test_bad_options_are_refused_all_at_once(fields: dict[str, Any], expected: list[str]) -> None:
    assert wrong(SPEC, replace(StorageOptions(), **fields)) == [f"options.{name}" for name in expected]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_is_none_of_the_region_is_refused(key: str) -> None:
    assert wrong(SPEC, replace(StorageOptions(), kms_key_arn=key)) == ["options.kms_key_arn"]


def test_every_wrong_field_is_told_in_the_order_of_the_fields() -> None:
    nothing = StorageSpec(*[""] * 9)
    assert wrong(nothing) == list(StorageSpec.__slots__)


def test_generated_names_and_random_legal_ones_keep_the_rules() -> None:
    chance = random.Random(6)
    for _ in range(300):
        nonce = uuid.UUID(int=chance.getrandbits(128), version=4)
        assert wrong(generated_spec("production", "us-west-2", nonce)) == []
        spec = random_spec(chance)
        role = random_role(chance, spec.region)
        options = random_options(chance, role, spec.region)
        assert wrong(spec, options) == []
        assert placement_violations(spec, options, role, "") == []
    assert wrong(CUSTOM) == []


def test_generated_names_are_teleport_s() -> None:
    nonce = uuid.UUID("5f0e8d0c-27a6-4a7a-9c7f-6a0c6a5f7a10")
    assert generated_spec(SPEC.integration_name, SPEC.region, nonce) == SPEC


REGION_RULES = [
    (RegionRule(), "eu-west-1", True),
    (RegionRule("us-west-2"), "us-west-2", True),
    (RegionRule("us-west-2"), "eu-west-1", False),
    (RegionRule("us-west-2", ("eu-west-1",)), "eu-west-1", True),
    (RegionRule("us-west-2", ("eu-west-1",)), "eu-west-2", False),
    (RegionRule("us-west-2", ("*",)), "eu-west-2", True),
    (RegionRule("us-west-2", ("*",)), "nowhere", False),
]


@pytest.mark.parametrize(("rule", "region", "allowed"), REGION_RULES)
def test_the_region_is_the_service_s_own_unless_others_are_allowed(
    rule: RegionRule, region: str, allowed: bool
) -> None:
    assert (wrong(replace(SPEC, region=region), rules=Rules(rule)) == []) is allowed


@pytest.mark.parametrize(
    ("region", "partition"),
    [("us-west-2", "aws"), ("us-gov-east-1", "aws-us-gov"), ("cn-northwest-1", "aws-cn"), ("eu-west-1", "aws")],
)
def test_a_region_has_its_partition(region: str, partition: str) -> None:
    assert partition_of(region) == partition


PLACEMENTS: list[tuple[str, str, RoleArn, list[str]]] = [
    ("us-west-2", "", ROLE, []),
    ("us-gov-west-1", "", ROLE, ["spec.region"]),
    ("cn-north-1", "", ROLE, ["spec.region"]),
    ("us-west-2", "", replace(ROLE, partition="aws-cn"), ["spec.region"]),
    ("us-gov-west-1", "", replace(ROLE, partition="aws-us-gov"), []),
    ("us-west-2", KEY, ROLE, []),
    ("us-west-2", KEY, replace(ROLE, account_id="000000000000"), ["options.kms_key_arn"]),
    ("us-west-2", KEY.replace("aws:", "aws-cn:"), ROLE, ["options.kms_key_arn"]),
]


@pytest.mark.parametrize(("region", "key", "role", "expected"), PLACEMENTS)
def test_region_and_key_fit_the_role(region: str, key: str, role: RoleArn, expected: list[str]) -> None:
    options = replace(StorageOptions(), kms_key_arn=key)
    found = placement_violations(replace(SPEC, region=region), options, role, "spec.")
    assert [each.field for each in found] == expected


DIFFERENT = [
    {EVENTS: f"{SPEC.events}-2"},
    {RECORDINGS: f"{SPEC.recordings}-2"},
    {EVENTS: "s3://other/events", RECORDINGS: "s3://other/sessions"},
    {EVENTS: SPEC.session_recordings_uri, RECORDINGS: SPEC.audit_events_long_term_uri},
]
SAME = ["integration_name", "athena_workgroup", "glue_database", "glue_table", "policy_name", "region", RESULTS]


def test_the_id_follows_from_account_bucket_and_prefixes_alone() -> None:
    first = storage_id(SPEC, ROLE)
    assert first == "aws-0a06632d05349aaf"  # what is stored under an id must be found again by later versions
    assert {storage_id(replace(SPEC, **{name: "other"}), ROLE) for name in SAME} == {first}
    assert storage_id(SPEC, replace(ROLE, name="other", path="/")) == first
    others = [storage_id(replace(SPEC, **fields), ROLE) for fields in DIFFERENT]
    others += [storage_id(SPEC, replace(ROLE, account_id="000000000000"))]
    others += [storage_id(SPEC, replace(ROLE, partition="aws-cn"))]
    assert len({first, *others}) == 1 + len(others)


@pytest.mark.parametrize(("text", "good"), [("", True), ("x" * 1024, True), ("x" * 1025, False), ("a\0", False)])
def test_a_description_has_its_bounds(text: str, good: bool) -> None:
    assert (description_violations(text) == []) is good

"""Specs for tests of what is made of them."""

from __future__ import annotations

import random
from dataclasses import replace

from server.external_storage.bucket_names import bucket_problem
from server.external_storage.locations import location_problems
from server.external_storage.regions import ANY, RegionRule, partition_of
from server.external_storage.rules import options_violations, spec_violations
from server.integrations.integration import RoleArn
from server.storage.spec import ObjectLockMode, StorageOptions, StorageSpec

NONCE = "5f0e8d0c-27a6-4a7a-9c7f-6a0c6a5f7a10"
UNDERSCORED = NONCE.replace("-", "_")

SPEC = StorageSpec(
    integration_name="audit-account",
    region="us-west-2",
    session_recordings_uri=f"s3://teleport-longterm-{NONCE}/sessions",
    audit_events_long_term_uri=f"s3://teleport-longterm-{NONCE}/events",
    athena_results_uri=f"s3://teleport-transient-{NONCE}/query_results",
    athena_workgroup=f"teleport_events_{UNDERSCORED}",
    glue_database=f"teleport_events_{UNDERSCORED}",
    glue_table="teleport_events",
    policy_name=f"ExternalAuditStoragePolicy-{NONCE}",
)
CUSTOM = replace(
    SPEC,
    session_recordings_uri="s3://acme.audit/teleport/(prod)/recordings",
    audit_events_long_term_uri="s3://acme.audit/teleport/(prod)/audit_events",
    athena_results_uri="s3://acme-scratch/athena/audit!",
)
"""Prefixes of several parts."""

ACCOUNT = "278576220453"
ROLE = RoleArn("aws", ACCOUNT, "/service/", "extaudit")
KEY = "arn:aws:kms:us-west-2:278576220453:key/9f5f2f0c-6a0a-4a63-8b0f-0d2b3d3c2a11"

ANY_REGION = RegionRule("us-east-1", (ANY,))
_PRINTABLE = [chr(code) for code in range(33, 127)]
NAMES = ("integration_name", "athena_workgroup", "glue_database", "glue_table", "policy_name")


def legal_characters(name: str) -> str:
    """The characters that the rules take in a field, and in the URI of a place behind its bucket."""

    def taken(character: str) -> bool:
        if name.endswith("_uri"):
            return not list(location_problems(f"s3://bucket/a{character}a"))
        spec = replace(SPEC, **{name: f"a{character}a"})
        return all(violation.field != name for violation in spec_violations(spec, ANY_REGION))

    return "".join(filter(taken, _PRINTABLE))


LEGAL = {name: legal_characters(name) for name in (*NAMES, "athena_results_uri")}
LEGAL_IN_BUCKETS = "".join(each for each in _PRINTABLE if not bucket_problem(f"a{each}a"))


def random_spec(chance: random.Random) -> StorageSpec:
    """A spec of any legal characters, any legal length and any partition."""

    def text(alphabet: str, most: int) -> str:
        return "".join(chance.choices(alphabet, k=chance.choice([1, chance.randint(1, most), most])))

    def bucket() -> str:
        while bucket_problem(name := text(LEGAL_IN_BUCKETS, chance.choice([10, 63]))):
            pass
        return name

    def path() -> str:
        while list(location_problems(f"s3://bucket/{(found := text(LEGAL['athena_results_uri'], 30))}")):
            pass
        return found

    while True:
        long_term, base = bucket(), chance.choice(["", path() + "/"])
        spec = StorageSpec(
            region=chance.choice(["us-east-1", "us-west-2", "us-gov-west-1", "cn-north-1", "eu-central-1"]),
            session_recordings_uri=f"s3://{long_term}/{base}{path()}",
            audit_events_long_term_uri=f"s3://{long_term}/{base}{path()}",
            athena_results_uri=f"s3://{bucket()}/{path()}",
            **{name: text(LEGAL[name], 255 if name.startswith("glue") else 128) for name in NAMES},
        )
        if not spec_violations(spec, ANY_REGION):
            return spec


def random_role(chance: random.Random, region: str) -> RoleArn:
    partition = partition_of(region)
    path = "".join(chr(code) for code in chance.choices([c for c in range(33, 127) if c != ord("/")], k=20))
    role = RoleArn(partition, ACCOUNT, f"/{path}/", "".join(chance.choices("abcXYZ019_+=,.@-", k=20)))
    assert RoleArn.parse(str(role)) == role
    return role


def random_options(chance: random.Random, role: RoleArn, region: str) -> StorageOptions:
    mode = chance.choice(list(ObjectLockMode))
    lock = 0 if mode is ObjectLockMode.NONE else chance.randint(1, 3650)
    key = f"arn:{role.partition}:kms:{region}:{role.account_id}:key/9f5f2f0c-6a0a-4a63-8b0f-0d2b3d3c2a11"
    options = StorageOptions(
        mode,
        lock,
        chance.choice(["", key]),
        chance.choice([0, max(lock, 1), 36_500]),
        chance.randint(1, 365),
        chance.randint(10_000_000, 10**15),
    )
    assert options_violations(options, region) == []
    return options

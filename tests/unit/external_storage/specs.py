"""Specs for tests of what is made of them."""

from __future__ import annotations

import random
import string
from dataclasses import replace

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

_PATH = string.ascii_letters + string.digits + "!_.()-"


def random_spec(chance: random.Random) -> StorageSpec:
    """A spec of any legal characters."""

    def text(alphabet: str, least: int, most: int) -> str:
        return "".join(chance.choices(alphabet, k=chance.randint(least, most)))

    def bucket() -> str:
        return text("abcxyz0189", 1, 1) + text("abcxyz0189-", 5, 20) + text("abcxyz0189", 1, 1)

    def path() -> str:
        parts = (text(_PATH, 1, 12).replace("..", "._") for _ in range(chance.randint(1, 4)))
        return "/".join(part.strip(".") or "p" for part in parts)

    long_term, base = bucket(), path()
    name = string.ascii_letters + string.digits
    return StorageSpec(
        integration_name=text(name + "_@+-", 1, 60),
        region=chance.choice(["us-east-1", "us-west-2", "us-gov-west-1", "cn-north-1", "eu-central-1"]),
        session_recordings_uri=f"s3://{long_term}/{base}/s{path()}",
        audit_events_long_term_uri=f"s3://{long_term}/{base}/e{path()}",
        athena_results_uri=f"s3://{bucket()}x/{path()}",
        athena_workgroup=text(name + "._-", 1, 128),
        glue_database=text(string.ascii_lowercase + string.digits + "_", 1, 255),
        glue_table=text(string.ascii_lowercase + string.digits + "_", 1, 255),
        policy_name=text(name + "_+=,.@-", 1, 128),
    )


def random_role(chance: random.Random, region: str) -> RoleArn:
    partition = "aws-us-gov" if region.startswith("us-gov-") else "aws-cn" if region.startswith("cn-") else "aws"
    path = "".join(chr(code) for code in chance.choices([c for c in range(33, 127) if c != ord("/")], k=20))
    role = RoleArn(partition, ACCOUNT, f"/{path}/", "".join(chance.choices("abcXYZ019_+=,.@-", k=20)))
    assert RoleArn.parse(str(role)) == role
    return role


def random_options(chance: random.Random, role: RoleArn, region: str) -> StorageOptions:
    mode = chance.choice(list(ObjectLockMode))
    lock = 0 if mode is ObjectLockMode.NONE else chance.randint(1, 3650)
    key = f"arn:{role.partition}:kms:{region}:{role.account_id}:key/9f5f2f0c-6a0a-4a63-8b0f-0d2b3d3c2a11"
    return StorageOptions(
        mode,
        lock,
        chance.choice(["", key]),
        chance.choice([0, max(lock, 1), 36_500]),
        chance.randint(1, 365),
        chance.randint(10_000_000, 10**15),
    )

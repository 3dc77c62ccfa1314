"""Whose bucket it is, where it is, and what a new one has: moto answers everybody, anywhere, and gives nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.s3.models import FakeBucket, PublicAccessBlock

from tests.sandbox.asked import Asked
from tests.sandbox.authorization import may, request_context
from tests.sandbox.buckets import find_bucket
from tests.sandbox.policies import Permission
from tests.sandbox.refusals import Answer, Refused
from tests.sandbox.s3_actions import bucket_arn

Proceed = Callable[[], Answer]
_EVERYWHERE = frozenset({"CreateBucket", "GetBucketLocation"})
_ENCRYPTION = {"Rule": {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}}


def check_owner(asked: Asked) -> None:
    """Refuse where the bucket isn't of the account that the caller expects."""
    if asked.service != "s3":
        return
    source = asked.header("x-amz-copy-source").lstrip("/").partition("/")[0]
    for header, name in (
        ("x-amz-expected-bucket-owner", asked.text("Bucket")),
        ("x-amz-source-expected-bucket-owner", source),
    ):
        bucket = find_bucket(name)
        if bucket is not None and asked.header(header) not in ("", bucket.account_id):
            raise Refused("AccessDenied", "Access Denied", 403)


def check_region(asked: Asked) -> None:
    """Send a request for a bucket of another region away."""
    bucket = find_bucket(asked.text("Bucket")) if asked.service == "s3" else None
    if bucket is None or asked.scope is None or asked.operation in _EVERYWHERE or bucket.region_name == asked.region:
        return
    raise Refused(
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint.",
        301,
        headers=(("x-amz-bucket-region", bucket.region_name),),
    )


def hide_missing(asked: Asked, proceed: Proceed) -> Answer:
    """Who may not list a bucket isn't told that a key isn't there."""
    answer = proceed()
    if asked.operation not in ("GetObject", "HeadObject", "GetObjectAttributes") or answer.status != 404:
        return answer
    partition = asked.caller.partition if asked.caller else "aws"
    permission = Permission("s3:ListBucket", bucket_arn(partition, asked.text("Bucket")))
    if find_bucket(asked.text("Bucket")) is None or may(asked.caller, permission, request_context(asked)):
        return answer
    raise Refused("AccessDenied", "Access Denied", 403)


def give_defaults(asked: Asked, proceed: Proceed) -> Answer:
    """New buckets encrypt, block public access and have no ACLs, since 2023."""
    before = find_bucket(asked.text("Bucket"))
    _refuse_acls(asked, before)
    _refuse_public_policies(asked, before)
    answer = proceed()
    bucket = find_bucket(asked.text("Bucket"))
    if bucket is None or answer.status >= 300:
        return answer
    if asked.operation == "CreateBucket" and before is None:
        bucket.public_access_block = PublicAccessBlock(True, True, True, True)
        bucket.ownership_rule = bucket.ownership_rule or "BucketOwnerEnforced"
        bucket.encryption = _ENCRYPTION
    if asked.operation == "DeleteBucketEncryption":
        bucket.encryption = _ENCRYPTION
    return answer


def _refuse_acls(asked: Asked, bucket: FakeBucket | None) -> None:
    rule: Any = bucket.ownership_rule if bucket is not None else None
    given = asked.header("x-amz-acl")
    harmless = {"PutBucketAcl": ("private",), "CreateBucket": ("", "private")}
    allowed = harmless.get(asked.operation, ("", "bucket-owner-full-control"))
    if rule == "BucketOwnerEnforced" and given not in allowed:
        raise Refused("AccessControlListNotSupported", "The bucket does not allow ACLs")


def _refuse_public_policies(asked: Asked, bucket: FakeBucket | None) -> None:
    if asked.operation != "PutBucketPolicy" or bucket is None or bucket.public_access_block is None:
        return
    if bucket.public_access_block.block_public_policy and any(map(_is_public, _statements(asked.body))):
        raise Refused("AccessDenied", "Public policies are blocked by the BlockPublicPolicy setting.", 403)


def _statements(body: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(body)["Statement"]
    except (ValueError, KeyError, TypeError):
        return []
    return found if isinstance(found, list) else [found]


def _is_public(statement: dict[str, Any]) -> bool:
    anybody = statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
    return statement.get("Effect") == "Allow" and anybody and not statement.get("Condition")

"""Buckets: whose, where, and what new ones have; each getter is a right of its own."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.sandbox.refusing import make_bucket, policy, refused, session_of, set_rights
from tests.sandbox.running import Sandbox

NOBODY = "222222222222"


def read(answer: dict[str, Any]) -> None:
    """Read a body to its end, where there is one: its connection would stay open."""
    if "Body" in answer:
        answer["Body"].read()


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("head_bucket", {}),
        ("get_bucket_location", {}),
        ("put_object", {"Key": "a", "Body": b"a"}),
        ("get_object", {"Key": "there"}),
        ("list_multipart_uploads", {}),
        ("create_multipart_upload", {"Key": "a"}),
    ],
)
def test_a_bucket_of_another_owner_than_expected_is_refused(
    sandbox: Sandbox, moto: Sandbox, method: str, given: dict[str, Any]
) -> None:
    for each in (sandbox, moto):
        if "owned-bucket" not in {found["Name"] for found in each.client("s3").list_buckets()["Buckets"]}:
            make_bucket(each, "owned-bucket")
            each.client("s3").put_object(Bucket="owned-bucket", Key="there", Body=b"a")
    ask = {"Bucket": "owned-bucket", **given}
    read(getattr(moto.client("s3"), method)(**ask, ExpectedBucketOwner=NOBODY))
    code = "403" if method == "head_bucket" else "AccessDenied"
    assert refused(getattr(sandbox.client("s3"), method), **ask, ExpectedBucketOwner=NOBODY) == code
    found = getattr(sandbox.client("s3"), method)(**ask, ExpectedBucketOwner=sandbox.account_id)
    read(found)


def test_a_bucket_is_reached_in_its_region(sandbox: Sandbox, moto: Sandbox) -> None:
    make_bucket(sandbox, "in-a-region")
    make_bucket(moto, "in-a-region")

    assert moto.client("s3", region="eu-west-1").list_objects_v2(Bucket="in-a-region")
    config = Config(region_name="eu-west-1", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    session = boto3.session.Session(sandbox.admin_access_key, sandbox.admin_secret_key)
    client = session.client("s3", endpoint_url=sandbox.endpoint, config=config)
    seen: list[Any] = []
    client.meta.events.register_first(
        "needs-retry.s3", lambda response, **_: seen.append(response) if response else None
    )
    client.list_objects_v2(Bucket="in-a-region")
    http, parsed = seen[0]
    assert (http.status_code, parsed["Error"]["Code"]) == (301, "PermanentRedirect")
    assert http.headers["x-amz-bucket-region"] == "us-west-2"
    assert client.get_bucket_location(Bucket="in-a-region")["LocationConstraint"] == "us-west-2"
    client.close()


@pytest.mark.parametrize(
    ("region", "constraint", "code"),
    [
        ("us-east-1", "us-east-1", "InvalidLocationConstraint"),
        ("us-west-2", None, "IllegalLocationConstraintException"),
        ("us-west-2", "eu-west-1", "IllegalLocationConstraintException"),
    ],
)
def test_a_bucket_is_made_where_it_is_asked_for(
    sandbox: Sandbox, region: str, constraint: str | None, code: str
) -> None:
    given: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": constraint}} if constraint else {}
    assert refused(sandbox.client("s3", region=region).create_bucket, Bucket="nowhere", **given) == code


def test_making_a_bucket_again_depends_on_whose_and_where_it_is(sandbox: Sandbox) -> None:
    east = sandbox.client("s3", region="us-east-1")
    east.create_bucket(Bucket="made-in-the-east")
    east.delete_public_access_block(Bucket="made-in-the-east")
    assert east.create_bucket(Bucket="made-in-the-east")
    assert refused(east.get_public_access_block, Bucket="made-in-the-east") == "NoSuchPublicAccessBlockConfiguration"
    make_bucket(sandbox, "made-in-the-west")
    west = {"Bucket": "made-in-the-west", "CreateBucketConfiguration": {"LocationConstraint": "us-west-2"}}
    assert refused(sandbox.client("s3").create_bucket, **west) == "BucketAlreadyOwnedByYou"
    other = sandbox.client("s3", credentials=sandbox.other_account(NOBODY))
    assert refused(other.create_bucket, **west) == "BucketAlreadyExists"


def test_a_new_bucket_encrypts_blocks_public_access_and_has_no_acls(sandbox: Sandbox, moto: Sandbox) -> None:
    for each in (sandbox, moto):
        make_bucket(each, "new-bucket")
    s3, plain = sandbox.client("s3"), moto.client("s3")
    block = s3.get_public_access_block(Bucket="new-bucket")["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    rules = s3.get_bucket_encryption(Bucket="new-bucket")["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    rules = s3.get_bucket_ownership_controls(Bucket="new-bucket")["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    for method in ("get_public_access_block", "get_bucket_encryption", "get_bucket_ownership_controls"):
        assert "NotFound" in (code := refused(getattr(plain, method), Bucket="new-bucket")) or code.startswith("NoSuch")
    public = {"Bucket": "new-bucket", "Key": "a", "Body": b"a", "ACL": "public-read"}
    assert plain.put_object(**public)
    assert refused(s3.put_object, **public) == "AccessControlListNotSupported"
    assert refused(s3.put_bucket_acl, Bucket="new-bucket", ACL="public-read") == "AccessControlListNotSupported"
    s3.delete_bucket_encryption(Bucket="new-bucket")
    assert s3.get_bucket_encryption(Bucket="new-bucket")


GETTERS = {
    "get_bucket_versioning": "s3:GetBucketVersioning",
    "get_object_lock_configuration": "s3:GetBucketObjectLockConfiguration",
    "get_public_access_block": "s3:GetBucketPublicAccessBlock",
    "get_bucket_ownership_controls": "s3:GetBucketOwnershipControls",
    "get_bucket_location": "s3:GetBucketLocation",
    "get_bucket_encryption": "s3:GetEncryptionConfiguration",
    "get_bucket_lifecycle_configuration": "s3:GetLifecycleConfiguration",
    "get_bucket_policy": "s3:GetBucketPolicy",
    "get_bucket_tagging": "s3:GetBucketTagging",
    "head_bucket": "s3:ListBucket",
    "list_objects_v2": "s3:ListBucket",
    "list_object_versions": "s3:ListBucketVersions",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "list_parts": "s3:ListMultipartUploadParts",
    "upload_part": "s3:PutObject",
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "head_object": "s3:GetObject",
    "get_object": "s3:GetObject",
    "version": "s3:GetObjectVersion",
    "delete_object": "s3:DeleteObject",
}


@pytest.fixture(scope="module")
def full_bucket(sandbox: Sandbox) -> tuple[Any, dict[str, dict[str, Any]]]:
    """A session without rights, and for each method what to ask with, so that only a right can be missing."""
    s3, name = sandbox.client("s3"), "full-bucket"
    make_bucket(sandbox, name, ObjectLockEnabledForBucket=True)
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    rule = {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
    arn = f"arn:aws:s3:::{name}"
    denial = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutBucketWebsite", "Resource": arn}
    s3.put_bucket_policy(Bucket=name, Policy=policy(denial))
    version = s3.put_object(Bucket=name, Key="k", Body=b"a")["VersionId"]
    upload = s3.create_multipart_upload(Bucket=name, Key="k")["UploadId"]
    kept = {"Key": "k", "UploadId": upload}
    more: dict[str, dict[str, Any]] = {
        "list_parts": kept,
        "abort_multipart_upload": kept,
        "upload_part": {**kept, "PartNumber": 1, "Body": b"a"},
        "head_object": {"Key": "k"},
        "get_object": {"Key": "k"},
        "version": {"Key": "k", "VersionId": version},
        "delete_object": {"Key": "k"},
    }
    session = session_of(sandbox, "getters")
    return sandbox.client("s3", credentials=session), {each: {"Bucket": name, **more.get(each, {})} for each in GETTERS}


@pytest.mark.parametrize("method", GETTERS)
def test_each_method_needs_its_own_right(
    sandbox: Sandbox, full_bucket: tuple[Any, dict[str, dict[str, Any]]], method: str
) -> None:
    s3, given = full_bucket
    ask = getattr(s3, "get_object" if method == "version" else method)
    action = GETTERS[method]
    denial = {"Effect": "Deny", "Action": action, "Resource": "*"}
    set_rights(sandbox, "getters", {"Action": "*", "Resource": "*"}, denial)
    code = "403" if method in ("head_bucket", "head_object") else "AccessDenied"
    assert refused(ask, **given[method]) == code
    # who may not list is not told what isn't there
    set_rights(sandbox, "getters", {"Action": [action], "Resource": "*"})
    read(ask(**given[method]))


def test_who_may_not_list_is_not_told_what_is_missing(sandbox: Sandbox, moto: Sandbox) -> None:
    make_bucket(sandbox, "secretive")
    make_bucket(moto, "secretive")
    s3 = sandbox.client("s3", credentials=session_of(sandbox, "guessing", {"Action": "s3:GetObject", "Resource": "*"}))
    assert refused(moto.client("s3").get_object, Bucket="secretive", Key="a") == "NoSuchKey"
    assert refused(s3.get_object, Bucket="secretive", Key="a") == "AccessDenied"
    assert refused(s3.head_object, Bucket="secretive", Key="a") == "403"
    set_rights(sandbox, "guessing", {"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"})
    assert refused(s3.get_object, Bucket="secretive", Key="a") == "NoSuchKey"
    assert refused(s3.head_object, Bucket="secretive", Key="a") == "404"


def test_copying_needs_rights_on_both_sides(sandbox: Sandbox) -> None:
    make_bucket(sandbox, "copied")
    sandbox.client("s3").put_object(Bucket="copied", Key="from", Body=b"a")
    session = session_of(sandbox, "copying", {"Action": "s3:PutObject", "Resource": "*"})
    s3 = sandbox.client("s3", credentials=session)
    given = {"Bucket": "copied", "Key": "to", "CopySource": {"Bucket": "copied", "Key": "from"}}
    assert refused(s3.copy_object, **given) == "AccessDenied"
    set_rights(sandbox, "copying", {"Action": ["s3:PutObject", "s3:GetObject"], "Resource": "*"})
    assert s3.copy_object(**given)

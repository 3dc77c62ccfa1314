"""Objects: their checksums, their parts, and how long they are locked."""

from __future__ import annotations

import base64
import hashlib
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from tests.sandbox.refusing import make_bucket, refused, session_of
from tests.sandbox.running import Sandbox, running_sandbox

BODY = b"five and a half"
PART = b"p" * (5 << 20)


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4)).decode()


@pytest.fixture(scope="module")
def buckets(sandbox: Sandbox, moto: Sandbox) -> tuple[Any, Any]:
    """Clients of the two, each with a plain bucket and a locked one."""
    for each in (sandbox, moto):
        make_bucket(each, "objects")
        make_bucket(each, "locked", ObjectLockEnabledForBucket=True)
        lock = {"Mode": "GOVERNANCE", "Days": 7}
        each.client("s3").put_object_lock_configuration(
            Bucket="locked",
            ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": lock}},
        )
    return sandbox.client("s3"), moto.client("s3")


@pytest.mark.parametrize(
    ("checksum", "code"),
    [
        ({"ChecksumSHA256": sha256(b"other")}, "BadDigest"),
        ({"ChecksumSHA1": base64.b64encode(hashlib.sha1(b"other").digest()).decode()}, "BadDigest"),
        ({"ChecksumCRC32": crc32(b"other")}, "BadDigest"),
        ({"ContentMD5": md5(b"other")}, "BadDigest"),
        ({"ChecksumSHA256": crc32(BODY)}, "InvalidRequest"),
        ({"ContentMD5": "bm90IGl0"}, "InvalidDigest"),
        ({"ChecksumSHA256": sha256(BODY), "ChecksumCRC32": crc32(BODY)}, "InvalidRequest"),
    ],
)
def test_a_body_must_be_the_one_whose_checksum_comes_with_it(
    buckets: tuple[Any, Any], checksum: dict[str, str], code: str
) -> None:
    s3, plain = buckets
    given = {"Bucket": "objects", "Key": "k", "Body": BODY, **checksum}
    assert plain.put_object(**given)
    assert refused(s3.put_object, **given) == code
    upload = s3.create_multipart_upload(Bucket="objects", Key="k")["UploadId"]
    assert refused(s3.upload_part, **given, UploadId=upload, PartNumber=1) == code


@pytest.mark.parametrize("name", ["SHA256", "CRC32", "SHA1"])
def test_a_checksum_is_given_back_to_who_asks(buckets: tuple[Any, Any], name: str) -> None:
    s3, _ = buckets
    made = s3.put_object(Bucket="objects", Key=name, Body=BODY, ChecksumAlgorithm=name)[f"Checksum{name}"]
    for ask in (s3.head_object, s3.get_object):
        found = ask(Bucket="objects", Key=name, ChecksumMode="ENABLED")
        assert (found[f"Checksum{name}"], found["ChecksumType"]) == (made, "FULL_OBJECT")
        if "Body" in found:
            found["Body"].close()
    assert f"Checksum{name}" not in s3.head_object(Bucket="objects", Key=name)


def test_moto_forgets_a_checksum_that_was_only_told(buckets: tuple[Any, Any]) -> None:
    s3, plain = buckets
    for each in (s3, plain):
        each.put_object(Bucket="objects", Key="told", Body=BODY, ChecksumSHA256=sha256(BODY))
    assert "ChecksumSHA256" not in plain.head_object(Bucket="objects", Key="told", ChecksumMode="ENABLED")
    assert s3.head_object(Bucket="objects", Key="told", ChecksumMode="ENABLED")["ChecksumSHA256"] == sha256(BODY)


def test_over_tls_bodies_come_in_chunks_and_checksums_after_them(certificates: tuple[Path, Path, Path]) -> None:
    with running_sandbox(tls=certificates) as secure:
        make_bucket(secure, "chunked")
        s3 = secure.client("s3")
        s3.put_object(Bucket="chunked", Key="k", Body=PART, ChecksumAlgorithm="SHA256")
        found = s3.get_object(Bucket="chunked", Key="k", ChecksumMode="ENABLED")
        assert (found["ChecksumSHA256"], found["Body"].read()) == (sha256(PART), PART)
        assert "aws-chunked" not in found.get("ContentEncoding", "")


def upload_parts(s3: Any, bucket: str, key: str, parts: list[bytes], **more: Any) -> tuple[str, list[dict[str, Any]]]:
    """The id of an upload and its parts as they are listed at completion."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="SHA256", **more)["UploadId"]
    listed = []
    for number, body in enumerate(parts, 1):
        made = s3.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body, ChecksumSHA256=sha256(body)
        )
        listed.append({"PartNumber": number, "ETag": made["ETag"], "ChecksumSHA256": made.get("ChecksumSHA256", "")})
    return upload, listed


def test_an_objects_checksum_is_made_of_its_parts(buckets: tuple[Any, Any]) -> None:
    s3, _ = buckets
    upload, parts = upload_parts(s3, "objects", "parts", [PART, BODY])
    digests = hashlib.sha256(PART).digest() + hashlib.sha256(BODY).digest()
    composite = sha256(digests)
    given: dict[str, Any] = {
        "Bucket": "objects",
        "Key": "parts",
        "UploadId": upload,
        "MultipartUpload": {"Parts": parts},
    }
    assert refused(s3.complete_multipart_upload, **given, ChecksumSHA256=sha256(b"")) == "BadDigest"
    assert refused(s3.complete_multipart_upload, **given, MpuObjectSize=1) == "InvalidRequest"
    size = len(PART) + len(BODY)
    made = s3.complete_multipart_upload(**given, ChecksumSHA256=f"{composite}-2", MpuObjectSize=size)
    assert (made["ChecksumSHA256"], made["ChecksumType"]) == (f"{composite}-2", "COMPOSITE")
    for ask in (s3.head_object, s3.get_object):
        found = ask(Bucket="objects", Key="parts", ChecksumMode="ENABLED")
        assert (found["ChecksumSHA256"], found["ChecksumType"]) == (f"{composite}-2", "COMPOSITE")
        if "Body" in found:
            found["Body"].close()
    assert s3.complete_multipart_upload(**given)["ETag"] == made["ETag"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda parts: parts[::-1], "InvalidPartOrder"),
        (lambda parts: [{**parts[0], "ChecksumSHA256": sha256(b"")}, parts[1]], "InvalidPart"),
        (lambda parts: [{key: each[key] for key in ("PartNumber", "ETag")} for each in parts], "InvalidRequest"),
        (lambda parts: [*parts, {**parts[1], "PartNumber": 3}], "InvalidPart"),
    ],
)
def test_parts_are_completed_in_order_with_their_checksums(buckets: tuple[Any, Any], change: Any, code: str) -> None:
    s3, plain = buckets
    for each in buckets:
        upload, parts = upload_parts(each, "objects", "wrong", [PART, PART[1:] + b"a"])
        given = {"Bucket": "objects", "Key": "wrong", "UploadId": upload, "MultipartUpload": {"Parts": change(parts)}}
        if each is s3 or len(change(parts)) == 3:
            assert refused(each.complete_multipart_upload, **given) == code
        elif each is plain:
            assert each.complete_multipart_upload(**given)


def test_a_part_has_the_uploads_algorithm_and_a_number(buckets: tuple[Any, Any]) -> None:
    s3, _ = buckets
    upload, _ = upload_parts(s3, "objects", "numbers", [])
    given = {"Bucket": "objects", "Key": "numbers", "UploadId": upload, "Body": BODY}
    assert refused(s3.upload_part, **given, PartNumber=1) == "InvalidRequest"
    assert refused(s3.upload_part, **given, PartNumber=10_001, ChecksumSHA256=sha256(BODY)) == "InvalidArgument"
    assert refused(s3.upload_part, **given, PartNumber=0, ChecksumSHA256=sha256(BODY)) == "InvalidArgument"


def test_an_upload_is_bound_to_its_bucket_and_key(buckets: tuple[Any, Any]) -> None:
    s3, plain = buckets
    for each in buckets:
        upload, parts = upload_parts(each, "objects", "bound", [BODY])
        other = {"Bucket": "objects", "Key": "another", "UploadId": upload}
        done = {"MultipartUpload": {"Parts": parts}}
        if each is plain:
            assert plain.complete_multipart_upload(**other, **done)["Key"] == "bound"
            continue
        part = {"PartNumber": 1, "Body": BODY, "ChecksumSHA256": sha256(BODY)}
        assert refused(s3.upload_part, **other, **part) == "NoSuchUpload"
        assert refused(s3.complete_multipart_upload, **other, **done) == "NoSuchUpload"
        assert refused(s3.list_parts, **other) == "NoSuchUpload"
        assert refused(s3.abort_multipart_upload, **other) == "NoSuchUpload"
        elsewhere = {"Bucket": "locked", "Key": "bound", "UploadId": upload}
        assert refused(s3.upload_part, **elsewhere, **part) == "NoSuchUpload"
        assert s3.complete_multipart_upload(Bucket="objects", Key="bound", UploadId=upload, **done)
        assert refused(s3.list_parts, Bucket="objects", Key="bound", UploadId=upload) == "NoSuchUpload"


def test_parts_and_uploads_are_listed_in_pages(sandbox: Sandbox, moto: Sandbox) -> None:
    for each in (sandbox, moto):
        make_bucket(each, "listed")
        for key in ("a/1", "a/2", "b/1"):
            upload, _ = upload_parts(each.client("s3"), "listed", key, [PART, PART[1:], BODY] if key == "a/2" else [])
            last = upload if key == "a/2" else ""
            assert last == "" or each is moto or len(_parts_in_pages(each, last)) == 3
    pages = sandbox.client("s3").get_paginator("list_multipart_uploads")
    found = [
        [upload["Key"] for upload in page.get("Uploads", [])]
        for page in pages.paginate(Bucket="listed", Prefix="a/", PaginationConfig={"PageSize": 1})
    ]
    assert found == [["a/1"], ["a/2"]]
    begun = sandbox.client("s3").list_multipart_uploads(Bucket="listed")["Uploads"][0]["Initiated"]
    assert abs(begun - datetime.now(UTC)) < timedelta(minutes=5)
    whole = moto.client("s3").list_multipart_uploads(Bucket="listed", MaxUploads=1)
    assert len(whole["Uploads"]) == 3


def _parts_in_pages(sandbox: Sandbox, upload: str) -> list[dict[str, Any]]:
    pages = sandbox.client("s3").get_paginator("list_parts")
    given = {"Bucket": "listed", "Key": "a/2", "UploadId": upload, "PaginationConfig": {"PageSize": 2}}
    parts = [part for page in pages.paginate(**given) for part in page["Parts"]]
    assert [part["ChecksumSHA256"] for part in parts] == [sha256(PART), sha256(PART[1:]), sha256(BODY)]
    return parts


def test_an_object_is_written_only_where_there_is_none_yet_if_asked_so(sandbox: Sandbox, buckets: Any) -> None:
    s3, _ = buckets
    s3.put_object(Bucket="objects", Key="once", Body=BODY, IfNoneMatch="*")
    assert refused(s3.put_object, Bucket="objects", Key="once", Body=BODY, IfNoneMatch="*") == "PreconditionFailed"
    upload, parts = upload_parts(s3, "objects", "once", [BODY])
    given = {"Bucket": "objects", "Key": "once", "UploadId": upload, "MultipartUpload": {"Parts": parts}}
    assert refused(s3.complete_multipart_upload, **given, IfNoneMatch="*") == "PreconditionFailed"
    sandbox.fail("CompleteMultipartUpload", "ConditionalRequestConflict", status=409)
    assert refused(s3.complete_multipart_upload, **given) == "ConditionalRequestConflict"
    assert s3.complete_multipart_upload(**given)


def test_a_locked_bucket_takes_nothing_without_a_checksum(sandbox: Sandbox, buckets: Any) -> None:
    s3, plain = buckets
    told = {"Bucket": "locked", "Key": "told", "Body": BODY, "ChecksumSHA256": sha256(BODY)}
    assert refused(plain.put_object, **told) == "MissingUploadObjectWithObjectLockHeaders"
    assert s3.put_object(**told)
    session = sandbox._session
    bare = session.client(
        "s3",
        region_name=sandbox.region,
        endpoint_url=sandbox.endpoint,
        aws_access_key_id=sandbox.admin_access_key,
        aws_secret_access_key=sandbox.admin_secret_key,
        config=Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"}),
    )
    assert refused(bare.put_object, Bucket="locked", Key="bare", Body=BODY) == "InvalidRequest"
    upload = bare.create_multipart_upload(Bucket="locked", Key="bare")["UploadId"]
    part = {"Bucket": "locked", "Key": "bare", "UploadId": upload, "PartNumber": 1, "Body": BODY}
    assert refused(bare.upload_part, **part) == "InvalidRequest"
    bare.close()


def test_every_object_of_a_locked_bucket_gets_its_retention(buckets: tuple[Any, Any]) -> None:
    s3, plain = buckets
    locked: dict[bool, dict[str, Any]] = {}
    for each in buckets:
        upload, parts = upload_parts(each, "locked", "parts", [BODY])
        each.complete_multipart_upload(Bucket="locked", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
        locked[each is s3] = each.head_object(Bucket="locked", Key="parts")
    assert "ObjectLockMode" not in locked[False]
    assert locked[True]["ObjectLockMode"] == "GOVERNANCE"
    retention = s3.get_object_retention(Bucket="locked", Key="parts")["Retention"]
    assert retention["RetainUntilDate"] == locked[True]["ObjectLockRetainUntilDate"]
    days = retention["RetainUntilDate"] - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < days <= timedelta(days=7)
    assert refused(plain.get_object_retention, Bucket="locked", Key="parts") == "500"
    s3.put_object(Bucket="objects", Key="free", Body=BODY)
    assert refused(s3.get_object_retention, Bucket="objects", Key="free") == "NoSuchObjectLockConfiguration"


def test_a_locked_version_stays_unless_who_may_says_so(sandbox: Sandbox, buckets: tuple[Any, Any]) -> None:
    s3, plain = buckets
    version = s3.put_object(Bucket="locked", Key="kept", Body=BODY)["VersionId"]
    given = {"Bucket": "locked", "Key": "kept", "VersionId": version}
    assert refused(s3.delete_object, **given) == "AccessDenied"
    many = s3.delete_objects(Bucket="locked", Delete={"Objects": [{"Key": "kept", "VersionId": version}]})
    assert many["Errors"][0]["Code"] == "AccessDenied"
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=1)}
    assert refused(s3.put_object_retention, **given, Retention=shorter) == "AccessDenied"
    plain_version = plain.put_object(Bucket="locked", Key="kept", Body=BODY)["VersionId"]
    assert plain.put_object_retention(Bucket="locked", Key="kept", VersionId=plain_version, Retention=shorter)
    longer = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=9)}
    assert s3.put_object_retention(**given, Retention=longer)
    assert refused(s3.delete_object, **given, BypassGovernanceRetention=True) == "AccessDenied"
    assert (
        refused(s3.put_object_retention, **given, Retention=shorter, BypassGovernanceRetention=True) == "AccessDenied"
    )
    other = {**given, "VersionId": s3.put_object(Bucket="locked", Key="kept", Body=BODY)["VersionId"]}
    session = session_of(sandbox, "deleting", {"Action": "s3:DeleteObjectVersion", "Resource": "*"})
    weak = sandbox.client("s3", credentials=session)
    assert refused(weak.delete_object, **other, BypassGovernanceRetention=True) == "AccessDenied"
    assert s3.put_object_retention(**other, Retention=shorter, BypassGovernanceRetention=True)
    assert s3.delete_object(**other, BypassGovernanceRetention=True)


def test_a_buckets_lock_can_be_set_later_but_its_versions_not_ended(sandbox: Sandbox, moto: Sandbox) -> None:
    years = {"Mode": "COMPLIANCE", "Years": 4}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": years}}
    for each in (sandbox, moto):
        s3 = each.client("s3")
        make_bucket(each, "later")
        given = {"Bucket": "later", "ObjectLockConfiguration": lock}
        assert refused(s3.put_object_lock_configuration, **given) == "InvalidBucketState"
        s3.put_bucket_versioning(Bucket="later", VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket="later", Key="k", Body=BODY)
        if each is moto:
            assert refused(s3.put_object_lock_configuration, **given) == "InvalidBucket"
    s3 = sandbox.client("s3")
    s3.put_object_lock_configuration(**given)
    assert s3.get_object_lock_configuration(Bucket="later")["ObjectLockConfiguration"] == lock
    suspended = {"Bucket": "later", "VersioningConfiguration": {"Status": "Suspended"}}
    assert moto.client("s3").put_bucket_versioning(**suspended)
    assert refused(s3.put_bucket_versioning, **suspended) == "InvalidBucketState"
    both = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {**years, "Days": 1}}}
    wrong = {"Bucket": "later", "ObjectLockConfiguration": both}
    assert refused(s3.put_object_lock_configuration, **wrong) == "MalformedXML"

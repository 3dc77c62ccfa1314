"""Which actions on which ARNs a request to S3 needs."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from tests.sandbox.asked import Asked
from tests.sandbox.policies import Permission

_NAMED_OTHERWISE = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "ListBuckets": "ListAllMyBuckets",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
}
_WITH_VERSION = frozenset({"GetObject", "DeleteObject", "GetObjectTagging", "PutObjectTagging", "GetObjectAcl"})
_ALSO_BY_HEADER = {
    "PutObject": {
        "x-amz-object-lock-mode": "PutObjectRetention",
        "x-amz-object-lock-retain-until-date": "PutObjectRetention",
        "x-amz-object-lock-legal-hold": "PutObjectLegalHold",
        "x-amz-tagging": "PutObjectTagging",
        "x-amz-acl": "PutObjectAcl",
    },
    "CreateBucket": {
        "x-amz-bucket-object-lock-enabled": "PutBucketObjectLockConfiguration PutBucketVersioning",
        "x-amz-object-ownership": "PutBucketOwnershipControls",
    },
}


def s3_permissions(asked: Asked, partition: str) -> list[Permission]:
    """All that the caller must be allowed."""
    return list(dict.fromkeys(_needed(asked, partition)))


def bucket_arn(partition: str, bucket: str) -> str:
    """A bucket, as policies name it."""
    return f"arn:{partition}:s3:::{bucket}"


def _needed(asked: Asked, partition: str) -> Iterator[Permission]:
    bucket, key = asked.text("Bucket"), asked.text("Key")
    action = _NAMED_OTHERWISE.get(asked.operation, asked.operation)
    if not bucket:
        yield Permission(f"s3:{action}")
        return
    resource = bucket_arn(partition, bucket)
    if asked.operation == "DeleteObjects":
        for each in asked.params.get("Delete", {}).get("Objects", []):
            word = "DeleteObjectVersion" if each.get("VersionId") else "DeleteObject"
            yield Permission(f"s3:{word}", f"{resource}/{each.get('Key', '')}")
        return
    resource = f"{resource}/{key}" if key else resource
    yield Permission(f"s3:{_versioned(asked, action)}", resource)
    for header, also in _ALSO_BY_HEADER.get(action, {}).items():
        if asked.header(header) not in ("", "False", "false"):
            yield from (Permission(f"s3:{each}", resource) for each in also.split())
    if asked.operation == "GetObjectAttributes":
        yield Permission(f"s3:{_versioned(asked, 'GetObject')}", resource)
    if asked.header("x-amz-bypass-governance-retention").lower() == "true":
        yield Permission("s3:BypassGovernanceRetention", resource)
    if source := asked.header("x-amz-copy-source"):
        path, _, version = source.partition("?versionId=")
        yield Permission(
            "s3:GetObjectVersion" if version else "s3:GetObject", bucket_arn(partition, unquote(path).lstrip("/"))
        )


def _versioned(asked: Asked, action: str) -> str:
    if not asked.text("VersionId"):
        return action
    if action == "GetObjectAttributes":
        return "GetObjectVersionAttributes"
    return action.replace("Object", "ObjectVersion", 1) if action in _WITH_VERSION else action

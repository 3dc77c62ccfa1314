"""SSE-KMS: who writes to or reads from S3 with a key of KMS must be allowed the key. moto asks nobody."""

from __future__ import annotations

import re
from typing import Any

from moto.kms.models import kms_backends
from moto.s3.models import FakeBucket, FakeKey

from tests.sandbox.asked import Asked
from tests.sandbox.authorization import access_denied, may, request_context
from tests.sandbox.buckets import find_bucket, find_object
from tests.sandbox.delegate import Delegate
from tests.sandbox.policies import Permission
from tests.sandbox.refusals import Answer, Refused
from tests.sandbox.s3_buckets import Proceed

_WRITES = {
    "PutObject": ("kms:GenerateDataKey",),
    "CreateMultipartUpload": ("kms:GenerateDataKey", "kms:Decrypt"),
    "UploadPart": ("kms:GenerateDataKey", "kms:Decrypt"),
    "CompleteMultipartUpload": ("kms:Decrypt",),
}
_ARN = re.compile(r"arn:[\w-]+:kms:([\w-]+):(\d{12}):(?:key/|alias/)([\w/-]+)", re.ASCII)


def check_key(asked: Asked) -> None:
    """Refuse a request whose object has a key that the caller may not use, or that isn't there."""
    if asked.service != "s3" or not asked.text("Key") or (bucket := find_bucket(asked.text("Bucket"))) is None:
        return
    if asked.operation in ("GetObject", "HeadObject"):
        found = find_object(bucket, asked.text("Key"), asked.text("VersionId"))
        actions, key = ("kms:Decrypt",), _key_of(found)
    elif asked.operation in _WRITES:
        actions, key = _WRITES[asked.operation], _key_for(asked, bucket)
    else:
        return
    if not key:
        return
    arn = key_arn(key, bucket)
    for action in actions if asked.operation != "HeadObject" else ():
        permission = Permission(action, arn)
        asked.kept["permissions"].append(permission)
        if not may(asked.caller, permission, request_context(asked) | via_s3(bucket)):
            raise access_denied(asked, permission)


def tell_encryption(asked: Asked, proceed: Proceed) -> Answer:
    """Say with which key an upload that begins will be encrypted, which moto doesn't where it is the bucket's own."""
    answer = proceed()
    bucket = find_bucket(asked.text("Bucket"))
    if asked.operation != "CreateMultipartUpload" or answer.status >= 300 or bucket is None:
        return answer
    algorithm, key = _default(bucket)
    told = {"x-amz-server-side-encryption": algorithm or "AES256"}
    if algorithm == "aws:kms" and key:
        told["x-amz-server-side-encryption-aws-kms-key-id"] = key_arn(key, bucket)
    more = [(name, value) for name, value in told.items() if not answer.header(name)]
    return Answer(answer.status, [*answer.headers, *more], answer.body)


def require_key(delegate: Delegate, bucket: FakeBucket, option: str, key: str) -> None:
    """Raise Denied where results can't be written with the key asked for, or the bucket's; Refused where it's none."""
    if not option:
        algorithm, key = _default(bucket)
        option = "SSE_KMS" if algorithm == "aws:kms" else option
    if option == "SSE_KMS" and key:
        delegate.require("kms:GenerateDataKey", key_arn(key, bucket), kms_viaservice=_s3_of(bucket))


def require_readable(delegate: Delegate, bucket: FakeBucket, key: str) -> None:
    """Raise Denied where an object can't be read for want of its key."""
    if kms_key := _key_of(find_object(bucket, key)):
        delegate.require("kms:Decrypt", key_arn(kms_key, bucket), kms_viaservice=_s3_of(bucket))


def key_arn(key: str, bucket: FakeBucket) -> str:
    """The ARN of a key given by id, alias or ARN; raises Refused where there is none that is enabled."""
    match = _ARN.fullmatch(key)
    region, account, name = match.groups() if match else (bucket.region_name, bucket.account_id, key)
    backend = kms_backends[account][region]
    found = backend.keys.get(backend.get_key_id_from_alias(f"alias/{name}") if "alias/" in key else name)
    if found is None:
        raise Refused("KMS.NotFoundException", f"Key '{key}' does not exist")
    if not found.enabled:
        raise Refused("KMS.DisabledException", f"{found.arn} is disabled.")
    return str(found.arn)


def _s3_of(bucket: FakeBucket) -> str:
    # Athena reads and writes objects by S3, which is who asks for the key then too.
    return f"s3.{bucket.region_name}.amazonaws.com"


def via_s3(bucket: FakeBucket) -> dict[str, tuple[str, ...]]:
    """The condition keys of a call to KMS that S3 makes for its caller."""
    return {
        "kms:viaservice": (_s3_of(bucket),),
        "kms:calleraccount": (bucket.account_id,),
        "kms:encryptioncontext:aws:s3:arn": (bucket.arn,),
    }


def _default(bucket: FakeBucket) -> tuple[str, str]:
    rule: dict[str, Any] = (bucket.encryption or {}).get("Rule") or {}
    default = rule.get("ApplyServerSideEncryptionByDefault") or {}
    return str(default.get("SSEAlgorithm") or ""), str(default.get("KMSMasterKeyID") or "")


def _key_for(asked: Asked, bucket: FakeBucket) -> str:
    upload = bucket.multiparts.get(asked.text("UploadId"))
    if upload is not None:
        algorithm, key = upload.sse_encryption, upload.kms_key_id
    else:
        algorithm = asked.header("x-amz-server-side-encryption")
        key = asked.header("x-amz-server-side-encryption-aws-kms-key-id")
    if not algorithm:
        algorithm, key = _default(bucket)
    return str(key or "") if algorithm == "aws:kms" else ""


def _key_of(found: FakeKey | None) -> str:
    return str(found.kms_key_id or "") if found is not None and found.encryption == "aws:kms" else ""

"""Object lock, where moto knows less than AWS: of parts and multipart uploads, asked for and changed later."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from moto.s3.models import FakeBucket, FakeKey

from tests.sandbox.asked import Asked
from tests.sandbox.buckets import find_bucket, find_object
from tests.sandbox.refusals import Answer, Refused, xml_answer
from tests.sandbox.s3_buckets import Proceed
from tests.sandbox.s3_integrity import given_checksums

_MODE, _UNTIL, _HOLD = (f"x-amz-object-lock-{name}" for name in ("mode", "retain-until-date", "legal-hold"))


def guard_retention(asked: Asked, proceed: Proceed) -> Answer:
    """Refuse what would weaken a lock, and give every new object its retention."""
    bucket = find_bucket(asked.text("Bucket"))
    if bucket is None:
        return proceed()
    if asked.operation == "GetObjectRetention":
        return _retention(_object(asked, bucket))
    if asked.operation == "PutObjectLockConfiguration":
        return _configure(asked, bucket)
    if asked.operation == "PutBucketVersioning" and bucket.object_lock_enabled and b"Suspended" in asked.body:
        message = "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
        raise Refused("InvalidBucketState", message, 409)
    if asked.operation == "PutObjectRetention":
        _check_change(asked, _object(asked, bucket))
    _require_checksum(asked, bucket)
    return _with_retention(asked, bucket, proceed)


def _with_retention(asked: Asked, bucket: FakeBucket, proceed: Proceed) -> Answer:
    known = set(bucket.multiparts)
    upload = bucket.multiparts.get(asked.text("UploadId"))
    answer = proceed()
    if answer.status >= 300:
        return answer
    if asked.operation == "CreateMultipartUpload":
        for name in set(bucket.multiparts) - known:
            bucket.multiparts[name].sandbox_lock = [asked.header(each) for each in (_MODE, _UNTIL, _HOLD)]
    if asked.operation == "CompleteMultipartUpload" and upload is not None:
        found = find_object(bucket, asked.text("Key"), answer.header("x-amz-version-id"))
        assert found is not None
        mode, until, hold = upload.sandbox_lock
        if not mode and bucket.has_default_lock:
            mode, until = bucket.default_lock_mode, bucket.default_retention()
        found.lock_mode, found.lock_until, found.lock_legal_status = mode or None, until or None, hold or None
    if asked.operation == "GetObjectLockConfiguration":
        body = re.sub(rb"<(Days|Years)>0</\1>", b"", answer.body)
        return Answer(answer.status, [each for each in answer.headers if each[0].lower() != "content-length"], body)
    return answer


def _require_checksum(asked: Asked, bucket: FakeBucket) -> None:
    what = {"PutObject": "Put Object", "UploadPart": "Put Part"}.get(asked.operation)
    locked = bucket.has_default_lock or asked.header(_MODE) or asked.header(_HOLD)
    if what and locked and not asked.header("Content-MD5") and not given_checksums(asked):
        needed = (
            f"Content-MD5 OR x-amz-checksum- HTTP header is required for {what} requests with Object Lock parameters"
        )
        raise Refused("InvalidRequest", needed)


def _object(asked: Asked, bucket: FakeBucket) -> FakeKey:
    found = find_object(bucket, asked.text("Key"), asked.text("VersionId"))
    if found is None:
        raise Refused("NoSuchKey", "The specified key does not exist.", 404)
    return found


def _retention(found: FakeKey) -> Answer:
    if not found.lock_mode:
        message = "The specified object does not have a ObjectLock configuration"
        raise Refused("NoSuchObjectLockConfiguration", message, 404)
    fields = f"<Mode>{found.lock_mode}</Mode><RetainUntilDate>{found.lock_until}</RetainUntilDate>"
    return xml_answer(f"<Retention>{fields}</Retention>")


def _check_change(asked: Asked, found: FakeKey) -> None:
    """A lock that holds may be made longer; less of it only under governance, by who may and says so."""
    if not found.lock_mode or _moment(found.lock_until or "") <= datetime.now(UTC):
        return
    given: dict[str, Any] = asked.params.get("Retention") or {}
    until = given.get("RetainUntilDate")
    until = until if isinstance(until, datetime) else _moment(str(until)) if until else None
    if until is not None and until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    stays = until is not None and until >= _moment(found.lock_until or "")
    bypassed = asked.header("x-amz-bypass-governance-retention").lower() == "true"
    if (stays and given.get("Mode") == found.lock_mode) or (found.lock_mode == "GOVERNANCE" and (bypassed or stays)):
        return
    raise Refused("AccessDenied", "Access Denied because object protected by object lock.", 403)


def _configure(asked: Asked, bucket: FakeBucket) -> Answer:
    if bucket.versioning_status != "Enabled":
        raise Refused("InvalidBucketState", "Versioning must be 'Enabled' on the bucket to apply a Object Lock", 409)
    given: dict[str, Any] = asked.params.get("ObjectLockConfiguration") or {}
    default: dict[str, Any] = (given.get("Rule") or {}).get("DefaultRetention") or {}
    days, years = int(default.get("Days") or 0), int(default.get("Years") or 0)
    if given.get("ObjectLockEnabled") != "Enabled" or (default and bool(days) == bool(years)):
        raise Refused("MalformedXML", "The XML you provided was not well-formed or did not validate")
    bucket.object_lock_enabled = True
    bucket.default_lock_mode = str(default.get("Mode") or "")
    bucket.default_lock_days, bucket.default_lock_years = days, years
    return Answer(200, [])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)

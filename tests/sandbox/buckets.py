"""moto's buckets and objects, of whatever account."""

from __future__ import annotations

from collections.abc import Iterator

from moto.s3.models import FakeBucket, FakeKey, s3_backends


def find_bucket(name: str) -> FakeBucket | None:
    """The bucket of this name; None where there is none."""
    if name not in s3_backends.bucket_accounts:
        return None
    partition, account = s3_backends.bucket_accounts[name]
    return s3_backends[account][partition].buckets[name]


def find_object(bucket: FakeBucket, key: str, version: str = "") -> FakeKey | None:
    """The newest version, or the one named; None where there is none or it is a delete marker."""
    versions = bucket.keys.getlist(key, [])
    if version:
        versions = [each for each in versions if str(each.version_id) == version]
    return versions[-1] if versions and isinstance(versions[-1], FakeKey) else None


def newest_objects(bucket: FakeBucket, prefix: str) -> Iterator[tuple[str, FakeKey]]:
    """Keys that begin with `prefix` and their newest versions, in order of keys."""
    for key in sorted(each for each in bucket.keys if each.startswith(prefix)):
        if (found := find_object(bucket, key)) is not None:
            yield key, found


def put_object(bucket: FakeBucket, key: str, body: bytes, encryption: str = "", kms_key: str = "") -> None:
    """Put an object, with the retention that the bucket gives by default."""
    partition, account = s3_backends.bucket_accounts[bucket.name]
    locked = bucket.has_default_lock
    s3_backends[account][partition].put_object(
        bucket.name,
        key,
        body,
        encryption=encryption or None,
        kms_key_id=kms_key or None,
        lock_mode=bucket.default_lock_mode if locked else None,
        lock_until=bucket.default_retention() if locked else None,
    )

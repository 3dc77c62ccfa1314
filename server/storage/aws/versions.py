"""Versions of objects in a bucket: what a date holds with all that was written over or deleted, and which one is ours.

A version is named by its id and its ETag: in a bucket that keeps no versions each has the id `null`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import Any, Final

from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.place import Connection
from server.storage.aws.stored_objects import ARCHIVES, keeps_versions
from server.storage.ports import ObjectChanged, ObjectMissing, StoredObject, VersionListing, Wanted

MOST_LISTED: Final = 100_000
"""Versions and delete markers of one date that are listed: a hundred requests."""
_OF_A_KEY_SENT_ALONG: Final = frozenset({"InvalidRequest", "InvalidArgument"})
"""What S3 says to whoever reads an object without the key that it was put with."""
_MOST_TRIED: Final = 16
"""Versions of one object that are looked at for the one with its digest: the oldest, and as many of the newest."""


def problem_of(item: dict[str, Any]) -> str:
    """Why what is listed can't be read; '' if nothing is known against it."""
    return "is archived" if item.get("StorageClass") in ARCHIVES else ""


def modified_ns(item: dict[str, Any]) -> int:
    """When what is listed was written, in ns since 1970."""
    return int(item["LastModified"].timestamp() * 1e9)


def is_of_parts(item: dict[str, Any]) -> bool:
    """Whether what is listed was put in parts, which its ETag shows."""
    return "-" in item.get("ETag", "")


def list_versions(way: Connection, date: str) -> VersionListing:
    """The newest version of each Parquet object of a date, up to MOST_LISTED versions of all of them."""
    found: dict[str, StoredObject] = {}
    before = way.place.location.keys_prefix
    for seen, item in enumerate(_listed(way, f"{date}/")):
        if seen >= MOST_LISTED:
            return VersionListing(found, is_whole=False)
        name = str(item["Key"]).removeprefix(before)
        if not name.endswith(".parquet"):
            continue
        count = 1 + (found[name].versions if name in found else 0)
        if item["IsLatest"] or name not in found:
            is_deleted = "Size" not in item
            found[name] = StoredObject(
                name,
                item.get("Size", 0),
                modified_ns(item),
                problem_of(item),
                "" if is_deleted else f"{item['VersionId']} {item['ETag']}",
                count,
                is_deleted,
                is_of_parts(item),
            )
        else:
            found[name] = replace(found[name], versions=count)
    return VersionListing(found, is_whole=True)


def _listed(way: Connection, prefix: str) -> Iterator[dict[str, Any]]:
    """Versions and delete markers below a prefix, as they are listed; of one page the markers come last."""
    asked: dict[str, Any] = {**way.place.bucket, "Prefix": way.place.location.keys_prefix + prefix}
    if not keeps_versions(way):
        yield from _listed_without(way, asked)
        return
    while True:
        page = way.s3.list_object_versions(**asked)
        yield from page.get("Versions", ())
        yield from page.get("DeleteMarkers", ())
        if not page.get("IsTruncated"):
            return
        asked["KeyMarker"] = page["NextKeyMarker"]
        asked["VersionIdMarker"] = page.get("NextVersionIdMarker", "")


def _listed_without(way: Connection, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same of a store that keeps no versions."""
    while True:
        page = way.s3.list_objects_v2(**asked)
        for item in page.get("Contents", ()):
            yield {**item, "VersionId": "", "IsLatest": True}
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def read_arguments(version: str) -> dict[str, str]:
    """What GetObject and HeadObject are told of a version."""
    version_id, _, etag = version.partition(" ")
    wanted = {"VersionId": version_id, "IfMatch": etag}
    return {name: value for name, value in wanted.items() if value}


def checksum(way: Connection, name: str, version: str) -> str:
    """The SHA-256 of a version in hex as S3 has compared it; '' where it has none of the whole.

    Raises:
        ObjectMissing: there is none.
        ObjectChanged: other bytes came in its place.
    """
    try:
        found = way.s3.head_object(**way.place.at(name), **read_arguments(version), ChecksumMode="ENABLED")
    except AwsError as error:
        if error.kind is Kind.CONFLICT or error.status == 412:
            raise ObjectChanged from error
        if error.kind is Kind.MISSING:
            raise ObjectMissing from error
        raise
    known = str(found.get("ChecksumSHA256", ""))
    if not known or "-" in known:  # a checksum of parts is not one of the whole
        return ""
    try:
        return base64.b64decode(known, validate=True).hex()
    except binascii.Error:
        return ""


def is_of_another_key(way: Connection, name: str, version: str, refused: AwsError) -> bool:
    """Whether a version that couldn't be read is encrypted by a key that isn't the storage's: others put it there.
    Where the key is the storage's own, or nothing may be read, what was stored can be read again later."""
    if refused.kind is Kind.REFUSED:
        return refused.code in _OF_A_KEY_SENT_ALONG
    if refused.kind is not Kind.DENIED:
        return False
    try:  # without its checksum, as that is for who may use the key
        found = way.s3.head_object(**way.place.at(name), **read_arguments(version))
    except AwsError:
        return False
    key = str(found.get("SSEKMSKeyId", ""))
    return bool(key) and key != way.place.kms_key_arn


def others_of(way: Connection, item: Wanted) -> Iterator[str]:
    """The versions of an object below the newest that may have its digest, oldest first: the first one was ours."""
    for version in earlier_versions(way, item.name, item.may_have):
        try:
            known = checksum(way, item.name, version)
        except AwsError as error:
            if error.kind not in (Kind.DENIED, Kind.REFUSED):
                raise
            continue  # of a key of theirs; who may read nothing hears of that from the newest
        if known in ("", item.sha256):
            yield version


def earlier_versions(way: Connection, name: str, may_have: Callable[[int], bool] = lambda size: True) -> Sequence[str]:
    """The versions of an object below the newest, or of one that is deleted, of sizes that it may have: the oldest,
    that first, and then the newest. Others may have put theirs, and deleted it, before ours came, and over ours after.
    """
    key = way.place.location.keys_prefix + name
    listed = (each for each in islice(_listed(way, name), MOST_LISTED) if each["Key"] == key and "Size" in each)
    found = [
        f"{each['VersionId']} {each['ETag']}" for each in listed if not each["IsLatest"] and may_have(each["Size"])
    ]
    oldest = found[::-1][:_MOST_TRIED]
    return oldest + found[: max(0, len(found) - _MOST_TRIED)][:_MOST_TRIED]


def names_ever(way: Connection, prefix: str) -> Iterator[str]:
    """The names below a prefix that an object has or had, in their order."""
    keys = (str(each["Key"]) for each in _listed(way, prefix) if "Size" in each)
    return (key.removeprefix(way.place.location.keys_prefix) for key, _ in groupby(keys))

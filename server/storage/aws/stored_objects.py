"""The objects of recordings and their records, by version where the bucket keeps versions."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from server.storage.aws.errors import AwsError
from server.storage.aws.place import Connection
from server.storage.aws.store import UNKNOWN_REQUEST

_NAME = re.compile(r"([0-9a-f-]{36})\.tar|_asides/([0-9a-f-]{36})/([0-9a-f]{32})\.tar", re.ASCII)
UPLOAD = "upload"
"""The name under which a recording's metadata has the key of its upload."""
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects have to be restored before they are read; Athena passes over them in silence."""
UNVERSIONED = "null"
"""The version id of what was put while the bucket kept no versions; only such a one can be put over."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object, named below the storage's location."""

    name: str
    version: str = ""
    """'' in a bucket that keeps no versions."""
    size: int = field(default=0, compare=False)
    is_archived: bool = field(default=False, compare=False)
    is_deleted: bool = field(default=False, compare=False)
    """True of a delete marker that is the newest version."""

    def of(self, way: Connection) -> dict[str, str]:
        """What a request says that is about it."""
        return way.place.at(self.name) | ({"VersionId": self.version} if self.version else {})


def keeps_versions(way: Connection) -> bool:
    """Whether versions are listed, and asked for. A store that needs them isn't asked: its test has told, and what was
    put since somebody suspended them is listed as a version all the same."""
    return way.place.store.needs_versions or adds_versions(way)


def adds_versions(way: Connection) -> bool:
    """Whether what is put now leaves what is there: the bucket is asked, as its owner may have suspended versions."""
    return _versioning(way) == "Enabled"


def loses_versions(way: Connection) -> bool:
    """Whether what is put now can be written over, and was not to be: somebody has suspended the bucket's versions."""
    versioning = _versioning(way)
    return versioning == "Suspended" or (way.place.store.needs_versions and versioning != "Enabled")


def _versioning(way: Connection) -> str:
    """As S3 calls it; '' of a bucket that never had versions, and of a store that doesn't know them."""
    try:
        return str(way.s3.get_bucket_versioning(**way.place.bucket).get("Status", ""))
    except AwsError as error:
        if error.status in UNKNOWN_REQUEST:
            return ""
        raise


def listed(way: Connection, prefix: str, *, deleted: bool = False) -> Iterator[Stored]:
    """What begins so, as S3 orders it: of one name the version that was completed last first.

    Their dates tell less: that of a multipart upload is when it was begun. With `deleted` what was deleted is told too,
    behind the versions of its name on the same page.
    """
    before, has_versions = way.place.location.keys_prefix, keeps_versions(way)
    asked: dict[str, Any] = {**way.place.bucket, "Prefix": before + prefix}
    while True:
        page = way.s3.list_object_versions(**asked) if has_versions else way.s3.list_objects_v2(**asked)
        objects = page.get("Versions" if has_versions else "Contents", ())
        marks = (each for each in page.get("DeleteMarkers", ()) if deleted and each["IsLatest"])
        for each in heapq.merge(objects, marks, key=lambda each: str(each["Key"])):
            name, version = str(each["Key"]).removeprefix(before), str(each.get("VersionId", ""))
            is_archived, is_mark = each.get("StorageClass") in ARCHIVES, has_versions and "Size" not in each
            yield Stored(name, version, each.get("Size", 0), is_archived, is_mark)
        if not page.get("IsTruncated"):
            return
        if has_versions:
            asked["KeyMarker"], asked["VersionIdMarker"] = page["NextKeyMarker"], page["NextVersionIdMarker"]
        else:
            asked["ContinuationToken"] = page["NextContinuationToken"]


def recording_name(session_id: str) -> str:
    """The name of a session's recording below the storage's location."""
    return f"{session_id}.tar"


def named(name: str) -> tuple[str, str] | None:
    """Session and upload that a name is of; the latter is '' in a recording's own. None for any other name."""
    match = _NAME.fullmatch(name)
    return (match[1] or match[2], match[3] or "") if match is not None else None


def aside_name(session_id: str, key: str) -> str:
    """The name of what is kept aside of an upload, where it can't be a later version of the recording."""
    return f"_asides/{session_id}/{key}.tar"

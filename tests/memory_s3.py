"""A bucket in memory, asked as the service's S3 client is; shares its count of operations with a file layer.

A stop can come before each request, and behind it, when what was asked is done and no answer arrives.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from server.storage.aws.errors import AwsError, Kind, of_answer
from tests.crash.forgetful_files import ForgetfulFiles


@dataclass(frozen=True)
class Version:
    """One version of an object."""

    key: str
    version_id: str
    data: bytes
    metadata: dict[str, str]
    checksum: str


@dataclass(frozen=True)
class Multipart:
    """One multipart upload that is open."""

    key: str
    metadata: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Bucket:
    """What is there, versions oldest first."""

    versions: list[Version] = field(default_factory=list)
    open: dict[str, Multipart] = field(default_factory=dict)
    numbers: int = 0
    keeps_versions: bool = True
    deleted: frozenset[str] = frozenset()
    """Keys whose newest version is a delete marker."""
    archived: frozenset[str] = frozenset()
    """Keys whose versions a lifecycle rule has archived."""

    def copy(self) -> Bucket:
        opened = {name: replace(each, parts=dict(each.parts)) for name, each in self.open.items()}
        return Bucket(list(self.versions), opened, self.numbers, self.keeps_versions, self.deleted, self.archived)

    def put(self, version: Version) -> str:
        """Put an object, over what was put likewise where no versions are kept (any more); gives its version."""
        if not self.keeps_versions:
            version = replace(version, version_id="null")
            self.versions = [each for each in self.versions if (each.key, each.version_id) != (version.key, "null")]
        self.versions.append(version)
        return version.version_id

    def number(self) -> str:
        self.numbers += 1
        return f"n{self.numbers:04d}"


class CloudedFiles(ForgetfulFiles):
    """Files, and a bucket beside them that no loss of power takes anything from."""

    def __init__(
        self, before: Callable[[int, str], None] = lambda number, name: None, *, keeps_versions: bool = True
    ) -> None:
        super().__init__(before)
        self.bucket = Bucket(keeps_versions=keeps_versions)

    def copy(self, *, power_loss: bool = False) -> CloudedFiles:
        files = CloudedFiles()
        files._root = super().copy(power_loss=power_loss)._root
        files.bucket = self.bucket.copy()
        return files

    def digest(self) -> int:
        return hash((super().digest(), repr(self.bucket)))

    def asked(self, name: str) -> None:
        self._count(name, Path("s3"))


def _refusal(code: str, status: int) -> AwsError:
    kind = Kind.MISSING if status == 404 else Kind.CONFLICT if status in (409, 412) else Kind.REFUSED
    return AwsError("s3:Any", kind, code, status=status)


class MemoryS3:
    """As `ServiceClient` of S3: what it refuses, it refuses with AwsError."""

    def __init__(self, files: CloudedFiles) -> None:
        self._files = files
        self.asked: list[str] = []
        self.fails: Callable[[str], AwsError | None] = lambda operation: None
        """What a request is refused with, nothing done."""
        self.loses: Callable[[str], bool] = lambda operation: False
        """Whether a request is carried out and its answer lost."""

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        work = getattr(type(self), f"_{operation}")

        def call(**asked: Any) -> Any:
            self.asked.append(operation)
            assert asked.pop("ExpectedBucketOwner") == "123456789012"
            self._files.asked(operation)
            if (refused := self.fails(operation)) is not None:
                raise refused
            answer = work(self, **asked)
            self._files.asked(f"{operation} done")
            if self.loses(operation):
                raise AwsError("s3:Any", Kind.UNREACHABLE)
            return answer

        return call

    @property
    def _bucket(self) -> Bucket:
        return self._files.bucket

    def _create_multipart_upload(self, Key: str, Metadata: dict[str, str], **_: Any) -> Any:  # noqa: N803
        name = self._bucket.number()
        self._bucket.open[name] = Multipart(Key, Metadata)
        return {"UploadId": name}

    def _opened(self, name: str) -> Multipart:
        if name not in self._bucket.open:
            raise _refusal("NoSuchUpload", 404)
        return self._bucket.open[name]

    def _upload_part(self, UploadId: str, PartNumber: int, Body: Any, ChecksumSHA256: str, **_: Any) -> Any:  # noqa: N803
        data = Body.read()
        if _sha256(data) != ChecksumSHA256:
            raise _refusal("BadDigest", 400)
        self._opened(UploadId).parts[PartNumber] = data
        return {"ETag": _etag(data)}

    def _list_parts(self, UploadId: str, Key: str, PartNumberMarker: int = 0, **_: Any) -> Any:  # noqa: N803
        if self._opened(UploadId).key != Key:
            raise _refusal("NoSuchUpload", 404)
        parts = sorted(each for each in self._opened(UploadId).parts.items() if each[0] > PartNumberMarker)
        listed = [
            {"PartNumber": number, "Size": len(data), "ChecksumSHA256": _sha256(data), "ETag": _etag(data)}
            for number, data in parts[:2]
        ]
        last = listed[-1]["PartNumber"] if listed else 0
        return {"Parts": listed, "IsTruncated": len(parts) > 2, "NextPartNumberMarker": last}

    def _get_bucket_versioning(self, **_: Any) -> Any:
        return {"Status": "Enabled"} if self._bucket.keeps_versions else {}

    def _complete_multipart_upload(self, UploadId: str, MultipartUpload: Any, **asked: Any) -> Any:  # noqa: N803
        upload, told = self._opened(UploadId), MultipartUpload["Parts"]
        if upload.key != asked["Key"]:
            raise _refusal("NoSuchUpload", 404)
        if "IfNoneMatch" in asked and any(each.key == upload.key for each in self._bucket.versions):
            raise _refusal("PreconditionFailed", 412)
        for each in told:
            data = upload.parts.get(each["PartNumber"])
            if data is None or (each["ChecksumSHA256"], each["ETag"]) != (_sha256(data), _etag(data)):
                raise _refusal("InvalidPart", 400)
        parts = [upload.parts[each["PartNumber"]] for each in told]
        joined = _sha256(b"".join(hashlib.sha256(part).digest() for part in parts))
        version = Version(upload.key, self._bucket.number(), b"".join(parts), upload.metadata, f"{joined}-{len(parts)}")
        del self._bucket.open[UploadId]
        return {"VersionId": self._bucket.put(version)}

    def _put_object(self, Key: str, Body: bytes, **_: Any) -> Any:  # noqa: N803
        if any(each.key == Key for each in self._bucket.versions):
            raise _refusal("PreconditionFailed", 412)
        self._bucket.put(Version(Key, self._bucket.number(), Body, {}, _sha256(Body)))
        return {}

    def _found(self, key: str, version_id: str) -> Version:
        found = [each for each in self._bucket.versions if each.key == key and version_id in ("", each.version_id)]
        if not found:
            raise _refusal("NoSuchKey", 404)
        return found[-1]

    def _head_object(self, Key: str, VersionId: str = "", **_: Any) -> Any:  # noqa: N803
        found = self._found(Key, VersionId)
        return {"ContentLength": len(found.data), "Metadata": found.metadata, "ChecksumSHA256": found.checksum}

    def _get_object(self, Key: str, VersionId: str = "", Range: str = "", **_: Any) -> Any:  # noqa: N803
        data = self._found(Key, VersionId).data
        if Key in self._bucket.archived:
            told = {"Error": {"Code": "InvalidObjectState"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise of_answer("s3:GetObject", told)
        if Range:
            first, last = map(int, Range.removeprefix("bytes=").split("-"))
            if first >= len(data):
                raise _refusal("InvalidRange", 416)
            data = data[first : last + 1]
        return {"Body": io.BytesIO(data)}

    def _list_objects_v2(self, Prefix: str, **_: Any) -> Any:  # noqa: N803
        assert not self._bucket.keeps_versions
        found = [each for each in self._bucket.versions if each.key.startswith(Prefix)]
        return {"Contents": [{"Key": each.key, "Size": len(each.data)} for each in found]}

    def _list_object_versions(self, Prefix: str, **_: Any) -> Any:  # noqa: N803
        found = [each for each in self._bucket.versions[::-1] if each.key.startswith(Prefix)]
        found.sort(key=lambda each: each.key)  # of one key the last one first
        listed = [
            {
                "Key": each.key,
                "VersionId": each.version_id,
                "Size": len(each.data),
                "StorageClass": "GLACIER" if each.key in self._bucket.archived else "STANDARD",
            }
            for each in found
        ]
        markers = [{"Key": key, "VersionId": "marker", "IsLatest": True} for key in sorted(self._bucket.deleted)]
        return {"Versions": listed, "DeleteMarkers": markers}


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'

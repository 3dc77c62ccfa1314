"""Events in S3: Parquet objects in Teleport's layout below a prefix, each written once and never over another one.

`<prefix>/<YYYY-MM-DD>/<stem>.parquet`, and batch records in `<prefix>/_batches/<log_id>/<first>-<last>.json`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from math import inf
from time import monotonic
from typing import Any

from server.regular_files import open_regular, read_regular
from server.storage.aws.creation import NewObject, create, head
from server.storage.aws.errors import AwsError, Kind, translated
from server.storage.aws.object_cache import ObjectCache, Read
from server.storage.aws.place import Connection
from server.storage.aws.versions import (
    checksum,
    earlier_versions,
    is_of_another_key,
    is_of_parts,
    list_versions,
    modified_ns,
    names_ever,
    others_of,
    problem_of,
    read_arguments,
)
from server.storage.ports import (
    LocalPaths,
    ObjectArchived,
    ObjectChanged,
    ObjectMissing,
    ObjectUnreadable,
    RecordArchived,
    RecordUnreadable,
    StorageError,
    StoredObject,
    VersionListing,
    Wanted,
)

_RECORDS = "_batches/"
MOST_RECORD_BYTES = 128 * 1024 * 1024
"""What is larger isn't one of ours: others can write to the bucket, and a record is read into memory."""
_CHUNK = 1024 * 1024
VAIN_SECONDS = 60.0
"""How long versions aren't looked through again: others can have put any number of them, and every search asks."""
_MOST_IN_VAIN = 10_000
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _wanted_record(name: str, digest: str) -> Wanted:
    return Wanted(_RECORDS + name, digest, MOST_RECORD_BYTES, is_bound=True)


class S3EventStorage:
    """EventStorage in a bucket. Safe to use from several threads; every call but `local_path` may block."""

    compares_digests = True
    keeps_versions = True

    def __init__(self, storage_id: str, connect: Callable[[], Connection], cache: ObjectCache) -> None:
        """`connect` gives the way there as of now: roles and keys may change. It may raise StorageError."""
        self.storage_id = storage_id
        self._connect = connect
        self._cache = cache
        self._in_vain: dict[str, float] = {}
        """By name, when all versions of an object were looked through and none was ours."""

    def put(self, name: str, spool_path: str, digest: str, size: int) -> None:
        """Store the spooled bytes where nothing is."""
        with open(spool_path, "rb", opener=open_regular) as file:
            body = file.read()
        create(self._connect, NewObject(name, body, digest, "application/vnd.apache.parquet"))
        self._cache.take(self.storage_id, name, spool_path, size)

    def put_record(self, name: str, data: bytes) -> None:
        """Store a batch record where nothing is."""
        digest = hashlib.sha256(data).hexdigest()
        create(self._connect, NewObject(_RECORDS + name, data, digest, "application/json"))
        self._cache.keep(self.storage_id, _RECORDS + name, data)

    def read_record(self, name: str, digest: str = "") -> bytes | None:
        """The bytes of a batch record, or None if there is none; by its digest from the cache."""
        if digest:
            return self._kept_record(_wanted_record(name, digest))
        return self._record(name)

    def earlier_records(self, name: str) -> Iterator[bytes]:
        """Each of its versions below the newest, as many as are tried."""
        for version in earlier_versions(self._connect(), _RECORDS + name):
            if (data := self._record(name, version)) is not None:
                yield data

    def _record(self, name: str, version: str = "") -> bytes | None:
        pieces: list[bytes] = []
        left = MOST_RECORD_BYTES

        def take(piece: bytes) -> None:
            nonlocal left
            left -= len(piece)
            if left < 0:
                raise RecordUnreadable
            pieces.append(piece)

        try:
            self._read(_RECORDS + name, take, version)
        except ObjectMissing:
            return None
        except ObjectArchived as error:
            raise RecordArchived(str(error)) from error
        except ObjectUnreadable as error:
            raise RecordUnreadable(str(error)) from error
        except AwsError as error:
            if error.kind in (Kind.DENIED, Kind.REFUSED):
                raise RecordUnreadable(str(error)) from error
            raise
        return b"".join(pieces)

    def _kept_record(self, wanted: Wanted) -> bytes | None:
        with self.local([wanted]) as found:
            path = found[wanted.name]
            if isinstance(path, ObjectMissing):
                return None
            if isinstance(path, StorageError):
                raise path
            try:
                return read_regular(path)
            except OSError as error:
                raise StorageError("the cache can't be read") from error

    def begin_records(self, records: Mapping[str, str]) -> None:
        """As many at once as objects are fetched."""
        with self.local([_wanted_record(*each) for each in records.items()], 0.0):
            pass

    def list_records(self, *, hidden: bool = False) -> Iterator[str]:
        """Names of all batch records; with `hidden` also of those of which there is a version that was deleted."""
        listed = (str(item["Name"]) for item in self._listed(_RECORDS))
        for name in names_ever(self._connect(), _RECORDS) if hidden else listed:
            if name.endswith(".json"):
                yield name.removeprefix(_RECORDS)

    def dates(self) -> list[str]:
        """The dates that have objects, sorted."""
        found = [str(item["Name"]).rstrip("/") for item in self._listed("", Delimiter="/")]
        return sorted(name for name in found if _DATE.fullmatch(name))

    def list_date(self, date: str) -> list[StoredObject]:
        """The Parquet objects of one date; [] if there is nothing."""
        return [
            StoredObject(
                item["Name"],
                item["Size"],
                modified_ns(item),
                problem_of(item),
                is_of_parts=is_of_parts(item),
            )
            for item in self._listed(f"{date}/")
            if item["Name"].endswith(".parquet")
        ]

    def date_revision(self, date: str) -> int:
        """When an object of the date was last written: those that go don't show in it."""
        return max((item.revision for item in self.list_date(date)), default=-1)

    def list_versions(self, date: str) -> VersionListing:
        """What is there of one date, and what was deleted or written over."""
        return list_versions(self._connect(), date)

    def sha256(self, name: str, version: str, read: Callable[[int], None] = lambda size: None) -> str:
        """By what S3 has compared, else by reading it."""
        way = self._connect()
        try:
            known = checksum(way, name, version)
        except AwsError as error:
            if version and is_of_another_key(way, name, version, error):
                raise ObjectUnreadable from error
            if error.kind is not Kind.REFUSED:
                raise
            known = ""  # the answer to a HEAD has no code: reading it tells why
        if not known:
            digest = hashlib.sha256()

            def take(piece: bytes) -> None:
                digest.update(piece)
                read(len(piece))

            self._read(name, take, version)
            known = digest.hexdigest()
        return known

    def _listed(self, prefix: str, **others: str) -> Iterator[dict[str, Any]]:
        """What is listed below a prefix, or of folders with `Delimiter`, each with its name below the events."""
        way = self._connect()
        before = way.place.location.keys_prefix
        asked: dict[str, Any] = {
            **way.place.bucket,
            "Prefix": before + prefix,
            **others,
        }
        while True:
            page = way.s3.list_objects_v2(**asked)
            for item in page.get("CommonPrefixes" if "Delimiter" in others else "Contents", ()):
                yield {**item, "Name": item.get("Key", item.get("Prefix", "")).removeprefix(before)}
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def local(self, objects: Sequence[Wanted], deadline: float | None = None) -> AbstractContextManager[LocalPaths]:
        """Have objects in the cache while the block lasts."""
        return self._cache.held(self.storage_id, objects, self._fetch, deadline)

    def _fetch(self, item: Wanted) -> Iterator[Read]:
        """The version that was seen. Of an object of ours the newest one, and where that isn't it, what lies below:
        who can write to a bucket that keeps versions can hide what was stored, and not take it away."""
        yield partial(self._read, item.name, version=item.version)
        if not item.version and monotonic() - self._in_vain.get(item.name, -inf) >= VAIN_SECONDS:
            for version in others_of(self._connect(), item):
                yield partial(self._read, item.name, version=version)
            if len(self._in_vain) >= _MOST_IN_VAIN:
                self._in_vain.clear()
            self._in_vain[item.name] = monotonic()  # who comes here found it in none of them

    def _read(self, name: str, take: Callable[[bytes], object], version: str = "") -> None:
        """Hand on an object's bytes. ObjectMissing if there is none."""
        way = self._connect()
        try:
            answer = way.s3.get_object(**way.place.at(name), **read_arguments(version))
        except AwsError as error:
            if error.kind is Kind.MISSING:
                raise ObjectMissing from error
            if error.code == "BadDigest" or error.status == 412:
                raise ObjectChanged from error
            if is_of_another_key(way, name, version, error):
                raise ObjectUnreadable from error
            raise
        with translated("s3:GetObject"):
            for piece in answer["Body"].iter_chunks(_CHUNK):
                take(piece)

    def forget_copies(self) -> None:
        """Those in the cache."""
        self._cache.empty(self.storage_id)

    def local_path(self, name: str) -> str:
        """Where the object is in the cache."""
        return self._cache.path(self.storage_id, name)

    def size(self, name: str) -> int | None:
        """Bytes of the object as it is now; None if it isn't there."""
        found = head(self._connect(), name)
        return None if found is None else int(found["ContentLength"])

    def retention_days(self) -> int:
        """As the options state."""
        return self._connect().place.retention_days

    def location(self) -> str:
        """The URI."""
        return str(self._connect().place.location)

"""What a bucket has of a session: which objects, whose uploads they are, and whether they are what was sent."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice, takewhile
from typing import Any

from server.storage.aws.errors import AwsError, Kind, translated
from server.storage.aws.place import Connection
from server.storage.aws.stored_objects import (
    UNVERSIONED,
    UPLOAD,
    Stored,
    adds_versions,
    aside_name,
    keeps_versions,
    listed,
    named,
    recording_name,
)
from server.storage.ports import StorageError
from server.storage.recording_port import Part, RecordingMissing, StoredRecording, UploadPlace

MOST_VERSIONS = 10_000
MOST_ASKED = 100
"""Versions that are asked whose they are, a request each: others can put as many as they like."""
_GONE = frozenset({"NoSuchKey", "NoSuchVersion"})
"""The codes of a GET that finds no object where there is a bucket."""


class StoredRecordings:
    """Looks into the bucket, and writes nothing. Safe to use from several threads; every call may block."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        """`connect` gives the way there as of now; it may raise StorageError."""
        self._connect = connect

    def takes_another(self, name: str) -> bool:
        """Whether what is put under a name leaves what has it; looked at again, should versions be suspended next."""
        return adds_versions(self._connect()) and all(each.version != UNVERSIONED for each in self._versions(name))

    def _versions(self, name: str) -> Iterator[Stored]:
        """The versions of an object, the newest first; without versions the object."""
        way = self._connect()
        if keeps_versions(way):
            # What is named alike is listed behind it, and others can put there as much as they like.
            yield from takewhile(lambda each: each.name == name, listed(way, name))
        elif (found := self._found(Stored(name))) is not None:
            yield Stored(name, size=found["ContentLength"])

    def exists(self, stored: Stored) -> bool:
        """Whether an object is there."""
        return self._found(stored) is not None

    def _found(self, stored: Stored) -> Any:
        """What S3 says of an object; None if it isn't there."""
        try:
            return self._head(stored, checksum=False)
        except AwsError as error:
            if error.kind is Kind.MISSING:
                return None
            raise

    def oldest(self, place: UploadPlace) -> Stored | None:
        """What is the session's recording; None if there is none."""
        return next(iter(deque(self._versions(recording_name(place.session_id)), maxlen=1)), None)

    def of_upload(self, place: UploadPlace, size: int) -> Stored | None:
        """What this upload, of so many bytes, has become. It is looked for among the newest; where others have put too
        many over it, it is nothing, and can become another version."""
        for name in (recording_name(place.session_id), aside_name(place.session_id, place.key)):
            found = islice((each for each in self._versions(name) if each.size == size), MOST_ASKED)
            own = next((each for each in found if self.upload_of(each) == place.key), None)
            if own is not None:
                return own
        return None

    def upload_of(self, stored: Stored) -> str:
        """Key of the upload that an object was; '' or anything where others put it."""
        return str(self._head(stored, checksum=False).get("Metadata", {}).get(UPLOAD, ""))

    def _head(self, stored: Stored, *, checksum: bool = True) -> Any:
        """With its checksum only where that is asked for: S3 tells it to nobody who may not use the object's key."""
        way = self._connect()
        wanted = {"ChecksumMode": "ENABLED"} if checksum and way.place.store.checksums else {}
        return way.s3.head_object(**stored.of(way), **wanted)

    def check(self, stored: Stored, parts: Sequence[Part]) -> None:
        """Compare an object with the parts that were sent: by S3's checksum of it, or else by reading it.

        Raises:
            StorageError: it isn't the same, or can't be told to be.
        """
        found, size = self._head(stored), sum(part.size for part in parts)
        is_same = found["ContentLength"] == size
        if self._connect().place.store.checksums:
            is_same = is_same and found.get("ChecksumSHA256") == checksum_of(parts)
        else:
            is_same = is_same and all(self._has(stored, part) for part in parts)
        if not is_same:
            raise StorageError("what S3 has of the recording isn't what was sent")

    def checksum(self, stored: Stored) -> str | None:
        """S3's checksum of an object of parts, lower-case hex; '' where it has none, None where it isn't there."""
        try:
            found = str(self._head(stored).get("ChecksumSHA256", ""))
        except AwsError as error:
            if error.kind is Kind.MISSING:
                return None
            raise
        try:
            return base64.b64decode(found.partition("-")[0], validate=True).hex()
        except binascii.Error:
            return ""

    def all(self) -> Iterator[StoredRecording]:
        """Everything that is named like a recording, in the order of names; of each the oldest versions, up to
        MOST_VERSIONS, as others can put as many as they like."""
        for name, versions in groupby(listed(self._connect(), "", deleted=True), lambda each: each.name):
            if (of := named(name)) is None:
                continue
            sizes, is_archived, is_deleted = deque[int](maxlen=MOST_VERSIONS), False, False
            for each in versions:
                is_archived, is_deleted = is_archived or each.is_archived, is_deleted or each.is_deleted
                if not each.is_deleted:
                    sizes.append(each.size)
            yield StoredRecording(*of, tuple(reversed(sizes)), is_archived, is_deleted)

    def _has(self, stored: Stored, part: Part) -> bool:
        return hashlib.sha256(self.read(stored, part.offset, part.size)).hexdigest() == part.sha256

    def read(self, stored: Stored, offset: int, size: int) -> bytes:
        """Bytes of an object; fewer at its end. RecordingMissing where it isn't there."""
        way = self._connect()
        try:
            answer = way.s3.get_object(**stored.of(way), Range=f"bytes={offset}-{offset + size - 1}")
        except AwsError as error:
            if error.code == "InvalidRange":
                return b""
            if error.code in _GONE:
                raise RecordingMissing("the recording isn't there") from error
            raise
        with translated("s3:GetObject"):
            return bytes(answer["Body"].read())


def checksum_of(parts: Sequence[Part]) -> str:
    """What S3 gives as the checksum of an object of these parts."""
    joined = hashlib.sha256(b"".join(bytes.fromhex(part.sha256) for part in parts))
    return f"{base64.b64encode(joined.digest()).decode()}-{len(parts)}"

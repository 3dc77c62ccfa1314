"""Recordings in a versioned bucket: `<session id>.tar`, whose oldest version is the session's recording.

An upload is in the local spool until it is complete, and goes to S3 in parts meanwhile. What is no session's recording
is a later version, or where it was aborted a multipart upload that stays open. Each upload that has ended has a custody
record, `_custody/<session id>/<key>.json`, which names its version. Nothing is ever overwritten or deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

from server.storage.aws.custody_records import CustodyRecords, listed_versions, stored_in
from server.storage.aws.errors import AwsError, translated
from server.storage.aws.multipart import UPLOAD, Sending, checksum_of, is_gone, name_of
from server.storage.aws.place import Connection
from server.storage.ports import StorageError
from server.storage.recording_port import FoundUpload, NotReadable, Part, PartWriter, UploadPlace, UploadSpool

_RECORDING, _ASIDE, _ABORTED = "recording", "aside", "aborted"
_ATTEMPTS = 3
_KNOWN_VERSIONS = 1_024
_KEY = re.compile(r"[0-9a-f]{32}", re.ASCII)


class S3Recordings:
    """RecordingStorage in a bucket. Safe to use from several threads, each upload as its writer says."""

    def __init__(
        self, storage_id: str, spool: UploadSpool, connect: Callable[[], Connection], threads: Executor
    ) -> None:
        """`connect` gives the way there as of now; it may raise StorageError. Parts are sent on `threads`."""
        self.storage_id = storage_id
        self._spool = spool
        self._connect = connect
        self._sending = Sending(spool, connect, threads)
        self._records = CustodyRecords(connect)
        self._versions_known: dict[tuple[str, str], str] = {}

    def begin(self, session_id: str, key: str, begun: bytes) -> UploadPlace:
        """In the spool alone: an upload can be begun while S3 is away."""
        return self._spool.begin(session_id, key, begun)

    def open(self, place: UploadPlace) -> PartWriter:
        """In the spool; parts are sent once they are durable there."""
        return _SendingWriter(self._spool.open(place), lambda parts: self._sending.ahead(place, parts))

    def read_upload(self, place: UploadPlace, offset: int, size: int) -> bytes:
        """From the spool."""
        return self._spool.read_upload(place, offset, size)

    def decide(self, place: UploadPlace, custody: bytes) -> bytes:
        """In the spool."""
        return self._spool.decide(place, custody)

    def decided(self, place: UploadPlace) -> bytes | None:
        """In the spool."""
        return self._spool.decided(place)

    def forget(self, place: UploadPlace) -> None:
        """In the spool. A multipart upload that isn't complete stays open."""
        self._sending.forget(place)
        self._spool.forget(place)

    def uploads(self) -> Iterator[FoundUpload]:
        """Those in the spool."""
        return self._spool.uploads()

    def complete(self, place: UploadPlace) -> bytes | None:
        """Complete it if the session has no version, and look which is the oldest then."""
        oldest = self._oldest(place)
        if oldest is None:
            self._store(place)
            oldest = self._oldest(place)
        if oldest is None:
            raise StorageError("S3 doesn't list what was completed")
        if self._upload_of(place, oldest) == place.key:
            self._check(place, oldest)
            return self._keep_record(place, {"kind": _RECORDING, "version_id": oldest})
        return self._record_of(place, oldest)

    def keep_aside(self, place: UploadPlace) -> None:
        """Complete it as a later version."""
        version = self._version_of(place)
        if version is None:
            if "null" in self._versions(place):
                raise StorageError("the bucket isn't versioned: another recording would overwrite the session's")
            version = self._store(place)
        self._check(place, version)
        self._keep_record(place, {"kind": _ASIDE, "version_id": version})

    def keep_aborted(self, place: UploadPlace) -> None:
        """Have S3 hold all parts in a multipart upload that stays open."""
        handle = ""
        for _ in range(_ATTEMPTS):
            try:
                handle, _tags = self._sending.store(place, self._parts(place))
            except AwsError as error:
                if not is_gone(error):
                    raise
                self._sending.begin_anew(place)
            else:
                break
        else:
            raise StorageError("others abort the multipart upload again and again")
        self._keep_record(place, {"kind": _ABORTED, "multipart_upload_id": handle})

    def _store(self, place: UploadPlace) -> str:
        """Complete it; gives its version, also where it was complete and the answer lost."""
        parts = self._parts(place)
        for _ in range(_ATTEMPTS):
            try:
                self._sending.complete(place, parts)
            except AwsError as error:
                if not is_gone(error):
                    raise
            version = self._version_of(place)
            if version is not None:
                return version
            self._sending.begin_anew(place)  # somebody has aborted it
        raise StorageError("others abort the multipart upload again and again")

    def _parts(self, place: UploadPlace) -> Sequence[Part]:
        writer = self._spool.open(place)
        try:
            return (*writer.parts, writer.tail) if writer.tail else writer.parts
        finally:
            writer.close()

    def _versions(self, place: UploadPlace) -> list[str]:
        """The session's versions, oldest first."""
        listed = listed_versions(self._connect(), name_of(place))
        return [version for name, version in listed if name == name_of(place)][::-1]

    def _oldest(self, place: UploadPlace) -> str | None:
        return next(iter(self._versions(place)), None)

    def _version_of(self, place: UploadPlace) -> str | None:
        """The version that this upload has become."""
        versions = self._versions(place)[::-1]
        return next((version for version in versions if self._upload_of(place, version) == place.key), None)

    def _upload_of(self, place: UploadPlace, version: str) -> str:
        return str(self._head(place, version).get("Metadata", {}).get(UPLOAD, ""))

    def _head(self, place: UploadPlace, version: str) -> Any:
        way = self._connect()
        return way.s3.head_object(**way.place.at(name_of(place)), VersionId=version, ChecksumMode="ENABLED")

    def _check(self, place: UploadPlace, version: str) -> None:
        """Compare a version with what is in the spool, before that is let go of."""
        parts, found = self._parts(place), self._head(place, version)
        size = sum(part.size for part in parts)
        if (found["ContentLength"], found.get("ChecksumSHA256")) != (size, checksum_of(parts)):
            raise StorageError("what S3 has of the recording isn't what was sent")

    def _keep_record(self, place: UploadPlace, stored: dict[str, str]) -> bytes:
        """Put the custody record; the first one stays."""
        decided = self._spool.decided(place)
        if decided is None:
            raise ValueError("nothing is decided")
        way = self._connect()
        where = {"bucket": way.place.location.bucket, "key": way.place.at(name_of(place))["Key"]}
        return self._records.put(place, decided, where | stored)

    def _record_of(self, place: UploadPlace, version: str) -> bytes | None:
        """The custody record of a version; None where it is of others."""
        key = self._upload_of(place, version)
        return self._records.of(UploadPlace(place.session_id, key)) if _KEY.fullmatch(key) else None

    def read(self, place: UploadPlace, offset: int, size: int, *, aside: bool) -> bytes:
        """Bytes of the version that the custody record names; of the oldest where there is none."""
        if size <= 0:
            return b""
        way, version = self._connect(), self._version_to_read(place, aside=aside)
        try:
            answer = way.s3.get_object(
                **way.place.at(name_of(place)), VersionId=version, Range=f"bytes={offset}-{offset + size - 1}"
            )
        except AwsError as error:
            if error.code == "InvalidRange":
                return b""
            raise
        with translated("s3:GetObject"):
            return bytes(answer["Body"].read())

    def _version_to_read(self, place: UploadPlace, *, aside: bool) -> str:
        known = place.session_id, place.key
        version = self._versions_known.get(known, "")
        if not version:
            record = self.custody(place, aside=aside)
            stored = stored_in(record) if record is not None else {}
            if stored.get("kind") == _ABORTED:
                raise NotReadable("an aborted upload's bytes are in a multipart upload, which S3 lets nobody read")
            version = str(stored.get("version_id") or ("" if aside else self._oldest(place) or ""))
            if not version:
                raise StorageError("the recording isn't there")
            if len(self._versions_known) >= _KNOWN_VERSIONS:
                self._versions_known.clear()
            self._versions_known[known] = version
        return version

    def custody(self, place: UploadPlace, *, aside: bool) -> bytes | None:
        """The custody record of an upload, or without a key of the session's oldest version."""
        if not place.key:
            oldest = self._oldest(place)
            return self._record_of(place, oldest) if oldest is not None else None
        record = self._records.of(place)
        if record is None or (not aside and stored_in(record).get("kind") != _RECORDING):
            return None
        return record

    def custody_records(self) -> Iterator[tuple[str, bytes, bool]]:
        """All of them, in the order of their names."""
        for session_id, record in self._records.all():
            yield session_id, record, stored_in(record).get("kind") != _RECORDING

    def count_custody_records(self) -> int:
        """By their names."""
        return self._records.count()


class _SendingWriter:
    """A PartWriter of the spool that has full parts sent."""

    def __init__(self, writer: PartWriter, send: Callable[[Sequence[Part]], None]) -> None:
        self._writer = writer
        self._send = send
        self.append = writer.append
        self.close = writer.close

    @property
    def parts(self) -> Sequence[Part]:
        return self._writer.parts

    @property
    def tail(self) -> Part | None:
        return self._writer.tail

    @property
    def offset(self) -> int:
        return self._writer.offset

    def sync(self, full: Sequence[Part], tail: Part | None) -> None:
        self._writer.sync(full, tail)
        self._send(full)

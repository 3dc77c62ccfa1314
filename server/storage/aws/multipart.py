"""Recordings on their way into a bucket: multipart uploads whose parts S3 compares with their digests.

What is sent lies in the local spool until the recording is complete and was looked at, so anything can be sent again:
after a stop, an answer that was lost, or a multipart upload that somebody else has aborted.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from server.storage.aws.errors import AwsError
from server.storage.aws.place import Connection
from server.storage.aws.session import BLOCK_BYTES
from server.storage.aws.store import base64_of
from server.storage.aws.stored_objects import UPLOAD, recording_name
from server.storage.ports import StorageError
from server.storage.recording_port import Part, UploadPlace, UploadReader, UploadSpool

_PIECE = 1024 * 1024
"""What is read of the spool at once to be hashed."""
_PAUSE_SECONDS = 30.0
"""How long no part is sent ahead after one couldn't be."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """What S3 holds in a multipart upload that is open."""

    name: str
    """Of the object to be, below the storage's location."""
    handle: str
    """Its id; '' where it has no parts."""
    parts: tuple[tuple[Part, str], ...]
    """Each with S3's tag of it."""


@dataclass(slots=True)
class _Sent:
    """What this process knows of one upload."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    coming: dict[Part, Future[None]] = field(default_factory=dict)
    tags: dict[tuple[str, Part], str] = field(default_factory=dict)
    """By multipart upload and part, S3's tag of what it has taken and compared."""


class Sending:
    """Sends parts, and completes. Safe to use from several threads."""

    def __init__(self, spool: UploadSpool, connect: Callable[[], Connection], threads: Executor) -> None:
        self._spool = spool
        self._connect = connect
        self._threads = threads
        self._sent: dict[str, _Sent] = {}
        self._paused_until = 0.0

    def ahead(self, place: UploadPlace, parts: Sequence[Part]) -> None:
        """Have parts sent that are durable in the spool. Nothing waits for it: completion sends what is missing."""
        sent = self._of(place)
        sent.coming = {part: each for part, each in sent.coming.items() if not each.done()}
        sent.coming |= {part: self._threads.submit(self._send_ahead, place, part) for part in parts}

    def _send_ahead(self, place: UploadPlace, part: Part) -> None:
        if time.monotonic() < self._paused_until:
            return
        try:
            name = recording_name(place.session_id)
            self._send(place, name, self._handle(place, name), part)
        except StorageError as error:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
            _log.warning("a part of a recording can't be sent now", extra={"fields": {"reason": str(error)}})

    def store(self, place: UploadPlace, parts: Sequence[Part], name: str) -> Held:
        """Have S3 hold these parts, and nothing else, in a multipart upload of this name that is open.

        Raises:
            StorageError: it can't be done now. AwsError of NoSuchUpload: it is complete, aborted, or of another name.
        """
        if not parts:
            return Held(name, "", ())
        self._finish(place)
        handle, is_there = self._handle(place, name), self._compared
        listed = self._listed(name, handle)
        missing = [part for part in parts if not is_there(part, listed)]
        for part in missing:
            self._send(place, name, handle, part)
        if missing:
            listed = self._listed(name, handle)
        if not all(is_there(part, listed) for part in parts):
            raise StorageError("S3 doesn't have the parts that were sent")
        return Held(name, handle, tuple((part, str(listed[part.number]["ETag"])) for part in parts))

    def sent(self, place: UploadPlace, parts: Sequence[Part], name: str) -> Held:
        """As `store`, but that S3 isn't asked for parts that it has told this process to have: `complete` has them
        compared, and raises what is wrong with the multipart upload."""
        if not self._connect().place.store.checksums:
            return self.store(place, parts, name)
        self._finish(place)
        handle, tags = self._handle(place, name), self._of(place).tags
        missing = [part for part in parts if (handle, part) not in tags]
        if len(missing) > 1:  # else it is the one that was open to the end
            return self.store(place, parts, name)
        for part in missing:
            self._send(place, name, handle, part)
        return Held(name, handle, tuple((part, tags[handle, part]) for part in parts))

    def _finish(self, place: UploadPlace) -> None:
        """Wait for parts that are to be sent ahead, and send some too: those at the other end, so that nothing stands
        in line behind other uploads."""
        for part, future in reversed(self._of(place).coming.items()):
            if future.cancel():
                self._send_ahead(place, part)
            else:
                future.result()

    @property
    def _compared(self) -> Callable[[Part, dict[int, dict[str, Any]]], bool]:
        return _has_digest if self._connect().place.store.checksums else _has_size

    def complete(self, place: UploadPlace, held: Held, condition: dict[str, str]) -> str:
        """Make an object of what `store` or `sent` gave, under a condition as `Place` writes it; gives its version, ''
        where it has none. NoSuchUpload as there."""
        way = self._connect()
        with_digests = way.place.store.checksums
        told = [
            {"PartNumber": part.number, "ETag": tag}
            | ({"ChecksumSHA256": base64_of(part.sha256)} if with_digests else {})
            for part, tag in held.parts
        ]
        asked = {**way.place.at(held.name), **condition, "UploadId": held.handle, "MultipartUpload": {"Parts": told}}
        try:
            answer = way.s3.complete_multipart_upload(**asked)
        except AwsError:
            self._of(place).tags.clear()  # S3 may have other parts than it told: it is asked for them next time
            raise
        return str(answer.get("VersionId", ""))

    def begin_anew(self, place: UploadPlace) -> None:
        """Have all parts sent again, into another multipart upload."""
        with self._of(place).lock:
            self._spool.keep_handle(place, "")

    def forget(self, place: UploadPlace) -> None:
        """Let go of what is known of an upload."""
        self._sent.pop(place.key, None)

    def _of(self, place: UploadPlace) -> _Sent:
        return self._sent.setdefault(place.key, _Sent())

    def _handle(self, place: UploadPlace, name: str) -> str:
        """The id of its multipart upload, which is begun if there is none."""
        with self._of(place).lock:
            handle = self._spool.handle(place)
            if not handle:
                way = self._connect()
                answer = way.s3.create_multipart_upload(
                    **way.place.at(name),
                    **way.place.encryption,
                    **({"ChecksumAlgorithm": "SHA256"} if way.place.store.checksums else {}),
                    ContentType="application/octet-stream",
                    Metadata={UPLOAD: place.key},
                )
                handle = str(answer["UploadId"])
                self._spool.keep_handle(place, handle)
            return handle

    def _send(self, place: UploadPlace, name: str, handle: str, part: Part) -> None:
        way = self._connect()
        pieces = (self._spool.read_upload(place, at, size) for at, size in _pieces(part))
        with closing(PartBody(self._spool.open_read(place), part)) as body:
            answer = way.s3.upload_part(
                **way.place.at(name),
                **way.place.store.checksum(part.sha256, pieces),
                UploadId=handle,
                PartNumber=part.number,
                Body=body,
                ContentLength=part.size,
            )
        self._of(place).tags[handle, part] = str(answer["ETag"])

    def _listed(self, name: str, handle: str) -> dict[int, dict[str, Any]]:
        way = self._connect()
        asked: dict[str, Any] = {**way.place.at(name), "UploadId": handle}
        found: dict[int, dict[str, Any]] = {}
        while True:
            page = way.s3.list_parts(**asked)
            found |= {int(each["PartNumber"]): each for each in page.get("Parts", ())}
            if not page.get("IsTruncated"):
                return found
            asked["PartNumberMarker"] = page["NextPartNumberMarker"]


class PartBody:
    """One part in the spool as a file for botocore, which reads it again where it sends it again.

    A block is sent before the next one is asked for, so all are read into the same memory.
    """

    def __init__(self, upload: UploadReader, part: Part) -> None:
        self.close = upload.close
        self._upload = upload
        self._part = part
        self._at = 0
        self._block = memoryview(bytearray(min(BLOCK_BYTES, part.size)))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._part.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        """As of any file."""
        return self._at

    def read(self, size: int = -1) -> memoryview:
        """At most `size` bytes, all that are left where it is negative; none at the end. Good until the next call."""
        left = max(0, self._part.size - self._at)
        size = left if size < 0 else min(size, left)
        memory = self._block[:size] if size <= len(self._block) else memoryview(bytearray(size))
        found = memory[: self._upload.read_into(memory, self._part.offset + self._at)]
        self._at += len(found)
        return found


def is_gone(error: AwsError) -> bool:
    """Whether an error says that a multipart upload is complete, or aborted."""
    return error.code == "NoSuchUpload"


def _pieces(part: Part) -> Iterator[tuple[int, int]]:
    """Offsets and sizes that a part is read by."""
    end = part.offset + part.size
    return ((at, min(_PIECE, end - at)) for at in range(part.offset, end, _PIECE))


def _has_size(part: Part, listed: dict[int, dict[str, Any]]) -> bool:
    """Whether S3 may have a part. Which bytes it has shows where they are read again."""
    found = listed.get(part.number)
    return found is not None and found["Size"] == part.size


def _has_digest(part: Part, listed: dict[int, dict[str, Any]]) -> bool:
    return _has_size(part, listed) and listed[part.number].get("ChecksumSHA256") == base64_of(part.sha256)

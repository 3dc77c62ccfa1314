"""Recordings on their way into a bucket: multipart uploads whose parts S3 compares with their SHA-256.

What is sent lies in the local spool until the recording is complete and was looked at, so anything can be sent again:
after a stop, an answer that was lost, or a multipart upload that somebody else has aborted.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from server.storage.aws.errors import AwsError
from server.storage.aws.place import Connection
from server.storage.ports import StorageError
from server.storage.recording_port import Part, UploadPlace, UploadSpool

UPLOAD = "upload"
"""The name under which a recording's metadata has the key of its upload."""
_BUFFER = 1024 * 1024
_PAUSE_SECONDS = 30.0
"""How long no part is sent ahead after one couldn't be."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sent:
    """What this process knows of one upload."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    coming: list[Future[None]] = field(default_factory=list)


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
        sent = self._sent.setdefault(place.key, _Sent())
        sent.coming = [each for each in sent.coming if not each.done()]
        sent.coming += [self._threads.submit(self._send_ahead, place, part) for part in parts]

    def _send_ahead(self, place: UploadPlace, part: Part) -> None:
        if time.monotonic() < self._paused_until:
            return
        try:
            self._send(place, self._handle(place), part)
        except StorageError as error:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
            _log.warning("a part of a recording can't be sent now", extra={"fields": {"reason": str(error)}})

    def store(self, place: UploadPlace, parts: Sequence[Part]) -> tuple[str, str]:
        """Have S3 hold these parts, and nothing else, in a multipart upload that is open.

        Returns:
            Its id, and the tags of the parts joined by spaces; no id where there are no parts.

        Raises:
            StorageError: it can't be done now. AwsError of NoSuchUpload: it is complete or aborted.
        """
        if not parts:
            return "", ""
        for each in self._of(place).coming:
            if not each.cancel():
                each.result()
        handle = self._handle(place)
        listed = self._listed(place, handle)
        missing = [part for part in parts if not _is_there(part, listed)]
        for part in missing:
            self._send(place, handle, part)
        if missing:
            listed = self._listed(place, handle)
        if not all(_is_there(part, listed) for part in parts):
            raise StorageError("S3 doesn't have the parts that were sent")
        return handle, " ".join(listed[part.number]["ETag"] for part in parts)

    def complete(self, place: UploadPlace, parts: Sequence[Part]) -> None:
        """Make a multipart upload a version of the session's object. NoSuchUpload as of `store`."""
        handle, tags = self.store(place, parts)
        way = self._connect()
        told = [
            {"PartNumber": part.number, "ETag": tag, "ChecksumSHA256": base64_of(part.sha256)}
            for part, tag in zip(parts, tags.split(" "), strict=True)
        ]
        way.s3.complete_multipart_upload(
            **way.place.at(name_of(place)), UploadId=handle, MultipartUpload={"Parts": told}
        )

    def begin_anew(self, place: UploadPlace) -> None:
        """Have all parts sent again, into another multipart upload."""
        with self._of(place).lock:
            self._spool.keep_handle(place, "")

    def forget(self, place: UploadPlace) -> None:
        """Let go of what is known of an upload."""
        self._sent.pop(place.key, None)

    def _of(self, place: UploadPlace) -> _Sent:
        return self._sent.setdefault(place.key, _Sent())

    def _handle(self, place: UploadPlace) -> str:
        """The id of its multipart upload, which is begun if there is none."""
        with self._of(place).lock:
            handle = self._spool.handle(place)
            if not handle:
                way = self._connect()
                answer = way.s3.create_multipart_upload(
                    **way.place.at(name_of(place)),
                    **way.place.encryption,
                    ChecksumAlgorithm="SHA256",
                    ContentType="application/octet-stream",
                    Metadata={UPLOAD: place.key},
                )
                handle = str(answer["UploadId"])
                self._spool.keep_handle(place, handle)
            return handle

    def _send(self, place: UploadPlace, handle: str, part: Part) -> None:
        way = self._connect()
        way.s3.upload_part(
            **way.place.at(name_of(place)),
            UploadId=handle,
            PartNumber=part.number,
            Body=io.BufferedReader(_PartBody(self._spool, place, part), _BUFFER),
            ContentLength=part.size,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=base64_of(part.sha256),
        )

    def _listed(self, place: UploadPlace, handle: str) -> dict[int, dict[str, Any]]:
        way = self._connect()
        asked: dict[str, Any] = {**way.place.at(name_of(place)), "UploadId": handle}
        found: dict[int, dict[str, Any]] = {}
        while True:
            page = way.s3.list_parts(**asked)
            found |= {int(each["PartNumber"]): each for each in page.get("Parts", ())}
            if not page.get("IsTruncated"):
                return found
            asked["PartNumberMarker"] = page["NextPartNumberMarker"]


class _PartBody(io.RawIOBase):
    """One part in the spool as a file: botocore reads it again where it sends it again."""

    def __init__(self, spool: UploadSpool, place: UploadPlace, part: Part) -> None:
        super().__init__()
        self._spool = spool
        self._place = place
        self._part = part
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._part.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), max(0, self._part.size - self._at))
        found = self._spool.read_upload(self._place, self._part.offset + self._at, size) if size else b""
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def name_of(place: UploadPlace) -> str:
    """The name of a session's recording below the storage's location."""
    return f"{place.session_id}.tar"


def is_gone(error: AwsError) -> bool:
    """Whether an error says that a multipart upload is complete, or aborted."""
    return error.code == "NoSuchUpload"


def base64_of(digest: str) -> str:
    """A digest in lower-case hex, as S3 writes it."""
    return base64.b64encode(bytes.fromhex(digest)).decode()


def checksum_of(parts: Sequence[Part]) -> str:
    """What S3 gives as the checksum of an object of these parts."""
    joined = hashlib.sha256(b"".join(bytes.fromhex(part.sha256) for part in parts))
    return f"{base64.b64encode(joined.digest()).decode()}-{len(parts)}"


def _is_there(part: Part, listed: dict[int, dict[str, Any]]) -> bool:
    found = listed.get(part.number)
    return found is not None and found["Size"] == part.size and found.get("ChecksumSHA256") == base64_of(part.sha256)

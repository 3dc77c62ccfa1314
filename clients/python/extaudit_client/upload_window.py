"""What an upload keeps because it isn't durable yet, and where it goes on; the same for threads and for asyncio."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client.custody import CustodyDigest
from extaudit_client.errors import ExtauditError

CHUNK_BYTES: Final = 1024 * 1024
WINDOW_BYTES: Final = 16 * 1024 * 1024
"""Bytes that are kept because they aren't durable yet; when they are so many, the source isn't read."""

_CHUNK: Final = b"\x12"
"""Tag of UploadRecordingRequest.chunk: field 2, with a length."""
_OFFSET: Final = b"\x08"
"""Tag of RecordingChunk.offset: field 1, a varint."""
_DATA: Final = b"\x12"
"""Tag of RecordingChunk.data: field 2, with a length."""

Progress = Callable[[str, int], None]
"""Told of the upload's id and of how many bytes are durable."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What was uploaded, all of it durable: size and digests (lower-case hex) of the whole source.

    `custody_digest` is as the service makes it, see custody; `sha256` is '' of more than one part (8 MiB) but with
    `with_sha256`.
    """

    upload_id: str
    bytes: int
    custody_digest: str
    sha256: str


class Source:
    """Where the bytes come from: any binary stream, from the recording's beginning."""

    def __init__(self, stream: BinaryIO, *, with_sha256: bool = False) -> None:
        self._stream = stream
        self.with_sha256 = with_sha256
        self.digest = CustodyDigest(whole=with_sha256)
        """Of all that was read or passed over."""
        # A pipe gives what there is instead of waiting until a chunk is full: a session may be streamed as it lasts.
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)

    def read(self) -> bytes:
        """The next bytes; none at the end."""
        data = self._read(CHUNK_BYTES)
        self.digest.update(data)
        return data

    def skip(self, size: int) -> None:
        """Pass over bytes.

        Raises:
            ExtauditError: there are fewer.
        """
        while size > 0:
            data = self._stream.read(min(size, CHUNK_BYTES))
            self.digest.update(data)
            if not data:
                raise ExtauditError("FAILED_PRECONDITION", "", "the source is shorter than what was uploaded already")
            size -= len(data)


class UploadWindow:
    """The bytes between what is durable and what was read; one thread at a time."""

    def __init__(self, source: Source, session_id: str, upload_id: str) -> None:
        self.source = source
        self.upload_id = upload_id
        self.durable_offset = 0
        self.at_end = False
        self.answered = False
        """Whether the service has ever told of the upload."""
        self._session_id = session_id
        self._kept: deque[bytes] = deque()
        self._begin = self._end = 0

    @property
    def full(self) -> bool:
        """Whether as much is kept as may be."""
        return self._end - self._begin >= WINDOW_BYTES

    @property
    def awaits(self) -> bool:
        """Whether an answer is due: something isn't durable, or there is no more to come."""
        return bool(self._kept) or self.at_end

    @property
    def done(self) -> bool:
        """Whether everything is durable."""
        return self.at_end and self.durable_offset == self._end

    @property
    def uploaded(self) -> Uploaded:
        """What was uploaded, once it is done."""
        digest = self.source.digest
        return Uploaded(self.upload_id, self._end, digest.custody, digest.sha256)

    def start(self) -> bytes:
        """The first request of a stream, encoded."""
        with_sha256 = self.source.with_sha256
        start = pb.UploadStart(session_id=self._session_id, upload_id=self.upload_id, with_sha256=with_sha256)
        return pb.UploadRecordingRequest(start=start).SerializeToString()

    def note(self, response: pb.UploadRecordingResponse, *, first: bool) -> None:
        """Take in what is durable; the `first` response of a stream says where to go on.

        Raises:
            ExtauditError: the service has lost something, or the source is shorter than what it has.
        """
        self.upload_id, self.durable_offset = response.upload_id, response.durable_offset
        if first:
            self._take_up()
        while self._kept and self._begin + len(self._kept[0]) <= self.durable_offset:
            self._begin += len(self._kept.popleft())
        self.answered = True

    def add(self, data: bytes) -> None:
        """Keep what was read; nothing is the end."""
        self.at_end = not data
        if data:
            self._kept.append(data)
            self._end += len(data)

    def kept_at(self, at: int) -> tuple[int, bytes] | None:
        """The kept bytes that belong at `at` (-1: the first ones) or later, with their offset."""
        offset = self._begin
        for data in self._kept:
            if offset >= at:
                return offset, data
            offset += len(data)
        return None

    def _take_up(self) -> None:
        """Go on from what is durable: the source is passed over up to there, if it isn't there yet."""
        if self.durable_offset < self._begin:
            raise ExtauditError("DATA_LOSS", "", "the service has lost bytes that it had acknowledged")
        if self.durable_offset > self._end:
            self.source.skip(self.durable_offset - self._end)
            self._kept.clear()
            self._begin = self._end = self.durable_offset


def chunk(offset: int, data: bytes) -> bytes:
    """The request that brings bytes, encoded: an UploadRecordingRequest with a `chunk`.

    Its bytes are copied once; by way of messages they would be four times, which costs more than hashing them.
    """
    place = _OFFSET + _varint(offset) if offset else b""
    inner = place + _DATA + _varint(len(data))
    return b"".join((_CHUNK, _varint(len(inner) + len(data)), inner, data))


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def ended_early() -> ExtauditError:
    """What it means that the service ends a stream by itself."""
    return ExtauditError("UNAVAILABLE", "", "the service ended the stream before everything was durable")

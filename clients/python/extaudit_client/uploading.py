"""An upload under way: bytes are kept until they are durable, and sent again when the connection breaks."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

import grpc
from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client.errors import ExtauditError, from_rpc
from extaudit_client.retries import Retries

CHUNK_BYTES: Final = 1024 * 1024
WINDOW_BYTES: Final = 16 * 1024 * 1024
"""Bytes that are kept because they aren't durable yet; when they are so many, the source isn't read."""

Progress = Callable[[str, int], None]
"""Told of the upload's id and of how many bytes are durable."""
Requests = Iterator[pb.UploadRecordingRequest]


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What was uploaded, all of it durable. `bytes` and `sha256` (lower-case hex) are those of the whole source."""

    upload_id: str
    bytes: int
    sha256: str


class UploadCall(Protocol):
    """A stream under way: its responses."""

    def __iter__(self) -> Iterator[pb.UploadRecordingResponse]:
        """The responses as they come."""

    def cancel(self) -> bool:
        """End the stream."""


class Source:
    """Where the bytes come from: any binary stream, from the recording's beginning."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        # A pipe gives what there is instead of waiting until a chunk is full: a session may be streamed as it lasts.
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)

    def read(self) -> bytes:
        """The next bytes; none at the end."""
        data = self._read(CHUNK_BYTES)
        self._digest.update(data)
        return data

    @property
    def sha256(self) -> str:
        """SHA-256 of all that was read or passed over, lower-case hex."""
        return self._digest.hexdigest()

    def skip(self, size: int) -> None:
        """Pass over bytes.

        Raises:
            ExtauditError: there are fewer.
        """
        while size > 0:
            data = self._stream.read(min(size, CHUNK_BYTES))
            self._digest.update(data)
            if not data:
                raise ExtauditError("FAILED_PRECONDITION", "", "the source is shorter than what was uploaded already")
            size -= len(data)


class Uploading:
    """Uploads a source; what isn't durable when a stream breaks is sent again on a new one.

    gRPC takes the requests on a thread of its own, so that a source which waits holds no acknowledgement up.
    """

    def __init__(
        self,
        open_call: Callable[[Requests], UploadCall],
        source: Source,
        session_id: str,
        upload_id: str,
        retries: Retries,
        progress: Progress | None = None,
    ) -> None:
        self._open_call = open_call
        self._source = source
        self._session_id = session_id
        self._retries = retries
        self._progress = progress
        self.upload_id = upload_id
        """The upload's id; '' until the service has given it."""
        self.durable_offset = 0
        """How many bytes from the beginning are durable."""
        self._changed = threading.Condition()
        self._stream = 0
        """Number of the stream in use; the requests of one before end."""
        self._ready = False
        self._answered = False
        self._kept: deque[bytes] = deque()
        self._begin = 0
        """Where the first of the kept bytes belong."""
        self._end = 0
        """Where the bytes that the source gives next belong."""
        self._reading = False
        self._at_end = False
        self._source_failure: Exception | None = None

    def run(self) -> Uploaded:
        """Upload until everything is durable.

        Raises:
            ExtauditError: the upload was refused, or broke too often. OSError: the source can't be read.
        """
        failures = 0
        while True:
            before = self.durable_offset
            failure = self._run_stream()
            if self._source_failure is not None:
                raise self._source_failure
            if failure is None:
                return Uploaded(self.upload_id, self._end, self._source.sha256)
            failures = 1 if self.durable_offset > before else failures + 1
            if not self._retries.allow(failure, failures, answered=self._answered):
                raise failure
            self._retries.wait(self._retries.delay(failures, failure.retry_after))

    def _run_stream(self) -> ExtauditError | None:
        """One stream, to its end; gives why it ended early."""
        with self._changed:
            self._stream += 1
            self._ready = False
        call = self._open_call(self._requests(self._stream))
        try:
            for response in call:
                self._note(response)
        except grpc.RpcError as error:
            return from_rpc(error)
        finally:
            with self._changed:
                self._stream += 1
                self._changed.notify_all()
            call.cancel()
        if self._at_end and self.durable_offset == self._end:
            return None
        return ExtauditError("UNAVAILABLE", "", "the service ended the stream before everything was durable")

    def _note(self, response: pb.UploadRecordingResponse) -> None:
        with self._changed:
            self.upload_id, self.durable_offset = response.upload_id, response.durable_offset
            if not self._ready:
                self._take_up()
            while self._kept and self._begin + len(self._kept[0]) <= self.durable_offset:
                self._begin += len(self._kept.popleft())
            self._ready = self._answered = True
            self._changed.notify_all()
        if self._progress is not None:
            self._progress(self.upload_id, self.durable_offset)

    def _take_up(self) -> None:
        """Go on from what is durable: the source is passed over up to there, if it isn't there yet."""
        if self.durable_offset < self._begin:
            raise ExtauditError("DATA_LOSS", "", "the service has lost bytes that it had acknowledged")
        if self.durable_offset > self._end:
            self._source.skip(self.durable_offset - self._end)
            self._kept.clear()
            self._begin = self._end = self.durable_offset

    def _requests(self, stream: int) -> Requests:
        yield pb.UploadRecordingRequest(start=pb.UploadStart(session_id=self._session_id, upload_id=self.upload_id))
        at = -1
        while (found := self._next(stream, at)) is not None:
            offset, data = found
            at = offset + len(data)
            yield pb.UploadRecordingRequest(chunk=pb.RecordingChunk(offset=offset, data=data))

    def _next(self, stream: int, at: int) -> tuple[int, bytes] | None:
        """The kept bytes that belong at `at` (-1: the first ones) or later, with their offset, read where need be."""
        with self._changed:
            while True:
                if stream != self._stream:
                    return None
                if not self._ready:
                    self._changed.wait()
                elif (found := self._kept_at(at)) is not None:
                    return found
                elif self._at_end:
                    return None
                elif self._reading or self._end - self._begin >= WINDOW_BYTES:
                    self._changed.wait()
                else:
                    self._read()

    def _kept_at(self, at: int) -> tuple[int, bytes] | None:
        offset = self._begin
        for data in self._kept:
            if offset >= at:
                return offset, data
            offset += len(data)
        return None

    def _read(self) -> None:
        """Read once, without the lock: a source may wait for long."""
        self._reading = True
        self._changed.release()
        data, failure = b"", None
        try:
            data = self._source.read()
        except (OSError, ValueError) as error:
            failure = error
        finally:
            self._changed.acquire()
            self._reading = False
        self._source_failure = failure
        self._at_end = not data
        if data:
            self._kept.append(data)
            self._end += len(data)
        self._changed.notify_all()

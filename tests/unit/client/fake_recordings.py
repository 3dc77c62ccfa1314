"""The service's side of uploads and downloads, as tests of the client want it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import grpc
from extaudit.v1 import recording_pb2
from extaudit.v1 import recording_service_pb2 as pb
from extaudit_client.custody import PART_BYTES

from tests.unit.client.fake_service import Refused

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
SESSION = "0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"
Requests = Iterator[pb.UploadRecordingRequest]
Responses = Iterator[pb.UploadRecordingResponse]


class FakeUploads:
    """Takes uploads in; `breaks` says after how many chunks each stream breaks, and with what."""

    def __init__(self, *breaks: tuple[int, Refused]) -> None:
        self.breaks = list(breaks)
        self.data = bytearray()
        self.starts: list[tuple[str, str]] = []
        self.received = 0
        self.with_sha256: list[bool] = []

    def __call__(self, requests: Requests) -> Responses:
        start = next(requests).start
        self.starts.append((start.session_id, start.upload_id))
        self.with_sha256.append(start.with_sha256)
        limit, failure = self.breaks.pop(0) if self.breaks else (-1, None)
        yield self._durable()
        for number, request in enumerate(requests):
            if number == limit and failure is not None:
                raise failure
            offset, data = request.chunk.offset, request.chunk.data
            assert offset <= len(self.data), "a gap"
            self.data += data[len(self.data) - offset :]
            self.received += len(data)
            yield self._durable()

    def _durable(self) -> pb.UploadRecordingResponse:
        return pb.UploadRecordingResponse(upload_id="u-1", storage="default", durable_offset=len(self.data))


def digest_by_hand(data: bytes, schedule: list[int]) -> str:
    digests, at = b"", 0
    for size in schedule:
        if at < len(data):
            digests += hashlib.sha256(data[at : at + size]).digest()
        at += size
    return hashlib.sha256(digests).hexdigest()


class FakeDownload:
    """Gives a recording; `breaks` says after how many bytes of each stream it breaks, and with what."""

    def __init__(self, data: bytes, *breaks: tuple[int, Refused]) -> None:
        self.data = data
        self.breaks = list(breaks)
        self.offsets: list[int] = []
        self.custody = digest_by_hand(data, [PART_BYTES] * 4)
        self.sha256 = hashlib.sha256(data).hexdigest()

    def __call__(self, request: pb.DownloadRecordingRequest) -> Iterator[pb.DownloadRecordingResponse]:
        self.offsets.append(request.offset)
        recording = recording_pb2.Recording(
            session_id=request.session_id,
            upload_id="u-1",
            bytes=len(self.data),
            custody_digest=self.custody,
            sha256=self.sha256,
        )
        yield pb.DownloadRecordingResponse(recording=recording)
        limit, failure = self.breaks.pop(0) if self.breaks else (len(self.data), None)
        rest = self.data[request.offset :][:limit]
        for start in range(0, len(rest), 1000):
            yield pb.DownloadRecordingResponse(chunk=rest[start : start + 1000])
        if failure is not None:
            raise failure


BROKEN = Refused(UNAVAILABLE, "STOPPING", retry_after=0.0)

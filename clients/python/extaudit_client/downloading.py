"""A download under way: it goes on where it was when the connection breaks, and checks what it got at its end."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

import grpc
from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client.custody import CustodyDigest
from extaudit_client.errors import ExtauditError, from_rpc
from extaudit_client.recording_rows import Recording, recording_from
from extaudit_client.retries import Retries

PART_SUFFIX: Final = ".part"
"""Added to a file's name while it isn't whole."""
_READ_BYTES: Final = 1024 * 1024


class DownloadCall(Protocol):
    """A stream under way: its responses."""

    def __iter__(self) -> Iterator[pb.DownloadRecordingResponse]:
        """The responses as they come."""

    def cancel(self) -> bool:
        """End the stream."""


class Download:
    """Downloads one recording from its beginning to its end."""

    def __init__(
        self,
        open_call: Callable[[pb.DownloadRecordingRequest], DownloadCall],
        session_id: str,
        upload_id: str,
        retries: Retries,
    ) -> None:
        self._open_call = open_call
        self._session_id = session_id
        self._upload_id = upload_id
        self._retries = retries
        self._digest = CustodyDigest()
        self.recording: Recording | None = None
        """What is downloaded; None until the service has told."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes that aren't there yet, as they come; at their end the whole is checked.

        Raises:
            ExtauditError: the service refused, the stream broke too often, or the bytes aren't the recording's.
        """
        failures = 0
        while True:
            before = self._digest.size
            try:
                yield from self._stream()
                break
            except grpc.RpcError as error:
                failure = from_rpc(error)
            failures = 1 if self._digest.size > before else failures + 1
            if not self._retries.allow(failure, failures, answered=self.recording is not None):
                raise failure
            self._retries.wait(self._retries.delay(failures, failure.retry_after))
        self._check()

    def to_file(self, path: Path, progress: Callable[[Recording, int], None] | None = None) -> Recording:
        """Download to a file, going on with what an interrupted download left in `PATH.part`.

        Raises:
            ExtauditError: as `chunks`. What isn't the recording's is removed, so that the next try begins anew.
            OSError: the file can't be written.
        """
        part = path.with_name(path.name + PART_SUFFIX)
        self._take_in(part)
        try:
            self._write(part, progress)
        except ExtauditError as error:
            if _is_spoiled(error):
                part.unlink(missing_ok=True)
            raise
        part.replace(path)
        return self._known()

    def _write(self, part: Path, progress: Callable[[Recording, int], None] | None) -> None:
        chunks = self.chunks()
        first = next(chunks, b"")  # a refused download leaves no file behind
        with open(part, "ab", opener=_private) as file:
            for data in itertools.chain((first,), chunks):
                file.write(data)
                if progress is not None:
                    progress(self._known(), self._digest.size)

    def _take_in(self, part: Path) -> None:
        if part.exists():
            with part.open("rb") as file:
                while data := file.read(_READ_BYTES):
                    self._digest.update(data)

    def _stream(self) -> Iterator[bytes]:
        request = pb.DownloadRecordingRequest(
            session_id=self._session_id, upload_id=self._upload_id, offset=self._digest.size
        )
        call = self._open_call(request)
        try:
            for answer in call:
                if answer.WhichOneof("response") == "recording":
                    self._note(recording_from(answer.recording))
                else:
                    self._digest.update(answer.chunk)
                    yield answer.chunk
        finally:
            call.cancel()

    def _note(self, recording: Recording) -> None:
        if self.recording is not None and recording.custody_digest != self.recording.custody_digest:
            raise ExtauditError("DATA_LOSS", "", "the session's recording is another one than before")
        self.recording = recording

    def _check(self) -> None:
        found = self._known()
        self._digest.check(size=found.bytes, sha256=found.sha256, custody=found.custody_digest)

    def _known(self) -> Recording:
        if self.recording is None:
            raise ExtauditError("INTERNAL", "", "the service didn't say what it sent")
        return self.recording


def _is_spoiled(error: ExtauditError) -> bool:
    """Whether what is there already is of another recording: longer than this one, or not its bytes."""
    return error.code == "INVALID_ARGUMENT" or (error.code == "DATA_LOSS" and not error.reason)


def _private(path: str, flags: int) -> int:
    """Recordings hold what their session typed, so a file that is made is for its owner alone."""
    return os.open(path, flags, 0o600)

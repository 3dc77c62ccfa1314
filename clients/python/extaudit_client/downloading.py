"""A download under way: it goes on where it was when the connection breaks, and checks what it got at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client.download_state import DownloadState, PartFile
from extaudit_client.errors import ExtauditError
from extaudit_client.patience import RECORDING_SILENCE_SECONDS, patiently
from extaudit_client.recording_rows import Recording
from extaudit_client.retries import Retries


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
        silence: float = RECORDING_SILENCE_SECONDS,
    ) -> None:
        self._open_call = open_call
        self._retries = retries
        self._silence = silence
        self._state = DownloadState(session_id, upload_id)

    def chunks(self) -> Iterator[bytes]:
        """The bytes that aren't there yet, as they come; at their end the whole is checked.

        Raises:
            ExtauditError: the service refused, the stream broke too often, or the bytes aren't the recording's.
        """
        failures = 0
        while True:
            before = self._state.size
            try:
                yield from self._stream()
                break
            except ExtauditError as error:
                failure = error
            failures = 1 if self._state.size > before else failures + 1
            if not self._retries.allow(failure, failures, answered=self._state.recording is not None):
                raise failure
            self._retries.wait(self._retries.delay(failures, failure.retry_after))
        self._state.check()

    def to_file(self, path: Path, progress: Callable[[Recording, int], None] | None = None) -> Recording:
        """Download to a file, going on with what an interrupted download left in `PATH.part`.

        Raises:
            ExtauditError: as `chunks`, or another download is writing the same file. What isn't the recording's is
                removed, so that the next try begins anew.
            OSError: the file can't be written.
        """
        with PartFile(path) as file:
            self._state.take_in(file.left())
            for data in self.chunks():
                file.write(data)
                if progress is not None:
                    progress(self._state.known, self._state.size)
            file.finish()
        return self._state.known

    def _stream(self) -> Iterator[bytes]:
        with closing(patiently(self._open_call(self._state.request()), self._silence)) as answers:
            for answer in answers:
                if data := self._state.take(answer):
                    yield data

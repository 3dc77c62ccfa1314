"""An upload under way: bytes are kept until they are durable, and sent again when the connection breaks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import grpc
from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client.errors import ExtauditError, from_rpc
from extaudit_client.patience import RECORDING_SILENCE_SECONDS, Patience
from extaudit_client.retries import Retries
from extaudit_client.upload_window import (
    CHUNK_BYTES,
    WINDOW_BYTES,
    Progress,
    Source,
    Uploaded,
    UploadWindow,
    chunk,
    ended_early,
)

__all__ = ["CHUNK_BYTES", "WINDOW_BYTES", "Progress", "Source", "Uploaded", "Uploading"]

Requests = Iterator[bytes]
"""Encoded."""


class UploadCall(Protocol):
    """A stream under way: its responses."""

    def __iter__(self) -> Iterator[pb.UploadRecordingResponse]:
        """The responses as they come."""

    def cancel(self) -> bool:
        """End the stream."""


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
        silence: float = RECORDING_SILENCE_SECONDS,
    ) -> None:
        self._open_call = open_call
        self._window = UploadWindow(source, session_id, upload_id)
        self._retries = retries
        self._progress = progress
        self._silence = silence
        self._patience: Patience | None = None
        self._changed = threading.Condition()
        self._stream = 0
        self._ready = False
        """Whether the stream under way has told where to go on."""
        self._reading = False
        self._source_failure: Exception | None = None

    def run(self) -> Uploaded:
        """Upload until everything is durable.

        Raises:
            ExtauditError: the upload was refused, or broke too often. What else the source raises when it is read.
        """
        failures = 0
        while True:
            before = self._window.durable_offset
            failure = self._run_stream()
            if self._source_failure is not None:
                raise self._source_failure
            if failure is None:
                return self._window.uploaded
            failures = 1 if self._window.durable_offset > before else failures + 1
            if not self._retries.allow(failure, failures, answered=self._window.answered):
                raise failure
            self._retries.wait(self._retries.delay(failures, failure.retry_after))

    def _run_stream(self) -> ExtauditError | None:
        """One stream, to its end; gives why it ended early."""
        with self._changed:
            self._stream += 1
            self._ready = False
        call = self._open_call(self._requests(self._stream))
        self._patience = patience = Patience(call, self._silence)
        try:
            for response in call:
                self._note(response)
        except grpc.RpcError as error:
            return patience.failure or from_rpc(error)
        finally:
            patience.end()
            with self._changed:
                self._stream += 1
                self._changed.notify_all()
            call.cancel()
        return None if self._window.done else ended_early()

    def _note(self, response: pb.UploadRecordingResponse) -> None:
        with self._changed:
            self._window.note(response, first=not self._ready)
            self._ready = True
            self._wait_or_not()
            self._changed.notify_all()
        if self._progress is not None:
            self._progress(self._window.upload_id, self._window.durable_offset)

    def _requests(self, stream: int) -> Requests:
        yield self._window.start()
        at = -1
        while (found := self._next(stream, at)) is not None:
            offset, data = found
            at = offset + len(data)
            yield chunk(offset, data)

    def _next(self, stream: int, at: int) -> tuple[int, bytes] | None:
        """The kept bytes that belong at `at` (-1: the first ones) or later, with their offset, read where need be."""
        with self._changed:
            while True:
                if stream != self._stream:
                    return None
                if not self._ready:
                    self._changed.wait()
                elif (found := self._window.kept_at(at)) is not None:
                    return found
                elif self._window.at_end:
                    return None
                elif self._reading or self._window.full:
                    self._changed.wait()
                else:
                    self._read()

    def _read(self) -> None:
        """Read once, without the lock: a source may wait for long."""
        self._reading = True
        self._changed.release()
        data, failure = b"", None
        try:
            data = self._window.source.read()
        except Exception as error:  # whatever it is, gRPC would only say that the requests failed
            failure = error
        finally:
            self._changed.acquire()
            self._reading = False
        self._source_failure = failure
        awaited = self._window.awaits
        self._window.add(data)
        if not awaited:
            self._wait_or_not()
        self._changed.notify_all()

    def _wait_or_not(self) -> None:
        """An answer is due from now on while something isn't durable. Until the first one, the service may have much to
        read of what it has."""
        if self._patience is not None and self._ready:
            if self._window.awaits:
                self._patience.begin()
            else:
                self._patience.pause()

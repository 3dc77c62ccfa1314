"""One stream's hold of an upload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from server.errors import InvalidRequest, ResourceExhausted, Violation
from server.recordings.recording import Upload
from server.recordings.uploads.live_upload import LiveUpload

MOST_CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What keeps a stream from filling the disk."""

    max_bytes: int
    """Largest recording."""
    admit: Callable[[int], None]
    """Raises ResourceExhausted where so many bytes would take the disk below its floor."""


class UploadStream:
    """Writes to an upload until it is closed, or another stream takes the upload up. Lives on the event loop."""

    def __init__(self, live: LiveUpload, limits: StreamLimits, left: Callable[[UploadStream], Awaitable[None]]) -> None:
        self._live = live
        self._limits = limits
        self._left = left
        self._closed = False
        self.upload: Upload
        """The upload as it was when the stream began."""

    @property
    def durable_offset(self) -> int:
        """How many bytes from the beginning are durable."""
        return self._live.durable

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """Take bytes that belong at `offset`; returns when there is room for more.

        What is there already is skipped without a look at it: whoever sends other bytes than before is told by the
        digest at completion.

        Raises:
            InvalidRequest: there are none, or too many.
            FailedPrecondition: they leave a gap, or the stream has lost the upload.
            ResourceExhausted: the recording becomes too large, or the disk too full.
            Unavailable: the storage doesn't take them now; start again from what is durable.
        """
        live = self._live
        live.check(self)
        if not 1 <= len(data) <= MOST_CHUNK_BYTES:
            raise InvalidRequest([Violation("chunk.data", f"must have 1 to {MOST_CHUNK_BYTES} bytes")])
        if offset + len(data) > self._limits.max_bytes:
            message = f"a recording may have {self._limits.max_bytes} bytes at most"
            raise ResourceExhausted(
                message, reason="RECORDING_TOO_LARGE", retry_after=3600.0, limit_bytes=str(self._limits.max_bytes)
            )
        self._limits.admit(len(data))
        live.put(offset, data)
        await live.until(lambda: live.has_room or not live.is_held_by(self))
        live.check(self)

    async def wait_durable(self, beyond: int) -> int:
        """Wait until more than `beyond` bytes are durable, or the stream is closed; gives how many are.

        Raises:
            FailedPrecondition: the stream has lost the upload.
            ResourceExhausted, Unavailable: the storage failed.
        """
        live = self._live

        def is_over() -> bool:
            return live.durable > beyond or self._closed or not live.is_held_by(self) or live.has_failed

        await live.until(is_over)
        if live.durable <= beyond and not self._closed:
            live.check(self)
        return live.durable

    async def close(self) -> None:
        """Make durable what was written, as far as that can be done, and give the upload free."""
        await self._left(self)
        self._closed = True
        self._live.notify()

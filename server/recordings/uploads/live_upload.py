"""An upload that this process works with: chunks in, durable offsets out. Lives on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from server.errors import AuditStoreError, DataLoss, FailedPrecondition, ResourceExhausted, Unavailable
from server.recordings.uploads.pipeline import Means, Pipeline
from server.recordings.uploads.writing import Writing
from server.storage.ports import ObjectArchived, StorageError
from server.storage.recording_port import NotReadable, StorageFull

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class LiveUpload:
    """Takes what one stream at a time sends, and tells whoever waits how far it has come."""

    def __init__(
        self, writing: Writing, means: Means, failed: Callable[[Exception], None] = lambda error: None
    ) -> None:
        """`failed` is told whenever the storage keeps it from going on."""
        self.writing = writing
        self.changing = asyncio.Lock()
        """Held by whoever begins, leaves, completes or aborts it."""
        self._failed = failed
        self._pipeline = Pipeline(writing, means, self.notify, failed)
        self._holder: object | None = None
        self.was_opened = False
        """Whether `durable` tells how much there is."""
        self._changed = asyncio.Event()

    @property
    def durable(self) -> int:
        """Bytes that are durable; 0 before `open` was called."""
        return self._pipeline.durable

    @property
    def is_held(self) -> bool:
        """Whether a stream has it."""
        return self._holder is not None

    @property
    def has_failed(self) -> bool:
        """Whether the storage has failed since it was opened."""
        return self._pipeline.failure is not None

    def hold(self, holder: object | None) -> None:
        """Give it to a stream, or to none; the one that had it loses it."""
        self._holder = holder
        self.notify()

    def is_held_by(self, holder: object) -> bool:
        """Whether this stream has it still."""
        return self._holder is holder

    def check(self, holder: object) -> None:
        """Raise what keeps a stream from going on.

        Raises:
            FailedPrecondition: another has taken the upload up. Unavailable, ResourceExhausted: the storage failed.
        """
        if self._holder is not holder:
            message = "another stream has taken the upload up, or it was completed or aborted"
            raise FailedPrecondition(message, reason="UPLOAD_TAKEN_UP")
        if self._pipeline.failure is not None:
            raise in_callers_words(self._pipeline.failure)

    async def open(self) -> int:
        """Open it behind what is durable, having finished what was under way; gives how many bytes are.

        Raises:
            ResourceExhausted, Unavailable: it can't be done now. DataLoss: what is there isn't what was taken.
        """
        await self.drain()
        try:
            offset = await self.on_thread(self.writing.open)
        except (StorageError, DataLoss) as error:
            self._failed(error)
            raise in_callers_words(error) from error
        self._pipeline.begin(offset)
        self.was_opened = True
        return offset

    def put(self, offset: int, data: bytes | memoryview) -> None:
        """Take the bytes that belong at `offset`, less what is there already.

        Raises:
            FailedPrecondition: they leave a gap.
        """
        received = self._pipeline.received
        if offset > received:
            message = f"the chunk begins at {offset}, beyond the end of what has arrived, {received}"
            raise FailedPrecondition(message, reason="CHUNK_GAP", expected_offset=str(received))
        new = memoryview(data)[received - offset :]
        if new:
            self._pipeline.put(new)

    @property
    def has_room(self) -> bool:
        """Whether more should be sent."""
        return self._pipeline.has_room

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is asked again whenever something has changed."""
        while not condition():
            await self._changed.wait()

    async def drain(self) -> None:
        """Wait until all that was taken is durable, or has failed."""
        await self._pipeline.drain()

    async def on_thread(self, work: Callable[[], Answer]) -> Answer:
        """Do what blocks."""
        return await self._pipeline.on_thread(work)

    def notify(self) -> None:
        """Have all conditions asked again."""
        self._changed.set()
        self._changed = asyncio.Event()


def in_callers_words(error: Exception) -> AuditStoreError:
    """What a caller is told of a fault of the storage."""
    if isinstance(error, StorageFull):
        message = "the disk has no room for more of the recording; try again later"
        return ResourceExhausted(message, reason="DISK_FLOOR", retry_after=5.0)
    if isinstance(error, NotReadable):
        return FailedPrecondition(str(error), reason="UPLOAD_NOT_READABLE")
    if isinstance(error, ObjectArchived):
        return FailedPrecondition(str(error), reason="OBJECT_ARCHIVED")
    if isinstance(error, AuditStoreError):
        return error
    if not isinstance(error, StorageError):
        _log.error("an upload has failed", exc_info=error)
    message = str(error) if isinstance(error, StorageError) else "the recording can't be written now"
    return Unavailable(message, reason="STORAGE_UNAVAILABLE", retry_after=1.0)

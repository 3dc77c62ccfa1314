"""Reading recordings: no byte is given before the part that it is in was checked against its digest."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from server.audit_log.retention import expired_text, is_past
from server.errors import AuditStoreError, DataLoss, FailedPrecondition, Unavailable
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.recordings.part_buffers import PartBuffer, PartBuffers
from server.recordings.recording import Recording
from server.recordings.storages import RecordingStorages
from server.recordings.threads import RecordingThreads
from server.recordings.uploads.custody import Custody
from server.recordings.uploads.live_upload import in_callers_words
from server.recordings.uploads.parts import SCHEDULE, PartSchedule, overlapping
from server.recordings.uploads.upload_ids import key_of
from server.recordings.uploads.views import recording_of
from server.state.database import StateFault
from server.state.uploads import SqlUploads
from server.storage.ports import ObjectArchived, StorageError
from server.storage.recording_port import NotReadable, Part, RecordingMissing, UploadPlace

Answer = TypeVar("Answer")
PIECE_BYTES = 1024 * 1024
"""Most bytes given at once."""


class Recordings:
    """Finds and reads recordings. Lives on the event loop."""

    def __init__(
        self,
        store: SqlUploads,
        storages: RecordingStorages,
        threads: RecordingThreads,
        now_ms: Callable[[], int],
        alerts: Alerts | None = None,
        schedule: PartSchedule = SCHEDULE,
    ) -> None:
        self._schedule = schedule
        self._store = store
        self._storages = storages
        self._threads = threads
        self._now_ms = now_ms
        self._alerts = alerts or Alerts()
        # Apart: parts that a bucket doesn't give keep their memory as long as it hangs.
        self._buffers = {threads.local: PartBuffers(), threads.remote: PartBuffers()}

    async def find(self, session_id: str, upload_id: str = "") -> Recording | None:
        """A session's recording, or what is kept of one of its uploads; None if there is none.

        Raises:
            Unavailable: it can't be told now.
        """
        try:
            row = await asyncio.get_running_loop().run_in_executor(
                self._threads.local, self._store.recording, session_id, upload_id
            )
        except StateFault:
            raise Unavailable("the state database can't do it now", reason="STATE_UNAVAILABLE") from None
        return recording_of(row) if row is not None else None

    def expired(self, recordings: Sequence[Recording]) -> Mapping[str, bool]:
        """Whether the time of each is over that its storage's owner stated, by upload id; nothing is said of those of a
        storage that can't be asked now. Blocks."""
        now_ms = self._now_ms()
        days = {storage: self._retention_days(storage) for storage in {each.storage for each in recordings}}
        return {
            each.upload_id: is_past(each.begun_ms, kept, now_ms)
            for each in recordings
            if (kept := days[each.storage]) is not None
        }

    def _retention_days(self, storage: str) -> int | None:
        try:
            return self._storages.of(storage).retention_days()
        except StorageError:
            return None

    async def chunks(self, recording: Recording, offset: int, length: int) -> AsyncIterator[bytes]:
        """Bytes from `offset` on, `length` of them or as many as there are, in pieces of at most PIECE_BYTES.

        The next part is read while this one is given, where there is memory to spare. A part that nothing was taken of
        for a while is let go where others wait, and read again.

        Raises:
            DataLoss: a part isn't what was taken; nothing of it is given. Or the recording isn't there.
            FailedPrecondition: it isn't there, and its time was over; or it is archived.
            Unavailable: it can't be read now.
        """
        custody = await self._custody(recording)
        end = min(offset + length, custody.size)
        buffers = self._buffers[self._threads.of(recording.storage)]
        current: PartBuffer | None = None
        ahead: PartBuffer | None = None
        try:
            parts = list(overlapping(custody.parts, offset, end - offset))
            for part, following in zip(parts, [*parts[1:], None], strict=False):
                current, ahead = ahead, None
                at, stop = max(offset, part.offset), min(end, part.offset + part.size)
                while at < stop:
                    if current is None or current.is_gone:
                        current = await buffers.acquire(part.size, self._read_of(recording, part))
                    next_at = min(at + PIECE_BYTES, stop)
                    piece = await _told(current.piece(at - part.offset, next_at - part.offset))
                    if following is not None and ahead is None:
                        ahead = buffers.acquire_ahead(following.size, self._read_of(recording, following))
                    at = next_at
                    yield piece
                if current is not None:
                    current.release()
        finally:
            for buffer in (current, ahead):
                if buffer is not None:
                    buffer.release()

    def _read_of(self, recording: Recording, part: Part) -> Callable[[], asyncio.Future[bytes]]:
        loop, threads = asyncio.get_running_loop(), self._threads.of(recording.storage)
        return lambda: loop.run_in_executor(threads, self._read, recording, part)

    async def _custody(self, recording: Recording) -> Custody:
        loop, threads = asyncio.get_running_loop(), self._threads.of(recording.storage)
        return await _told(loop.run_in_executor(threads, self._read_custody, recording))

    def _read_custody(self, recording: Recording) -> Custody:
        with self._counting(recording):
            data = self._storages.of(recording.storage).custody(_place(recording), aside=recording.aside)
            if data is None:
                raise self._gone(recording, "the recording's custody record is lost")
            custody = Custody.of_taken(data, recording, self._schedule)
            if custody is None:
                raise DataLoss("the recording's custody record is lost or damaged")
            return custody

    def _read(self, recording: Recording, part: Part) -> bytes:
        with self._counting(recording):
            storage = self._storages.of(recording.storage)
            try:
                data = storage.read(_place(recording), part.offset, part.size, aside=recording.aside)
            except RecordingMissing:
                raise self._gone(recording, "the recording is lost: its storage has it no more") from None
            if hashlib.sha256(data).hexdigest() != part.sha256:
                message = f"part {part.number} of the recording, from byte {part.offset} on, isn't what was taken"
                raise DataLoss(message, part=str(part.number), offset=str(part.offset))
            return data

    def _gone(self, recording: Recording, text: str) -> AuditStoreError:
        """What is told of what isn't there: whether its storage's owner had it expire."""
        days = self._storages.of(recording.storage).retention_days()
        if is_past(recording.begun_ms, days, self._now_ms()):
            return FailedPrecondition(expired_text(days), reason="RECORDING_EXPIRED")
        return DataLoss(text)

    def _counting(self, recording: Recording) -> AbstractContextManager[None]:
        """What nobody can read (any more), as an aborted upload's bytes or what its owner archived, is no failure."""
        kind, failures = AlertKind.SESSION_DOWNLOAD, (StorageError, DataLoss)
        return self._alerts.counting(recording.storage, kind, failures, but=(NotReadable, ObjectArchived))


async def _told(reading: Awaitable[Answer]) -> Answer:
    try:
        return await reading
    except StorageError as error:
        raise in_callers_words(error) from error


def _place(recording: Recording) -> UploadPlace:
    return UploadPlace(recording.session_id, key_of(recording.upload_id))

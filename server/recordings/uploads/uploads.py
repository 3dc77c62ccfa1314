"""Uploads as components and people begin, resume, complete and abort them."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from server.audit_log.access import Access
from server.audit_log.storages import DEFAULT
from server.audit_log.weighted_cache import WeightedCache
from server.errors import (
    AuditStoreError,
    DataLoss,
    FailedPrecondition,
    InvalidRequest,
    ResourceExhausted,
    Unavailable,
    Violation,
)
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.recordings.recording import Recording, Upload, UploadState
from server.recordings.session_ids import is_session_id
from server.recordings.storages import RecordingStorages
from server.recordings.threads import RecordingThreads
from server.recordings.uploads.beginning import Beginnings
from server.recordings.uploads.begun import Begun
from server.recordings.uploads.ending import CompletionRequest, Endings, place_of
from server.recordings.uploads.live_upload import LiveUpload, in_callers_words
from server.recordings.uploads.owners import owner_members, owner_of
from server.recordings.uploads.parts import SCHEDULE, PartSchedule
from server.recordings.uploads.pipeline import IDLE_SECONDS, Backlog, Means
from server.recordings.uploads.upload_ids import UploadIds, key_of, no_such_upload
from server.recordings.uploads.upload_stream import StreamLimits, UploadStream
from server.recordings.uploads.views import recording_of, upload_of
from server.recordings.uploads.writing import Writing
from server.state.database import StateFault
from server.state.uploads import OPEN, OpenLimits, RecordingRow, SqlUploads, TooManyUploads, UploadRow
from server.storage.ports import StorageError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA256S = 1_024
"""Digests of whole recordings that were read for them and are kept in memory."""
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What uploads may take; see the section `recordings` of the configuration."""

    stream: StreamLimits
    open: OpenLimits
    backlog_bytes: int
    abandoned_after_ms: int
    schedule: PartSchedule = SCHEDULE
    idle_seconds: float = IDLE_SECONDS
    ends_at_once: int = 2
    """Ends at once of each storage: one may read all of an upload, and must leave threads to those that are written."""


class Uploads:
    """The use cases of uploads. Lives on the event loop."""

    def __init__(
        self,
        ids: UploadIds,
        store: SqlUploads,
        storages: RecordingStorages,
        endings: Endings,
        threads: RecordingThreads,
        limits: UploadLimits,
        now_ms: Callable[[], int],
        alerts: Alerts | None = None,
    ) -> None:
        self._ids = ids
        self._store = store
        self._storages = storages
        self._endings = endings
        self._threads = threads
        self.limits = limits
        """May be replaced at any time; a stream that is under way keeps what it began with."""
        self._now_ms = now_ms
        self._alerts = alerts or Alerts()
        self._beginnings = Beginnings(store, storages, self._failed)
        self._means = Means(threads.local, Backlog(limits.backlog_bytes), limits.idle_seconds)
        # Of each storage apart: one that hangs holds up the ends of no other.
        self._ends = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(limits.ends_at_once))
        self._reading_whole = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(1))
        self._sha256s: WeightedCache[str, str] = WeightedCache(_SHA256S)
        self._live: dict[str, LiveUpload] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(
        self, access: Access, session_id: str, upload_id: str, *, with_sha256: bool = False
    ) -> UploadStream:
        """Begin an upload where `upload_id` is '', else go on with it; a stream that has it so far loses it.

        `with_sha256` has the whole's digest made as the bytes come, for completion with one.

        Raises:
            InvalidRequest: the session's id isn't one, or isn't the upload's.
            NotFound: no such upload, or not the caller's.
            FailedPrecondition: it isn't open.
            ResourceExhausted: too many are open, or there is no room.
            Unavailable: it can't be done now.
        """
        _check_session_id(session_id)
        if not upload_id:
            return await self._to_its_end(self._begin(access, session_id, with_sha256))
        key = self._ids.key(upload_id, access.identity)
        return await self._to_its_end(self._resume(key, session_id, with_sha256))

    async def get(self, access: Access, upload_id: str) -> Upload:
        """Where an upload is.

        Raises:
            NotFound: no such upload, or not the caller's.
            Unavailable: it can't be told now.
        """
        return await self._to_its_end(self._get(self._ids.key(upload_id, access.identity)))

    async def complete(
        self,
        access: Access,
        upload_id: str,
        *,
        size: int | None,
        sha256: str,
        custody_digest: str,
        partial: bool,
        may_update: bool,
    ) -> tuple[Recording, UploadState]:
        """Make an upload a recording; gives the recording that holds its bytes, and what became of the upload.

        With `may_update`, `partial` completes another's with what has arrived. Its owner's is never partial.

        Raises:
            InvalidRequest: a digest isn't one.
            NotFound: no such upload, or not the caller's.
            FailedPrecondition: it was aborted, is empty, or isn't what `size` or a digest say; another's is written to.
            DataLoss: what is kept of it isn't what was taken.
            Unavailable: it isn't completed, or not known to be; safe to repeat.
        """
        digests = {"sha256": sha256, "custody_digest": custody_digest}
        if wrong := [name for name, digest in digests.items() if digest and not _SHA256.fullmatch(digest)]:
            raise InvalidRequest([Violation(name, "must be 64 characters of lower-case hex") for name in wrong])
        is_own = self._ids.is_of(upload_id, access.identity)
        if not is_own and not (partial and may_update):
            raise no_such_upload("the upload id is another identity's or was never given")
        request = CompletionRequest(size, sha256, custody_digest, partial=not is_own)
        row = await self._to_its_end(self._complete(access, upload_id, request))
        return await self._outcome(row, request)

    async def abort(self, access: Access, upload_id: str) -> Upload:
        """Give an upload up; what arrived is kept, set aside.

        Raises:
            NotFound: no such upload, or not the caller's.
            FailedPrecondition: it is complete.
            DataLoss: what is kept of it isn't what was taken.
            Unavailable: it isn't done, or not known to be; safe to repeat.
        """
        key = self._ids.key(upload_id, access.identity)
        row = await self._to_its_end(self._abort(access, key))
        if row.state != UploadState.ABORTED.value:
            raise _not_open(row)
        return self.view(row)

    async def settle(self, key: str) -> None:
        """Carry out the end of an upload that was decided; nothing if there is none to carry out.

        Raises:
            Unavailable: it isn't done, or not known to be.
        """
        await self._to_its_end(self._settle(key))

    async def _settle(self, key: str) -> None:
        live = self._live_of(await self._row(key))
        async with live.changing:
            row = await self._row(key)
            if row.state == OPEN and await self._is_decided(row):
                await self._in_turn(row, lambda: self._endings.finish(row))
        self._live.pop(key, None)

    async def _begin(self, access: Access, session_id: str, with_sha256: bool) -> UploadStream:
        who, now = access.identity, self._now_ms()
        begun = Begun(self._ids.make(who), session_id, owner_members(who, access.peer), now)
        row = await self._on_thread(lambda: self._beginnings.add(begun, who, self.limits.open))
        live = self._live_of(row)
        live.writing.hashes_whole = with_sha256
        async with live.changing:
            try:
                return await self._take_up(row, live)
            except BaseException:
                self._live.pop(row.key, None)
                await self._on_thread(lambda: self._beginnings.withdraw(row))
                raise

    async def _resume(self, key: str, session_id: str, with_sha256: bool) -> UploadStream:
        live = self._live_of(await self._row(key))
        async with live.changing:
            row = await self._row(key)
            if row.session_id != session_id:
                raise InvalidRequest([Violation("start.session_id", "isn't the session that the upload records")])
            if row.state == OPEN and await self._on_thread(lambda: self._endings.is_decided(row)):
                row = await self._in_turn(row, lambda: self._endings.finish(row))
            if row.state != OPEN:
                raise _not_open(row)
            live.writing.hashes_whole |= with_sha256
            stream = await self._take_up(row, live)
            now = self._now_ms()
            await self._on_thread(lambda: self._store.touched(key, live.durable, now, resumed=True))
            return stream

    async def _take_up(self, row: UploadRow, live: LiveUpload) -> UploadStream:
        stream = UploadStream(live, self.limits.stream, lambda left: self._to_its_end(self._leave(row, live, left)))
        live.hold(stream)
        try:
            await live.open()
        except BaseException:
            live.hold(None)
            raise
        stream.upload = self.view(row)
        return stream

    async def _leave(self, row: UploadRow, live: LiveUpload, stream: UploadStream) -> None:
        if not live.is_held_by(stream):
            return
        await live.drain()
        async with live.changing:
            if live.is_held_by(stream):
                live.hold(None)
                await live.on_thread(live.writing.close)
                size, now = live.durable, self._now_ms()
                await self._on_thread(lambda: self._store.touched(row.key, size, now))

    async def _get(self, key: str) -> Upload:
        row = await self._row(key)
        live = self._live_of(row)
        if row.state == OPEN and not live.is_held:
            async with live.changing:
                row = await self._row(key)
                if row.state == OPEN and not live.is_held and not await self._is_decided(row):
                    await live.open()
                    await live.on_thread(live.writing.close)
        return self.view(row)

    async def _is_decided(self, row: UploadRow) -> bool:
        return await self._on_thread(lambda: self._endings.is_decided(row))

    async def _complete(self, access: Access, upload_id: str, request: CompletionRequest) -> UploadRow:
        row = await self._row(key_of(upload_id))
        if request.partial and not self._ids.is_of(upload_id, owner_of(orjson.loads(row.owner))):
            raise no_such_upload("the upload id wasn't given to the upload's owner")
        live = self._live_of(row)
        async with live.changing:
            row = await self._row(row.key)
            if row.state != OPEN:
                return row
            if request.partial and live.is_held:
                message = "a stream of the upload's owner is writing to it"
                raise FailedPrecondition(message, reason="UPLOAD_TAKEN_UP")
            return await self._end(row, live, lambda: self._endings.complete(access, row, live.writing, request))

    async def _abort(self, access: Access, key: str) -> UploadRow:
        live = self._live_of(await self._row(key))
        async with live.changing:
            row = await self._row(key)
            if row.state != OPEN:
                return row
            return await self._end(row, live, lambda: self._endings.abort(access, row, live.writing))

    async def _end(self, row: UploadRow, live: LiveUpload, end: Callable[[], UploadRow]) -> UploadRow:
        live.hold(None)
        await live.drain()
        ended = await self._in_turn(row, end)
        self._live.pop(row.key, None)
        return ended

    async def _in_turn(self, row: UploadRow, end: Callable[[], UploadRow]) -> UploadRow:
        asks = await self._on_thread(lambda: self._endings.asks(row))
        async with self._ends[asks]:
            return await self._on_thread(end, asks)

    async def _outcome(self, row: UploadRow, request: CompletionRequest) -> tuple[Recording, UploadState]:
        state = UploadState(row.state)
        if state is UploadState.ABORTED:
            raise _not_open(row)
        kept = await self._on_thread(
            lambda: (
                self._store.recording(row.session_id) if state is UploadState.REPEATED else self._store.kept_of(row.key)
            )
        )
        if kept is None:
            raise Unavailable("the recording isn't known yet", reason="STATE_UNAVAILABLE")
        request.check(kept.bytes, custody_digest=kept.custody_digest)
        if request.sha256:
            request.check(kept.bytes, sha256=kept.sha256 or await self._to_its_end(self._read_sha256(kept)))
        return recording_of(kept), state

    async def _read_sha256(self, kept: RecordingRow) -> str:
        """The digest of a recording that was kept without: all of it is read, of one at a time in each storage, and
        once for however often its uploader asks, so that threads are left to uploads."""
        async with self._reading_whole[kept.storage]:
            return await self._on_thread(
                lambda: self._sha256s.get(kept.key, lambda: (self._endings.sha256_of(kept), 1)), kept.storage
            )

    async def _row(self, key: str) -> UploadRow:
        row = await self._on_thread(lambda: self._store.get(key))
        if row is None:
            raise no_such_upload("the state knows no such upload")
        return row

    def _live_of(self, row: UploadRow) -> LiveUpload:
        live = self._live.get(row.key)
        if live is None:
            writing = Writing(lambda: self._storages.of(row.storage), place_of(row), self.limits.schedule)
            live = LiveUpload(writing, self._means, lambda error: self._failed(row.storage, error))
            if row.state == OPEN:
                self._live[row.key] = live
        return live

    def _failed(self, storage_id: str, error: Exception) -> None:
        """An upload can't go on. Successes are counted at its end: what a storage beyond a network is, shows there."""
        text = str(error) if isinstance(error, StorageError | DataLoss) else "a fault of the service"
        self._alerts.failed(storage_id, AlertKind.SESSION_UPLOAD, text)

    def view(self, row: UploadRow) -> Upload:
        """An upload as it is now. May be called from any thread."""
        live = self._live.get(row.key)
        # What the storage has counts, though the state noted more: its end may have been lost, or put back from a copy.
        is_known = live is not None and live.was_opened and row.state == OPEN
        durable = live.durable if live is not None and is_known else row.bytes
        untouched_ms = self._now_ms() - row.touched_ms
        is_held = live is not None and live.is_held
        abandoned = row.state == OPEN and not is_held and untouched_ms >= self.limits.abandoned_after_ms
        return upload_of(row, durable, abandoned=abandoned)

    async def _on_thread(self, work: Callable[[], Answer], asks: str = DEFAULT) -> Answer:
        """Do what blocks; `asks` is the storage that is asked for something, beside the disk and the state."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads.of(asks), work)
        except TooManyUploads:
            message = "as many uploads are open as may be; complete or abort some first"
            raise ResourceExhausted(message, reason="TOO_MANY_UPLOADS", retry_after=30.0) from None
        except StateFault:
            raise Unavailable("the state database can't do it now", reason="STATE_UNAVAILABLE") from None
        except StorageError as error:
            raise in_callers_words(error) from error

    async def _to_its_end(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Do something wholly, also where its caller is gone: nothing else may come between a thread and its lock."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone


def _check_session_id(session_id: str) -> None:
    if not is_session_id(session_id):
        wrong = Violation("start.session_id", "must be a UUID in lower case with hyphens")
        raise InvalidRequest([wrong])


def _not_open(row: UploadRow) -> AuditStoreError:
    return FailedPrecondition(f"the upload isn't open: {row.state}", reason="UPLOAD_NOT_OPEN", state=row.state)

"""Stand-ins for what is behind RecordingService: uploads in memory, durable when a test says so."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from server.audit_log.access import Access
from server.errors import FailedPrecondition, NotFound
from server.recordings.format.reader import Item
from server.recordings.opening import Given, OpenRecording, Selection
from server.recordings.recording import Recording, Upload, UploadState
from server.recordings.sessions.session import SessionPage, SessionQuery
from server.recordings.sessions.session_index import ReindexProgress
from server.recordings.text_search.text_query import TextPage, TextQuery


class MemoryStream:
    """An upload that a stream has; `holds` keeps what is written from becoming durable before the close."""

    def __init__(self, uploads: MemoryUploads, upload: Upload) -> None:
        self._uploads = uploads
        self.upload = upload
        self.durable_offset = len(uploads.data[upload.upload_id])
        self.closes = 0
        self._changed = asyncio.Event()

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        kept = self._uploads.data[self.upload.upload_id]
        if offset > len(kept):
            raise FailedPrecondition("a gap", reason="CHUNK_GAP", expected_offset=str(len(kept)))
        kept += bytes(data)[len(kept) - offset :]
        if not self._uploads.holds:
            self.durable_offset = len(kept)
            self._changed.set()

    async def wait_durable(self, beyond: int) -> int:
        while self.durable_offset <= beyond:
            if self._uploads.fails:
                raise self._uploads.fails
            self._changed.clear()
            await self._changed.wait()
        return self.durable_offset

    async def close(self) -> None:
        self.closes += 1
        self.durable_offset = len(self._uploads.data[self.upload.upload_id])
        self._uploads.open.discard(self.upload.upload_id)


@dataclass
class MemoryUploads:
    """Keeps uploads by id."""

    holds: bool = False
    slow: asyncio.Event | None = None
    """Where it is set, `start` waits for it."""
    fails: Exception | None = None
    asked: list[tuple[Access, object]] = field(default_factory=list)
    data: dict[str, bytearray] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    """Uploads that a stream has."""
    streams: list[MemoryStream] = field(default_factory=list)

    async def start(
        self, access: Access, session_id: str, upload_id: str, *, with_sha256: bool = False
    ) -> MemoryStream:
        self.asked.append((access, (session_id, upload_id)))
        if self.slow:
            await self.slow.wait()
        upload_id = upload_id or f"u-{len(self.data) + 1}"
        self.data.setdefault(upload_id, bytearray())
        self.open.add(upload_id)
        self.streams.append(MemoryStream(self, self._upload(access, session_id, upload_id)))
        return self.streams[-1]

    async def get(self, access: Access, upload_id: str) -> Upload:
        self.asked.append((access, upload_id))
        if upload_id not in self.data:
            raise NotFound("no such upload, or not yours", resource_type="upload", hidden="there is none")
        return self._upload(access, "s", upload_id)

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
        self.asked.append((access, (upload_id, size, sha256, custody_digest, partial, may_update)))
        return recording_of(bytes(self.data.get(upload_id, b"")), access), UploadState.KEPT_ASIDE

    async def abort(self, access: Access, upload_id: str) -> Upload:
        upload = await self.get(access, upload_id)
        return replace(upload, state=UploadState.ABORTED, ended_ms=3_000)

    def _upload(self, access: Access, session_id: str, upload_id: str) -> Upload:
        size = len(self.data[upload_id])
        return Upload(upload_id, session_id, UploadState.OPEN, size, "default", access.identity, 1_500)


@dataclass
class MemoryOpening:
    """Opens one recording, whatever is asked for."""

    data: bytes = b""
    fails: Exception | None = None
    breaks: Exception | None = None
    """Comes after the first chunk."""
    loses: Exception | None = None
    """Comes when the caller's rights have changed."""
    meanwhile: Callable[[], None] | None = None
    """Called after the first chunk or batch; then the chunk comes once more."""
    batches: list[list[Item]] = field(default_factory=list)
    asked: list[tuple[Access, Selection]] = field(default_factory=list)
    start_indexes: list[int] = field(default_factory=list)

    async def download(self, access: Callable[[], Access], selection: Selection) -> OpenRecording[bytes]:
        self.asked.append((access(), selection))
        if self.fails:
            raise self.fails
        return self._opened(access, self._chunks())

    async def events(
        self,
        access: Callable[[], Access],
        selection: Selection,
        start_index: int,
        convert: Callable[[list[Item]], Given],
    ) -> OpenRecording[Given]:
        self.asked.append((access(), selection))
        self.start_indexes.append(start_index)
        return self._opened(access, self._batches(convert))

    def _opened(self, access: Callable[[], Access], parts: AsyncIterator[Given]) -> OpenRecording[Given]:
        begun = access()

        async def check_rights() -> None:
            if access().condition != begun.condition and self.loses:
                raise self.loses

        return OpenRecording(recording_of(self.data, begun), parts, check_rights)

    async def _batches(self, convert: Callable[[list[Item]], Given]) -> AsyncIterator[Given]:
        for batch in self.batches:
            yield convert(batch)
            if self.meanwhile:
                self.meanwhile()

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self.data
        if self.breaks:
            raise self.breaks
        if self.meanwhile:
            self.meanwhile()
            yield self.data


@dataclass
class MemoryLists:
    """Answers every query with one page, and reindexes at once."""

    page: SessionPage = field(default_factory=lambda: SessionPage((), ""))
    asked: list[tuple[Access, SessionQuery | None]] = field(default_factory=list)

    async def list(self, access: Access, query: SessionQuery) -> SessionPage:
        self.asked.append((access, query))
        return self.page

    async def reindex(self, access: Access) -> AsyncIterator[ReindexProgress]:
        self.asked.append((access, None))
        yield ReindexProgress(1, 2)
        yield ReindexProgress(3, 4, done=True, missing=("something",))


@dataclass
class MemoryTextSearch:
    """Answers every query with one page."""

    page: TextPage = field(default_factory=lambda: TextPage((), ""))
    asked: list[tuple[Access, TextQuery]] = field(default_factory=list)

    async def search(self, access: Access, query: TextQuery) -> TextPage:
        self.asked.append((access, query))
        return self.page


@dataclass
class MemoryTransfers:
    """Counts."""

    bytes_received: int = 0
    bytes_given: int = 0
    outcomes: list[str] = field(default_factory=list)

    def received(self, size: int) -> None:
        self.bytes_received += size

    def given(self, size: int) -> None:
        self.bytes_given += size

    def ended(self, outcome: str) -> None:
        self.outcomes.append(outcome)


def recording_of(data: bytes, access: Access) -> Recording:
    digest = hashlib.sha256(data).hexdigest()
    return Recording("s", "u-1", "default", len(data), 1, digest, digest, access.identity, 1_500, 2_000)

"""As `recordings`, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client import recording_calls
from extaudit_client.async_downloading import AsyncDownload
from extaudit_client.async_uploading import AsyncUploading
from extaudit_client.calling import Caller
from extaudit_client.paging import async_pages
from extaudit_client.recorded_events import Item, ItemReader
from extaudit_client.recorded_text import HitPage, TextQuery
from extaudit_client.recording_rows import Recording, Upload
from extaudit_client.sessions import ReindexProgress, Session, SessionPage, SessionQuery, progress_from
from extaudit_client.upload_window import Progress, Source, Uploaded


class AsyncRecordings:
    """Uploads, lists and downloads recordings; got from AsyncClient.recordings. `Recordings` says what each does."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = caller.stubs.recordings

    async def upload(
        self,
        source: BinaryIO,
        session_id: str,
        upload_id: str = "",
        progress: Progress | None = None,
        *,
        with_sha256: bool = False,
    ) -> Uploaded:
        """Upload everything that `source` gives, which is read on a thread."""
        opened, read = self._caller.stubs.upload_recording, Source(source, with_sha256=with_sha256)
        run = AsyncUploading(opened, read, session_id, upload_id, self._caller.retries, progress)
        with self._caller.errors():
            return await run.run()

    async def get_upload(self, upload_id: str) -> Upload:
        """Tell where an upload is."""
        return await self._caller.run_async(recording_calls.get_upload(upload_id))

    async def complete(
        self,
        upload_id: str,
        *,
        size: int | None = None,
        custody_digest: str = "",
        sha256: str = "",
        partial: bool = False,
    ) -> tuple[Recording, str]:
        """Make an upload a recording."""
        return await self._caller.run_async(
            recording_calls.complete(upload_id, size, custody_digest, sha256, partial=partial)
        )

    async def abort(self, upload_id: str) -> Upload:
        """Give an upload up."""
        return await self._caller.run_async(recording_calls.abort(upload_id))

    async def download(
        self,
        session_id: str,
        path: Path,
        upload_id: str = "",
        progress: Callable[[Recording, int], None] | None = None,
    ) -> Recording:
        """Download a recording to a file, which is there once all of it has arrived and is checked."""
        with self._caller.errors():
            return await self._download(session_id, upload_id).to_file(path, progress)

    async def read(self, session_id: str, upload_id: str = "") -> AsyncIterator[bytes]:
        """Give a recording's bytes as they come; at their end they are checked against the custody digest."""
        with self._caller.errors():
            async for data in self._download(session_id, upload_id).chunks():
                yield data

    async def read_range(self, session_id: str, offset: int, length: int, upload_id: str = "") -> AsyncIterator[bytes]:
        """Give a range of a recording's bytes; only the service has checked them."""
        request = recording_calls.range_request(session_id, upload_id, offset, length)
        with self._caller.errors():
            async for answer in self._stub.DownloadRecording(request):
                if answer.chunk:
                    yield answer.chunk

    async def events(self, session_id: str, upload_id: str = "", start_index: int = 0) -> AsyncIterator[Item]:
        """Give what is in a recording: first the Recording, then events and damages, last the summary."""
        request = recording_calls.events_request(session_id, upload_id, start_index)
        reader = ItemReader()
        with self._caller.errors():
            async for response in self._stub.StreamRecordingEvents(request):
                for item in reader.read(response):
                    yield item
            reader.check()

    async def list_page(self, query: SessionQuery, page_token: str = "") -> SessionPage:
        """Give one page of sessions."""
        return await self._caller.run_async(recording_calls.list_page(query, page_token))

    def list_pages(self, query: SessionQuery, page_token: str = "") -> AsyncIterator[SessionPage]:
        """Give page after page of sessions, newest first."""
        return async_pages(lambda token: self.list_page(query, token), page_token)

    async def list(self, query: SessionQuery) -> AsyncIterator[Session]:
        """Give every session that matches, newest first; whether the index misses any, `list_pages` tells."""
        async for page in self.list_pages(query):
            for session in page.sessions:
                yield session

    async def search_page(self, query: TextQuery, page_token: str = "") -> HitPage:
        """Give one page of lines that have a text."""
        return await self._caller.run_async(recording_calls.search_page(query, page_token))

    def search_pages(self, query: TextQuery, page_token: str = "") -> AsyncIterator[HitPage]:
        """Give page after page of lines that have a text, newest recordings first."""
        return async_pages(lambda token: self.search_page(query, token), page_token)

    async def reindex(self) -> AsyncIterator[ReindexProgress]:
        """Have the index of sessions made anew; gives how far it is. It goes on when nobody listens."""
        with self._caller.errors():
            async for response in self._stub.ReindexRecordings(pb.ReindexRecordingsRequest()):
                yield progress_from(response)

    def _download(self, session_id: str, upload_id: str) -> AsyncDownload:
        return AsyncDownload(self._stub.DownloadRecording, session_id, upload_id, self._caller.retries)

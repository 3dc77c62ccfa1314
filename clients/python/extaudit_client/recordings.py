"""Recordings, uploads, and the part of the client that deals with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client import recording_calls
from extaudit_client.calling import Caller
from extaudit_client.downloading import Download
from extaudit_client.paging import pages
from extaudit_client.recorded_events import Item, items_from
from extaudit_client.recorded_text import HitPage, TextQuery
from extaudit_client.recording_rows import Recording, Upload
from extaudit_client.sessions import ReindexProgress, Session, SessionPage, SessionQuery, progress_from
from extaudit_client.uploading import Progress, Source, Uploaded, Uploading


class Recordings:
    """Uploads, lists and downloads recordings; got from Client.recordings. Every method raises as the client's do.

    Upload and download go on after a lost connection, from where they were; `retries` of the client says how often.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = caller.stubs.recordings
        self._errors = caller.errors
        self._retries = caller.retries

    def upload(
        self,
        source: BinaryIO,
        session_id: str,
        upload_id: str = "",
        progress: Progress | None = None,
        *,
        with_sha256: bool = False,
    ) -> Uploaded:
        """Upload everything that `source` gives; durable when this returns, and then to be completed.

        With `upload_id` an upload is gone on with: what is durable already is skipped in the source, which must begin
        at the recording's beginning. `progress` is told of the upload whenever more of it is durable.
        `with_sha256` has the SHA-256 of the whole made too, here and in the service, which keeps it: everything is
        hashed twice then. The custody digest proves the same without.
        """
        opened, read = self._caller.stubs.upload_recording, Source(source, with_sha256=with_sha256)
        run = Uploading(opened, read, session_id, upload_id, self._retries, progress)
        with self._errors():
            return run.run()

    def get_upload(self, upload_id: str) -> Upload:
        """Tell where an upload is."""
        return self._caller.run(recording_calls.get_upload(upload_id))

    def complete(
        self,
        upload_id: str,
        *,
        size: int | None = None,
        custody_digest: str = "",
        sha256: str = "",
        partial: bool = False,
    ) -> tuple[Recording, str]:
        """Make an upload a recording; gives the recording that holds its bytes, and the state of the upload.

        The state is `completed`, `kept_aside` (the session had another recording) or `repeated` (it had the same).
        `size` in bytes and the digests (lower-case hex) are what the whole must have. A `sha256` that `upload` wasn't
        told of has the service read everything again. `partial` completes another's upload with what has arrived. Safe
        to repeat.
        """
        return self._caller.run(recording_calls.complete(upload_id, size, custody_digest, sha256, partial=partial))

    def abort(self, upload_id: str) -> Upload:
        """Give an upload up; the service keeps what arrived, set aside. Safe to repeat."""
        return self._caller.run(recording_calls.abort(upload_id))

    def download(
        self,
        session_id: str,
        path: Path,
        upload_id: str = "",
        progress: Callable[[Recording, int], None] | None = None,
    ) -> Recording:
        """Download a recording to a file, which is there once all of it has arrived and has the custody digest.

        What an interrupted download left beside it (`PATH.part`) is gone on with. `progress` is told of the recording
        and of the bytes that are there.
        """
        download = Download(self._stub.DownloadRecording, session_id, upload_id, self._retries)
        with self._errors():
            return download.to_file(path, progress)

    def read(self, session_id: str, upload_id: str = "") -> Iterator[bytes]:
        """Give a recording's bytes as they come; at their end they are checked against the custody digest."""
        download = Download(self._stub.DownloadRecording, session_id, upload_id, self._retries)
        with self._errors():
            yield from download.chunks()

    def read_range(self, session_id: str, offset: int, length: int, upload_id: str = "") -> Iterator[bytes]:
        """Give a range of a recording's bytes; only the service has checked them. A `length` of 0 means to the end."""
        request = recording_calls.range_request(session_id, upload_id, offset, length)
        with self._errors():
            for answer in self._stub.DownloadRecording(request):
                if answer.chunk:
                    yield answer.chunk

    def events(self, session_id: str, upload_id: str = "", start_index: int = 0) -> Iterator[Item]:
        """Give what is in a recording: first the Recording, then its events and what can't be read, last the summary.

        Events whose index is below `start_index` are left out.
        """
        request = recording_calls.events_request(session_id, upload_id, start_index)
        with self._errors():
            yield from items_from(iter(self._stub.StreamRecordingEvents(request)))

    def list_page(self, query: SessionQuery, page_token: str = "") -> SessionPage:
        """Give one page of sessions; the token of the page before gives the next one. A page may be short."""
        return self._caller.run(recording_calls.list_page(query, page_token))

    def list_pages(self, query: SessionQuery, page_token: str = "") -> Iterator[SessionPage]:
        """Give page after page of sessions, newest first."""
        return pages(lambda token: self.list_page(query, token), page_token)

    def list(self, query: SessionQuery) -> Iterator[Session]:
        """Give every session that matches, newest first; whether the index misses any, `list_pages` tells."""
        for page in self.list_pages(query):
            yield from page.sessions

    def search_page(self, query: TextQuery, page_token: str = "") -> HitPage:
        """Give one page of lines that have a text; the token of the page before gives the next. A page may be short."""
        return self._caller.run(recording_calls.search_page(query, page_token))

    def search_pages(self, query: TextQuery, page_token: str = "") -> Iterator[HitPage]:
        """Give page after page of lines that have a text, newest recordings first."""
        return pages(lambda token: self.search_page(query, token), page_token)

    def reindex(self) -> Iterator[ReindexProgress]:
        """Have the index of sessions made anew; gives how far it is. It goes on when nobody listens."""
        with self._errors():
            for response in self._stub.ReindexRecordings(pb.ReindexRecordingsRequest()):
                yield progress_from(response)

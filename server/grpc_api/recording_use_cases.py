"""What RecordingService needs of the rest of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from server.audit_log.access import Access
from server.recordings.format.reader import Item
from server.recordings.opening import Given, OpenRecording, Selection
from server.recordings.recording import Recording, Upload, UploadState
from server.recordings.sessions.session import SessionPage, SessionQuery
from server.recordings.sessions.session_index import ReindexProgress
from server.recordings.text_search.text_query import TextPage, TextQuery


class UploadStream(Protocol):
    """An upload that one stream goes on with."""

    @property
    def upload(self) -> Upload:
        """The upload as it was when the stream took it up."""
        ...

    @property
    def durable_offset(self) -> int:
        """How many bytes from the beginning are durable."""
        ...

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """Take bytes that belong at `offset`; what is there already is skipped. Returns when there is room for more.

        Raises:
            FailedPrecondition: they leave a gap, the upload isn't open any more, or another stream has taken it up.
            ResourceExhausted: the recording becomes too large.
            Unavailable: the storage doesn't take them now.
        """
        ...

    async def wait_durable(self, beyond: int) -> int:
        """Wait until more than `beyond` bytes are durable; gives how many are.

        Raises:
            Unavailable: the storage failed.
        """
        ...

    async def close(self) -> None:
        """Make durable what was written, as far as that can be done, and let others go on with the upload."""
        ...


class Uploads(Protocol):
    """Takes recordings in."""

    async def start(
        self, access: Access, session_id: str, upload_id: str, *, with_sha256: bool = False
    ) -> UploadStream:
        """Begin an upload where `upload_id` is '', else go on with it; a stream that has it so far loses it.

        `with_sha256` has the whole's digest made as the bytes come.

        Raises:
            NotFound: no such upload, or not the caller's.
            FailedPrecondition: it isn't open. ResourceExhausted: too many are. Unavailable: not now.
        """
        ...

    async def get(self, access: Access, upload_id: str) -> Upload:
        """Where an upload is.

        Raises:
            NotFound: no such upload, or not the caller's.
        """
        ...

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

        `partial` with `may_update` completes another's with what has arrived; '' and None ask for no check.

        Raises:
            NotFound: no such upload, or not the caller's.
            FailedPrecondition: it can't be completed as it is, or isn't what `size` or a digest say.
        """
        ...

    async def abort(self, access: Access, upload_id: str) -> Upload:
        """Give an upload up; what arrived is kept, set aside.

        Raises:
            NotFound: no such upload, or not the caller's. FailedPrecondition: it is complete.
        """
        ...


class Opening(Protocol):
    """Opens recordings, each after its trace is durable. `access` gives the caller's rights as of now, or raises."""

    async def download(self, access: Callable[[], Access], selection: Selection) -> OpenRecording[bytes]:
        """Open a recording for a range of its bytes.

        Raises:
            NotFound: there is none, or it isn't for the caller. InvalidRequest: the range begins beyond the end.
            Unavailable: its trace can't be journalled.
        """
        ...

    async def events(
        self,
        access: Callable[[], Access],
        selection: Selection,
        start_index: int,
        convert: Callable[[list[Item]], Given],
    ) -> OpenRecording[Given]:
        """Open a recording for the events in it; gives what `convert`, called on a thread, makes of them by batches.

        Raises:
            NotFound, Unavailable: as `download`.
        """
        ...


class Transfers(Protocol):
    """Counts what goes up and down."""

    def received(self, size: int) -> None:
        """Count the bytes of a chunk."""
        ...

    def given(self, size: int) -> None:
        """Count bytes that were downloaded."""
        ...

    def ended(self, outcome: str) -> None:
        """Count an upload that has ended; `outcome` is a value of UploadState."""
        ...


class SessionLists(Protocol):
    """Lists sessions."""

    async def list(self, access: Access, query: SessionQuery) -> SessionPage:
        """One page of the sessions that the caller may see.

        Raises:
            InvalidRequest: the page token is wrong. ResourceExhausted, Unavailable: not now.
        """
        ...

    def reindex(self, access: Access) -> AsyncIterator[ReindexProgress]:
        """Make the index of sessions anew, or join those who wait for that.

        Raises:
            Unavailable: not now.
        """
        ...


class TextSearch(Protocol):
    """Finds text in recordings."""

    async def search(self, access: Access, query: TextQuery) -> TextPage:
        """One page of the lines that have the text, in recordings that the caller may see.

        Raises:
            InvalidRequest: the page token is wrong. ResourceExhausted, DeadlineExceeded, Unavailable: not now.
        """
        ...

"""RecordingService: maps messages to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from extaudit.v1 import recording_service_pb2 as pb

from rbac.permissions import UPDATE_SESSIONS
from server.errors import InvalidRequest, Violation
from server.grpc_api.call import Call
from server.grpc_api.draining import Drain
from server.grpc_api.recorded_event_messages import event_responses
from server.grpc_api.recording_messages import (
    STATES,
    encoded_chunk,
    list_response,
    recording_message,
    reindex_response,
    upload_message,
)
from server.grpc_api.recording_requests import (
    Chunk,
    completion_violations,
    decode_upload,
    download_selection,
    events_selection,
    upload_violations,
)
from server.grpc_api.recording_use_cases import Opening, SessionLists, TextSearch, Transfers, Uploads
from server.grpc_api.session_requests import session_query
from server.grpc_api.text_search_messages import search_response, text_query
from server.grpc_api.upload_stream import UploadStreaming

DOWNLOAD_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RecordingServicer:
    """The methods of RecordingService."""

    uploads: Uploads
    opening: Opening
    lists: SessionLists
    text_search: TextSearch
    transfers: Transfers
    drain: Drain

    def UploadRecording(  # noqa: N802
        self, requests: AsyncIterator[pb.UploadRecordingRequest | Chunk], call: Call
    ) -> AsyncIterator[pb.UploadRecordingResponse]:
        """Take a recording in, chunk by chunk."""
        call.decode = decode_upload
        return UploadStreaming(call, requests, self.uploads, self.drain, self.transfers).responses()

    async def GetUpload(self, request: pb.GetUploadRequest, call: Call) -> pb.GetUploadResponse:  # noqa: N802
        """Where an upload is."""
        _refuse(upload_violations(request.upload_id))
        return pb.GetUploadResponse(upload=upload_message(await self.uploads.get(call.access, request.upload_id)))

    async def CompleteUpload(  # noqa: N802
        self, request: pb.CompleteUploadRequest, call: Call
    ) -> pb.CompleteUploadResponse:
        """Make an upload a recording."""
        _refuse(completion_violations(request))
        recording, state = await self.uploads.complete(
            call.access,
            request.upload_id,
            size=request.bytes if request.HasField("bytes") else None,
            sha256=request.sha256,
            custody_digest=request.custody_digest,
            partial=request.partial,
            may_update=UPDATE_SESSIONS in call.granted,
        )
        self.transfers.ended(state.value)
        return pb.CompleteUploadResponse(recording=recording_message(recording), state=STATES[state])

    async def AbortUpload(self, request: pb.AbortUploadRequest, call: Call) -> pb.AbortUploadResponse:  # noqa: N802
        """Give an upload up."""
        _refuse(upload_violations(request.upload_id))
        upload = await self.uploads.abort(call.access, request.upload_id)
        self.transfers.ended(upload.state.value)
        return pb.AbortUploadResponse(upload=upload_message(upload))

    async def DownloadRecording(  # noqa: N802
        self, request: pb.DownloadRecordingRequest, call: Call
    ) -> AsyncIterator[pb.DownloadRecordingResponse | bytes]:
        """Stream a recording's bytes; the chunks are given encoded."""
        opened = await self.opening.download(call.access_now, download_selection(request))
        yield pb.DownloadRecordingResponse(recording=recording_message(opened.recording))
        async for data in opened.parts:
            view = memoryview(data)
            for start in range(0, len(view), DOWNLOAD_CHUNK_BYTES):
                self.drain.refuse_when_begun()
                await opened.check_rights()
                chunk = view[start : start + DOWNLOAD_CHUNK_BYTES]
                yield encoded_chunk(chunk)
                self.transfers.given(len(chunk))

    async def StreamRecordingEvents(  # noqa: N802
        self, request: pb.StreamRecordingEventsRequest, call: Call
    ) -> AsyncIterator[pb.StreamRecordingEventsResponse]:
        """Stream the events in a recording."""
        selection = events_selection(request)
        opened = await self.opening.events(call.access_now, selection, request.start_index, event_responses)
        yield pb.StreamRecordingEventsResponse(recording=recording_message(opened.recording))
        async for responses in opened.parts:
            for response in responses:
                self.drain.refuse_when_begun()
                await opened.check_rights()
                yield response

    async def ListRecordings(  # noqa: N802
        self, request: pb.ListRecordingsRequest, call: Call
    ) -> pb.ListRecordingsResponse:
        """A page of sessions with their recordings and uploads."""
        return list_response(await self.lists.list(call.access, session_query(request)))

    async def SearchRecordings(  # noqa: N802
        self, request: pb.SearchRecordingsRequest, call: Call
    ) -> pb.SearchRecordingsResponse:
        """A page of the lines of recordings that have a text."""
        return search_response(await self.text_search.search(call.access, text_query(request)))

    async def ReindexRecordings(  # noqa: N802
        self, _request: pb.ReindexRecordingsRequest, call: Call
    ) -> AsyncIterator[pb.ReindexRecordingsResponse]:
        """Make the index of sessions anew."""
        async for progress in self.drain.until_begun(self.lists.reindex(call.access)):
            yield reindex_response(progress)


def _refuse(violations: list[Violation]) -> None:
    if violations:
        raise InvalidRequest(violations)

"""The calls about recordings: requests from arguments, and answers read."""

from __future__ import annotations

from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client.calling import Call
from extaudit_client.recorded_text import HitPage, TextQuery, hits_from, text_request
from extaudit_client.recording_rows import Recording, Upload, recording_from, upload_from, upload_state
from extaudit_client.sessions import SessionPage, SessionQuery, list_request, page_from


def get_upload(upload_id: str) -> Call[Upload]:
    """Where an upload is."""
    return Call(
        lambda stubs: stubs.recordings.GetUpload,
        pb.GetUploadRequest(upload_id=upload_id),
        lambda answer: upload_from(answer.upload),
    )


def complete(
    upload_id: str, size: int | None, custody_digest: str, sha256: str, *, partial: bool
) -> Call[tuple[Recording, str]]:
    """Make an upload a recording."""
    digests = {"custody_digest": custody_digest, "sha256": sha256}
    return Call(
        lambda stubs: stubs.recordings.CompleteUpload,
        pb.CompleteUploadRequest(upload_id=upload_id, bytes=size, partial=partial, **digests),
        lambda answer: (recording_from(answer.recording), upload_state(answer.state)),
    )


def abort(upload_id: str) -> Call[Upload]:
    """Give an upload up."""
    return Call(
        lambda stubs: stubs.recordings.AbortUpload,
        pb.AbortUploadRequest(upload_id=upload_id),
        lambda answer: upload_from(answer.upload),
    )


def list_page(query: SessionQuery, page_token: str) -> Call[SessionPage]:
    """One page of sessions."""
    return Call(lambda stubs: stubs.recordings.ListRecordings, list_request(query, page_token), page_from)


def search_page(query: TextQuery, page_token: str) -> Call[HitPage]:
    """One page of lines that have a text."""
    return Call(lambda stubs: stubs.recordings.SearchRecordings, text_request(query, page_token), hits_from)


def range_request(session_id: str, upload_id: str, offset: int, length: int) -> pb.DownloadRecordingRequest:
    """Ask for a range of a recording's bytes."""
    return pb.DownloadRecordingRequest(session_id=session_id, upload_id=upload_id, offset=offset, length=length)


def events_request(session_id: str, upload_id: str, start_index: int) -> pb.StreamRecordingEventsRequest:
    """Ask for what is in a recording."""
    return pb.StreamRecordingEventsRequest(session_id=session_id, upload_id=upload_id, start_index=start_index)

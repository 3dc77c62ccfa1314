"""From uploads and recordings to RecordingService's messages."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from extaudit.v1 import event_pb2, recording_pb2
from extaudit.v1 import recording_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from rbac.identities import Identity
from server.audit_log.receipts import Emitter
from server.grpc_api.messages import identity_message, timestamp_message
from server.grpc_api.session_requests import KINDS
from server.recordings.format.wire import packed_varint
from server.recordings.recording import Recording, Upload, UploadState
from server.recordings.sessions.session import Session, SessionKind, SessionPage
from server.recordings.sessions.session_index import ReindexProgress

_CHUNK: Final = bytes((2 << 3 | 2,))
"""Tag of DownloadRecordingResponse.chunk: field 2, with a length."""
_KINDS: Final[Mapping[SessionKind, int]] = MappingProxyType({kind: value for value, kind in KINDS.items()})
STATES: Final[Mapping[UploadState, recording_pb2.UploadState.ValueType]] = MappingProxyType(
    {
        UploadState.OPEN: recording_pb2.UPLOAD_STATE_OPEN,
        UploadState.COMPLETED: recording_pb2.UPLOAD_STATE_COMPLETED,
        UploadState.KEPT_ASIDE: recording_pb2.UPLOAD_STATE_KEPT_ASIDE,
        UploadState.ABORTED: recording_pb2.UPLOAD_STATE_ABORTED,
        UploadState.REPEATED: recording_pb2.UPLOAD_STATE_REPEATED,
    }
)


def progress_message(upload: Upload, durable_offset: int) -> pb.UploadRecordingResponse:
    """How far a stream's upload is durable."""
    return pb.UploadRecordingResponse(upload_id=upload.upload_id, storage=upload.storage, durable_offset=durable_offset)


def encoded_chunk(data: memoryview) -> bytes:
    """A DownloadRecordingResponse with these bytes, encoded: copied once."""
    return b"".join((_CHUNK, packed_varint(len(data)), data))


def upload_message(upload: Upload) -> recording_pb2.Upload:
    """One upload."""
    return recording_pb2.Upload(
        upload_id=upload.upload_id,
        session_id=upload.session_id,
        state=STATES[upload.state],
        durable_offset=upload.durable_offset,
        storage=upload.storage,
        owner=_identity(upload.owner),
        begin_time=timestamp_message(upload.begun_ms),
        resume_time=_time(upload.resumed_ms),
        end_time=_time(upload.ended_ms),
        abandoned=upload.abandoned,
        partial=upload.partial,
    )


def recording_message(recording: Recording) -> recording_pb2.Recording:
    """One recording."""
    return recording_pb2.Recording(
        session_id=recording.session_id,
        upload_id=recording.upload_id,
        storage=recording.storage,
        bytes=recording.bytes,
        parts=recording.parts,
        custody_digest=recording.custody_digest,
        sha256=recording.sha256,
        uploader=_identity(recording.uploader),
        begin_time=timestamp_message(recording.begun_ms),
        resume_time=_time(recording.resumed_ms),
        complete_time=timestamp_message(recording.completed_ms),
        partial=recording.partial,
        aside=recording.aside,
        other_server=recording.other_server,
    )


def session_message(session: Session) -> recording_pb2.Session:
    """One session with what is kept of it."""
    return recording_pb2.Session(
        session_id=session.session_id,
        kind=_KINDS[session.kind],  # type: ignore[arg-type]  # enum values are plain numbers when they run
        user=session.user,
        participants=session.participants,
        server_id=session.server_id,
        target=session.target,
        start_time=_time(session.started_ms),
        end_time=_time(session.ended_ms),
        recording=recording_message(session.recording) if session.recording else None,
        asides=[recording_message(each) for each in session.asides],
        uploads=[upload_message(each) for each in session.uploads],
    )


def list_response(page: SessionPage) -> pb.ListRecordingsResponse:
    """The answer to ListRecordings."""
    return pb.ListRecordingsResponse(
        sessions=[session_message(session) for session in page.sessions],
        next_page_token=page.next_page_token,
        complete=not page.missing,
        missing=page.missing,
    )


def reindex_response(progress: ReindexProgress) -> pb.ReindexRecordingsResponse:
    """How far ReindexRecordings has come."""
    return pb.ReindexRecordingsResponse(
        sessions=progress.sessions, batches=progress.batches, done=progress.done, missing=progress.missing
    )


def _identity(identity: Identity) -> event_pb2.Identity:
    return identity_message(
        Emitter(
            identity.kind.value, identity.name, identity.trust_anchor, identity.certificate_serial, identity.token_id
        )
    )


def _time(milliseconds: int | None) -> Timestamp | None:
    return None if milliseconds is None else timestamp_message(milliseconds)

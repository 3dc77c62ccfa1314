"""Uploads and recordings as use cases speak of them, from what the state keeps."""

from __future__ import annotations

import orjson

from server.recordings.recording import Recording, Upload, UploadState
from server.recordings.uploads.owners import owner_of
from server.state.uploads import RECORDING, RecordingRow, UploadRow


def upload_of(row: UploadRow, durable_offset: int, *, abandoned: bool) -> Upload:
    """An upload; how far it is durable, and whether it is abandoned, is for the caller to know."""
    return Upload(
        row.upload_id,
        row.session_id,
        UploadState(row.state),
        durable_offset,
        row.storage,
        owner_of(orjson.loads(row.owner)),
        row.begun_ms,
        row.resumed_ms,
        row.ended_ms,
        abandoned,
        row.partial,
    )


def recording_of(row: RecordingRow) -> Recording:
    """A recording, the session's or one kept aside."""
    return Recording(
        row.session_id,
        row.upload_id,
        row.storage,
        row.bytes,
        row.parts,
        row.custody_digest,
        row.sha256,
        owner_of(orjson.loads(row.uploader)),
        row.begun_ms,
        row.completed_ms,
        row.resumed_ms,
        row.partial,
        row.kind != RECORDING,
        row.other_server,
    )

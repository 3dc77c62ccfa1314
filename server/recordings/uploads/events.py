"""The events that tell what became of uploads."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Final

from server.recordings.recording import UploadState
from server.recordings.uploads.custody import Custody
from server.service_events import SESSION_UPLOADED, UPLOAD_ABORTED, UPLOAD_REPEATED

_UIDS: Final = uuid.UUID("0d6a1f0e-6f3c-4b0e-9d51-5b1f0f6a7c11")
_EVENT_INDEX: Final = 2**31 - 1
"""The index that Teleport gives `session.upload`: behind all events of its session."""
_TYPES: Final = {UploadState.ABORTED: UPLOAD_ABORTED, UploadState.REPEATED: UPLOAD_REPEATED}


def ending_event(custody: Custody, state: UploadState, storage: str) -> dict[str, object]:
    """What became of an upload. Always the same for the same one, so that telling it again adds nothing."""
    kind = _TYPES.get(state, SESSION_UPLOADED)
    event: dict[str, object] = {
        "event": kind,
        "time": _time(custody.completed_ms),
        "uid": str(uuid.uuid5(_UIDS, f"{custody.upload_id} {state.value}")),
        "sid": custody.session_id,
        "upload_id": custody.upload_id,
        "storage": storage,
        "bytes": custody.size,
        "parts": len(custody.parts),
        "custody_digest": custody.custody_digest,
        "sha256": custody.sha256,
        "uploader": dict(custody.uploader),
        "ended_by": dict(custody.ended_by),
        "begun_ms": custody.begun_ms,
        "resumed_ms": custody.resumed_ms,
        "completed_ms": custody.completed_ms,
    }
    if kind == SESSION_UPLOADED:
        aside = state is UploadState.KEPT_ASIDE
        place = f"{custody.session_id}/{custody.upload_id}" if aside else custody.session_id
        event |= {
            "ei": _EVENT_INDEX,
            "url": f"extaudit://{storage}/{place}",
            "aside": aside,
            "partial": custody.partial,
            "other_server": custody.other_server,
        }
    return event


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

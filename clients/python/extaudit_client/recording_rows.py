"""Recordings and uploads as answers show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from extaudit.v1 import recording_pb2

from extaudit_client.names import UPLOAD_STATES, name_of
from extaudit_client.rows import Identity, identity_from, time_from


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload. `state` is open, completed, kept_aside, aborted or repeated; `durable_offset` is in bytes.

    `resume_time` and `end_time` are None where the upload was never gone on with, or hasn't ended.
    """

    upload_id: str
    session_id: str
    state: str
    durable_offset: int
    storage: str
    owner: Identity
    begin_time: datetime
    resume_time: datetime | None
    end_time: datetime | None
    abandoned: bool
    partial: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that is complete in a storage. Digests are lower-case hex.

    `custody_digest` is over the digests of its parts, see custody; `aside` is true of a second, different one.
    """

    session_id: str
    upload_id: str
    storage: str
    bytes: int
    parts: int
    custody_digest: str
    sha256: str
    uploader: Identity
    begin_time: datetime
    resume_time: datetime | None
    complete_time: datetime
    partial: bool
    aside: bool
    other_server: bool


def upload_from(message: recording_pb2.Upload) -> Upload:
    """Read an upload."""
    return Upload(
        upload_id=message.upload_id,
        session_id=message.session_id,
        state=upload_state(message.state),
        durable_offset=message.durable_offset,
        storage=message.storage,
        owner=identity_from(message.owner),
        begin_time=time_from(message.begin_time),
        resume_time=time_from(message.resume_time) if message.HasField("resume_time") else None,
        end_time=time_from(message.end_time) if message.HasField("end_time") else None,
        abandoned=message.abandoned,
        partial=message.partial,
    )


def recording_from(message: recording_pb2.Recording) -> Recording:
    """Read a recording."""
    return Recording(
        session_id=message.session_id,
        upload_id=message.upload_id,
        storage=message.storage,
        bytes=message.bytes,
        parts=message.parts,
        custody_digest=message.custody_digest,
        sha256=message.sha256,
        uploader=identity_from(message.uploader),
        begin_time=time_from(message.begin_time),
        resume_time=time_from(message.resume_time) if message.HasField("resume_time") else None,
        complete_time=time_from(message.complete_time),
        partial=message.partial,
        aside=message.aside,
        other_server=message.other_server,
    )


def upload_state(value: int) -> str:
    """Read what has become of an upload."""
    return name_of(value, UPLOAD_STATES)

"""From RecordingService's requests to what use cases take; every wrong field is named, all at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from extaudit.v1 import recording_service_pb2 as pb

from server.errors import InvalidRequest, Violation
from server.recordings.opening import Selection
from server.recordings.session_ids import is_session_id

MAX_UPLOAD_ID_CHARACTERS: Final = 512
MAX_CHUNK_BYTES: Final = 4 * 1024 * 1024
MAX_MESSAGE_BYTES: Final = MAX_CHUNK_BYTES + 64
"""A chunk, and what says where it belongs."""
MAX_OFFSET: Final = 2**62

_CHUNK: Final = 2 << 3 | 2
"""Tag of UploadRecordingRequest.chunk: field 2, with a length."""
_OFFSET: Final = 1 << 3
"""Tag of RecordingChunk.offset: field 1, a varint."""
_DATA: Final = 2 << 3 | 2
"""Tag of RecordingChunk.data: field 2, with a length."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of a recording, and where they belong."""

    offset: int
    data: memoryview


def decode_upload(message: bytes) -> pb.UploadRecordingRequest | Chunk:
    """The message in these bytes. A chunk in the usual form is read in place: copying it would cost more than hashing.

    Raises:
        DecodeError: they are no such message.
    """
    found = _chunk(message)
    if found is not None:
        return found
    request = pb.UploadRecordingRequest.FromString(message)
    if request.WhichOneof("request") == "chunk":
        return Chunk(request.chunk.offset, memoryview(request.chunk.data))
    return request


def upload_start(message: pb.UploadRecordingRequest | Chunk) -> pb.UploadStart:
    """What a stream's first message says.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    if isinstance(message, Chunk) or message.WhichOneof("request") != "start":
        raise InvalidRequest([Violation("request", "the first message must be `start`")])
    start = message.start
    found = [*session_violations("start.session_id", start.session_id)]
    if len(start.upload_id) > MAX_UPLOAD_ID_CHARACTERS:
        found.append(Violation("start.upload_id", f"must be at most {MAX_UPLOAD_ID_CHARACTERS} characters"))
    if found:
        raise InvalidRequest(found)
    return start


def upload_chunk(message: pb.UploadRecordingRequest | Chunk) -> Chunk:
    """The chunk that every message but the first one is.

    Raises:
        InvalidRequest: it is none, or not within its bounds.
    """
    if not isinstance(message, Chunk):
        raise InvalidRequest([Violation("request", "every message but the first one must be a chunk")])
    found = []
    if message.offset > MAX_OFFSET:
        found.append(Violation("chunk.offset", f"must be at most {MAX_OFFSET}"))
    if not 1 <= len(message.data) <= MAX_CHUNK_BYTES:
        found.append(Violation("chunk.data", f"must be 1 to {MAX_CHUNK_BYTES} bytes"))
    if found:
        raise InvalidRequest(found)
    return message


def completion_violations(request: pb.CompleteUploadRequest) -> list[Violation]:
    """What is wrong with a CompleteUpload request."""
    found = upload_violations(request.upload_id)
    if request.bytes > MAX_OFFSET:
        found.append(Violation("bytes", f"must be at most {MAX_OFFSET}"))
    for name in ("sha256", "custody_digest"):
        if (digest := getattr(request, name)) and not _SHA256.fullmatch(digest):
            found.append(Violation(name, "must be 64 lower-case hexadecimal digits"))
    return found


def upload_violations(upload_id: str) -> list[Violation]:
    """What is wrong with an upload's id; whether there is such an upload is not looked at."""
    if 1 <= len(upload_id) <= MAX_UPLOAD_ID_CHARACTERS:
        return []
    return [Violation("upload_id", f"must be 1 to {MAX_UPLOAD_ID_CHARACTERS} characters")]


def session_violations(field: str, session_id: str) -> list[Violation]:
    """What is wrong with a session's id."""
    if is_session_id(session_id):
        return []
    return [Violation(field, "must be a UUID in lower case with hyphens")]


def download_selection(request: pb.DownloadRecordingRequest) -> Selection:
    """What a DownloadRecording request asks for.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    found = _selection_violations(request)
    for name in ("offset", "length"):
        if getattr(request, name) > MAX_OFFSET:
            found.append(Violation(name, f"must be at most {MAX_OFFSET}"))
    if found:
        raise InvalidRequest(found)
    return Selection(request.session_id, request.upload_id, request.offset, request.length)


def events_selection(request: pb.StreamRecordingEventsRequest) -> Selection:
    """Which recording a StreamRecordingEvents request asks for.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    found = _selection_violations(request)
    if request.start_index < 0:
        found.append(Violation("start_index", "must not be negative"))
    if found:
        raise InvalidRequest(found)
    return Selection(request.session_id, request.upload_id)


def _selection_violations(request: pb.DownloadRecordingRequest | pb.StreamRecordingEventsRequest) -> list[Violation]:
    found = session_violations("session_id", request.session_id)
    return found + (upload_violations(request.upload_id) if request.upload_id else [])


def _chunk(message: bytes) -> Chunk | None:
    """The chunk in a message that is one, written as usual: its offset, if it isn't 0, and then its bytes."""
    if not message or message[0] != _CHUNK:
        return None
    size, at = _varint(message, 1)
    if at + size != len(message) or at == len(message):
        return None
    offset = 0
    if message[at] == _OFFSET:
        offset, at = _varint(message, at + 1)
    if at >= len(message) or message[at] != _DATA:
        return None
    length, at = _varint(message, at + 1)
    return Chunk(offset, memoryview(message)[at:]) if at + length == len(message) else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of at most 9 bytes, and where it ends; beyond the data's end for any other."""
    value = 0
    for index in range(9):
        if at + index >= len(data):
            break
        byte = data[at + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, at + index + 1
    return 0, len(data) + 1

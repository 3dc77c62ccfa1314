"""Frames: the bytes of the journal.

A frame is a magic, a type, a length, a CRC-32 over type, length and payload, and the payload. The magic has bytes that
no UTF-8 text holds, so nothing inside an event's JSON can pass for a frame when a reader looks for the next one after
damage.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate, pairwise

import numpy as np

from server.audit_log.columns.framing import write_event_frames
from server.audit_log.event_block import owners
from server.audit_log.tail import CommitGroup

MAGIC = b"\xfe\xffJ\xff"
_HEADER = struct.Struct("<4sIII")
HEADER_BYTES = _HEADER.size
_EVENT = struct.Struct("<QqH16s")
_COMMIT = struct.Struct("<QQI")
MAX_PAYLOAD_BYTES = 32 * 1024 * 1024


class FrameType(IntEnum):
    """What a frame holds."""

    SEGMENT = 1
    """JSON: format, log_id, first sequence, storage. Begins a segment and marks the storage its events belong to."""
    EVENT = 2
    """Sequence, received time, fingerprint, receipt, the event's JSON."""
    COMMIT = 3
    """First and last sequence of the group it ends (0, 0 for a group without events) and its number of frames."""
    CUT = 4
    """JSON: a cut; see cuts.py."""
    STOP = 5
    """Empty: the service stopped in order."""


@dataclass(frozen=True, slots=True)
class EventFrame:
    """An event as the journal holds it."""

    sequence: int
    received_ms: int
    fingerprint: bytes
    receipt: bytes
    """As `receipts.encode_emitter` writes it."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame whose CRC holds, and where it ends in its segment."""

    type: int
    payload: bytes
    end: int


@dataclass(frozen=True, slots=True)
class BadBytes:
    """Bytes that are no valid frame, up to the next one or the end of the segment."""

    start: int
    end: int


def encode(frame_type: FrameType, payload: bytes) -> bytes:
    """The bytes of one frame."""
    crc = zlib.crc32(payload, _seed(frame_type, len(payload)))
    return _HEADER.pack(MAGIC, frame_type, len(payload), crc) + payload


class GroupFrames:
    """Makes the frames of one group commit after the other, in a buffer that is used again."""

    def __init__(self) -> None:
        self._room = np.empty(1 << 16, np.uint8)

    def encode(self, group: CommitGroup) -> memoryview:
        """A frame for every event of the group, and the commit frame that ends it; valid until the next call."""
        blocks, table = group
        heads = HEADER_BYTES + _EVENT.size
        commit = encode_commit(blocks[0].first, blocks[-1].last, len(table))
        wanted = sum(item.block.bytes + len(item.block) * (heads + len(item.receipt)) for item in blocks) + len(commit)
        if wanted > len(self._room):
            self._room = np.empty(wanted * 5 // 4, np.uint8)
        receipts = [item.receipt for item in blocks]
        ends = list(accumulate(map(len, receipts), initial=0))
        end = write_event_frames(
            self._room,
            table,
            owners([item.block for item in blocks]),
            np.array([item.block.data.ctypes.data for item in blocks]),
            np.frombuffer(b"".join(receipts), np.uint8),
            np.array(list(pairwise(ends))),
            np.array([item.received_ms for item in blocks]),
            blocks[0].first,
        )
        self._room.data[end : end + len(commit)] = commit
        return self._room.data[: end + len(commit)]


def encode_event(event: EventFrame) -> bytes:
    """The bytes of one event's frame."""
    head = _EVENT.pack(event.sequence, event.received_ms, len(event.receipt), event.fingerprint)
    return encode(FrameType.EVENT, head + event.receipt + event.data)


def _seed(frame_type: int, length: int) -> int:
    """What the CRC of a payload begins with, so that it covers type and length as well."""
    return frame_type << 28 ^ length


def decode_event(payload: bytes) -> EventFrame:
    """The event of an EVENT frame's payload."""
    sequence, received_ms, receipt_length, fingerprint = _EVENT.unpack_from(payload)
    data_start = _EVENT.size + receipt_length
    return EventFrame(sequence, received_ms, fingerprint, payload[_EVENT.size : data_start], payload[data_start:])


def encode_commit(first: int, last: int, frames: int) -> bytes:
    """The bytes of a commit frame."""
    return encode(FrameType.COMMIT, _COMMIT.pack(first, last, frames))


def decode_commit(payload: bytes) -> tuple[int, int, int]:
    """First, last and number of frames of a COMMIT frame's payload."""
    first, last, frames = _COMMIT.unpack(payload)
    return first, last, frames


def read_frames(content: bytes) -> Iterator[Frame | BadBytes]:
    """All frames of a segment in order; what can't be read is named and stepped over to the next valid frame."""
    position = 0
    while position < len(content):
        frame = _frame_at(content, position)
        if frame is None:
            start, position = position, _next_frame(content, position + 1)
            yield BadBytes(start, position)
        else:
            yield frame
            position = frame.end


def _frame_at(content: bytes, position: int) -> Frame | None:
    if position + HEADER_BYTES > len(content):
        return None
    magic, frame_type, length, crc = _HEADER.unpack_from(content, position)
    end = position + HEADER_BYTES + length
    if magic != MAGIC or length > MAX_PAYLOAD_BYTES or end > len(content):
        return None
    payload = content[position + HEADER_BYTES : end]
    if frame_type > 15 or zlib.crc32(payload, _seed(frame_type, length)) != crc:
        return None
    return Frame(frame_type, payload, end)


def _next_frame(content: bytes, position: int) -> int:
    """Where the next valid frame begins, or the end of the content."""
    while (position := content.find(MAGIC, position)) >= 0:
        if _frame_at(content, position) is not None:
            return position
        position += 1
    return len(content)

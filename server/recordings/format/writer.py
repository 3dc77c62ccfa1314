"""Writes a recording, event by event."""

from __future__ import annotations

import zlib

from extaudit.recording.v1.recorded_event_pb2 import OneOf
from google.protobuf.message import Message

from server.recordings.format.limits import KIB, MIB
from server.recordings.format.part_header import V1, PartHeader
from server.recordings.format.records import packed_record

MOST_RECORD_BYTES = 64 * KIB
LEAST_PART_BYTES = 5 * MIB
_GZIP_FORMAT = zlib.MAX_WBITS | 16
_FIELDS = {field.message_type.name: field.name for field in OneOf.DESCRIPTOR.fields if field.message_type}


class RecordingWriter:
    """Turns events into the bytes of a recording: each call gives the bytes that are ready, often none.

    A part ends once it has `least_part_bytes`; one that `flush` ends earlier is filled up to them, the last one is not.
    The same events give the same bytes with the same version of zlib. Holds one part.
    """

    def __init__(self, version: int = V1, least_part_bytes: int = LEAST_PART_BYTES, first_index: int = 0) -> None:
        self._version = version
        self._least_part_bytes = least_part_bytes
        self.next_index = first_index
        """The index that `add` gives next."""
        self._begin_part()

    def add(self, event: Message) -> bytes:
        """Add an event of a kind in `OneOf`, such as a SessionPrint, and give it the next index.

        Raises ValueError for a message of another kind, and for an event of more than 64 KiB.
        """
        name = _FIELDS.get(event.DESCRIPTOR.name)
        if name is None:
            raise ValueError(f"{event.DESCRIPTOR.name} is no event of a recording")
        record = OneOf()
        body = getattr(record, name)
        body.CopyFrom(event)
        body.metadata.index = self.next_index
        ready = self.add_record(record.SerializeToString(deterministic=True))
        self.next_index += 1
        return ready

    def add_record(self, record: bytes) -> bytes:
        """Add a record as it is, whatever its index. Raises ValueError for an empty one or one of more than 64 KiB."""
        if not 0 < len(record) <= MOST_RECORD_BYTES:
            raise ValueError(f"a record has 1 to {MOST_RECORD_BYTES} bytes, not {len(record)}")
        self._packed += self._packer.compress(packed_record(record))
        self._empty = False
        return self._end_part(0) if self._header_and_content() >= self._least_part_bytes else b""

    def flush(self) -> bytes:
        """End the part, filled up, so that a further one can follow; b"" if nothing was added to it."""
        return b"" if self._empty else self._end_part(self._least_part_bytes)

    def finish(self) -> bytes:
        """End the recording; its last part isn't filled up. Nothing may be added afterwards."""
        return b"" if self._empty else self._end_part(0)

    def _begin_part(self) -> None:
        self._packer = zlib.compressobj(wbits=_GZIP_FORMAT)
        self._packed = bytearray()
        self._empty = True

    def _header_and_content(self) -> int:
        return PartHeader(self._version, 0, 0).length + len(self._packed)

    def _end_part(self, least_bytes: int) -> bytes:
        self._packed += self._packer.flush()
        padding = max(least_bytes - self._header_and_content(), 0)
        part = PartHeader(self._version, len(self._packed), padding).packed() + self._packed + bytes(padding)
        self._begin_part()
        return part

"""Recordings for tests, written by hand where the writer would refuse."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable

from extaudit.recording.v1 import recorded_event_pb2 as pb

from server.recordings.format.items import Damage, Summary
from server.recordings.format.limits import Limits
from server.recordings.format.reader import Item, read_recording
from server.recordings.format.recorded_event import RecordedEvent

SECONDS = 1_794_000_000


def print_record(index: int, data: bytes = b"hello\r\n") -> bytes:
    event = pb.OneOf()
    event.session_print.metadata.index = index
    event.session_print.metadata.type = "print"
    event.session_print.metadata.time.seconds = SECONDS + index
    event.session_print.data = data
    event.session_print.delay_milliseconds = index * 1000
    return event.SerializeToString()


def prints(*indexes: int) -> bytes:
    """The content of a part: a print event for each index."""
    return b"".join(framed(print_record(index)) for index in indexes)


def framed(record: bytes) -> bytes:
    return struct.pack(">I", len(record)) + record


def part(
    content: bytes,
    *,
    version: int = 1,
    padding: int = 0,
    flags: int = 0,
    size: int | None = None,
    packed: bytes | None = None,
) -> bytes:
    """A part of this content, or of `packed` bytes as they are; `size` is what the header says if not the truth."""
    packed = gzip.compress(content, mtime=0) if packed is None else packed
    header = struct.pack(">QQQ", version, len(packed) if size is None else size, padding)
    return header + (bytes([flags]) + bytes(7) if version == 2 else b"") + packed + bytes(padding)


def read(data: bytes, chunk: int = 1 << 16, limits: Limits | None = None) -> list[Item]:
    chunks = (data[at : at + chunk] for at in range(0, len(data), chunk))
    items = list(read_recording(chunks, limits))
    assert [item for item in items if isinstance(item, Summary)] == items[-1:]
    return items


def summary_of(items: Iterable[Item]) -> Summary:
    (summary,) = (item for item in items if isinstance(item, Summary))
    return summary


def indexes_of(items: Iterable[Item]) -> list[int | None]:
    return [item.index for item in items if isinstance(item, RecordedEvent)]


def reasons_of(items: Iterable[Item]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Damage)]

"""How an event stands in a file of the spool: a frame with its number, a time and a checksum.

    magic (4)  length of the event (4)  number (8)  time in ms (8)  CRC-32 of these and of the event (4)  event

The magic holds bytes that no UTF-8 has, so after damage the next frame is found by it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MAGIC: Final = b"\xf5\xffEV"
_HEAD: Final = struct.Struct(">4sIQQ")
_CHECK: Final = struct.Struct(">I")
HEADER_BYTES: Final = _HEAD.size + _CHECK.size


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of the spool. Numbers have no gaps; `end` is where the frame ends in its file."""

    number: int
    time_ms: int
    event: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes `start` to `end` of a file that are no frames."""

    start: int
    end: int


def frame(number: int, time_ms: int, event: bytes) -> bytes:
    """An event as it stands in a file."""
    head = _HEAD.pack(_MAGIC, len(event), number, time_ms)
    return b"".join((head, _CHECK.pack(zlib.crc32(event, zlib.crc32(head))), event))


def frames(data: bytes, offset: int, following: int) -> Iterator[Entry | Damage]:
    """Read frames of `data`, which stands at `offset` in its file and has `following` bytes after it there.

    What `data` only holds the beginning of is left out.
    """
    at = 0
    while at < len(data):
        found = _entry(data, at, offset)
        if found is not None:
            yield found
            at = found.end - offset
            continue
        if following and _may_go_on(data, at, following):
            return
        good = _next_good(data, at + 1, offset)
        if good is None and following:
            # A frame may begin in what wasn't read: the damage goes up to where one could.
            good = _last_magic(data, at + 1, following)
        end = len(data) if good is None else good
        yield Damage(offset + at, offset + end)
        at = end


def is_unfinished(data: bytes) -> bool:
    """Whether this is the beginning of one frame and nothing else: what a stop in the middle of a write leaves."""
    return _may_go_on(data, 0, 1 << 32)


def _entry(data: bytes, at: int, offset: int) -> Entry | None:
    start = at + HEADER_BYTES
    if start > len(data):
        return None
    magic, length, number, time_ms = _HEAD.unpack_from(data, at)
    if magic != _MAGIC or start + length > len(data):
        return None
    (check,) = _CHECK.unpack_from(data, at + _HEAD.size)
    event = data[start : start + length]
    if zlib.crc32(event, zlib.crc32(data[at : at + _HEAD.size])) != check:
        return None
    return Entry(number, time_ms, event, offset + start + length)


def _may_go_on(data: bytes, at: int, following: int) -> bool:
    """Whether a frame that isn't whole may begin at `at` and end in what follows."""
    if not data.startswith(_MAGIC[: len(data) - at], at):
        return False
    if at + HEADER_BYTES > len(data):
        return True
    length: int = _HEAD.unpack_from(data, at)[1]
    return len(data) < at + HEADER_BYTES + length <= len(data) + following


def _next_good(data: bytes, at: int, offset: int) -> int | None:
    while (at := data.find(_MAGIC, at)) >= 0:
        if _entry(data, at, offset) is not None:
            return at
        at += 1
    return None


def _last_magic(data: bytes, at: int, following: int) -> int | None:
    tail = max(at, len(data) - len(_MAGIC) + 1)
    starts = [data.find(_MAGIC, at), *range(tail, len(data))]
    return next((start for start in starts if start >= 0 and _may_go_on(data, start, following)), None)

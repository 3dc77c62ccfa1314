"""The header of a part: version, size, padding and, since version 2, flags."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

V1 = 1
V2 = 2
SIZES = {V1: 24, V2: 32}
"""Bytes of a header by its version."""
VERSION_BYTES = 8
LONGEST = 32
ENCRYPTED = 0x01
LEAST_MEMBER_BYTES = 20
"""No gzip member is smaller, whatever it holds."""

_FIELDS = struct.Struct(">QQQ")
_GZIP = b"\x1f\x8b\x08"
# A header that says how long a gzip member is, and the member's first bytes. What is encrypted can't be told by sight.
_IN_SIGHT = re.compile(rb"\0{7}(?:\x01.{16}|\x02.{16}\0.{7})\x1f\x8b\x08", re.DOTALL)
IN_SIGHT_BYTES = LONGEST + len(_GZIP)
"""So many bytes are enough to tell that a header begins at the first."""


@dataclass(frozen=True, slots=True)
class PartHeader:
    """What stands before a part. Sizes are bytes."""

    version: int
    size: int
    """Bytes of the gzip member, without header and padding."""
    padding: int
    """Bytes between the end of the member and the next part."""
    encrypted: bool = False

    @property
    def length(self) -> int:
        """Bytes of the header itself."""
        return SIZES[self.version]

    def packed(self) -> bytes:
        """Give the header's bytes."""
        fields = _FIELDS.pack(self.version, self.size, self.padding)
        # The flags are the first of eight bytes, not the number that the eight make.
        return fields if self.version == V1 else fields + bytes([ENCRYPTED if self.encrypted else 0]) + bytes(7)


def version_of(data: bytes | bytearray) -> int:
    """Give the version that eight bytes name, whatever it is."""
    return int.from_bytes(data[:VERSION_BYTES], "big")


def parse_header(data: bytes | bytearray) -> PartHeader:
    """Read a header of a known version; `data` holds all of it, and may hold more."""
    version, size, padding = _FIELDS.unpack_from(data)
    return PartHeader(version, size, padding, version == V2 and bool(data[24] & ENCRYPTED))


def find_header(data: bytes | bytearray, most_bytes: int) -> int:
    """Find where a header of a part with content begins, with sizes up to `most_bytes`; -1 if none is in sight."""
    at = 0
    while match := _IN_SIGHT.search(data, at):
        header = parse_header(match.group())
        if LEAST_MEMBER_BYTES <= header.size <= most_bytes and header.padding <= most_bytes:
            return match.start()
        at = match.start() + 1
    return -1

"""One gzip member, unpacked as it comes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

UNPACKED_STEP = 1 << 18
"""Bytes unpacked at once at most."""
_PACKED_STEP = 1 << 14

_HEADER_BYTES = 10
_TRAILER = struct.Struct("<II")
_HEADER_CRC, _EXTRA, _NAME, _COMMENT, _RESERVED = 0x02, 0x04, 0x08, 0x10, 0xE0
_MOST_HEADER_BYTES = 1 << 17


class BadMember(Exception):
    """What is there is no sound gzip member; the message says in which way."""


class GzipMember:
    """Unpacks one member. zlib would keep back the last bytes of a member whose check fails; this gives them first."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._body = zlib.decompressobj(-zlib.MAX_WBITS)
        self._in_body = False
        self._tail = bytearray()
        self._crc = 0
        self.packed = 0
        """Bytes taken."""
        self.unpacked = 0
        """Bytes given."""
        self.ended = False
        """The member is complete, and its check was right."""
        self.rest = b""
        """What followed the member in what was fed last."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Unpack what is next; raises BadMember. Nothing may be fed once the member has `ended`."""
        self.packed += len(data)
        if not self._in_body:
            data = self._without_header(data)
        for start in range(0, len(data), _PACKED_STEP):
            if self._body.eof:
                self._tail += data[start:]
                break
            yield from self._unpack(data[start : start + _PACKED_STEP])
        if self._body.eof and len(self._tail) >= _TRAILER.size:
            self._check()

    def _without_header(self, data: bytes) -> bytes:
        self._head += data
        length = _header_length(self._head)
        if length is None:
            if len(self._head) > _MOST_HEADER_BYTES:
                raise BadMember("the gzip header doesn't end")
            return b""
        self._in_body = True
        data, self._head = bytes(self._head[length:]), bytearray()
        return data

    def _unpack(self, packed: bytes) -> Iterator[bytes]:
        more = True
        while more:
            before = self._body.copy() if len(packed) > 1 else None
            try:
                out = self._body.decompress(packed, UNPACKED_STEP)
            except zlib.error as error:
                if before is not None:
                    self._body = before
                    yield from self._unpack_singly(packed)
                raise BadMember("the compressed data is damaged") from error
            packed = self._body.unconsumed_tail
            # A full step may have left more inside, with nothing of the input left.
            more = not self._body.eof and (bool(packed) or len(out) == UNPACKED_STEP)
            yield from self._given(out)
        if self._body.eof:
            self._tail += self._body.unused_data

    def _unpack_singly(self, packed: bytes) -> Iterator[bytes]:
        """Unpack up to the damage: zlib keeps back what it unpacked of the bytes that it fails with."""
        for byte in packed:
            try:
                out = self._body.decompress(bytes((byte,)))
            except zlib.error:
                return
            yield from self._given(out)

    def _given(self, out: bytes) -> Iterator[bytes]:
        self._crc = zlib.crc32(out, self._crc)
        self.unpacked += len(out)
        if out:
            yield out

    def _check(self) -> None:
        crc, length = _TRAILER.unpack_from(self._tail)
        if crc != self._crc:
            raise BadMember("the checksum is wrong")
        if length != self.unpacked & 0xFFFFFFFF:
            raise BadMember("the length in the gzip trailer is wrong")
        self.ended = True
        self.rest = bytes(self._tail[_TRAILER.size :])
        self.packed -= len(self.rest)


def _header_length(data: bytearray) -> int | None:
    """Tell how long a gzip header is; None while that can't be told. Raises BadMember."""
    if data[:3] != b"\x1f\x8b\x08"[: len(data)]:
        raise BadMember("there is no gzip data")
    if len(data) < _HEADER_BYTES:
        return None
    flags, at = data[3], _HEADER_BYTES
    if flags & _RESERVED:
        raise BadMember("the gzip header has unknown flags")
    if flags & _EXTRA:
        at += 2 + int.from_bytes(data[at : at + 2], "little")
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            end = data.find(0, at)
            if end < 0:
                return None
            at = end + 1
    if flags & _HEADER_CRC:
        at += 2
    return at if at <= len(data) else None

"""Records in the unpacked bytes of a part: a length of four bytes, and so many bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_LENGTH = struct.Struct(">I")
LENGTH_BYTES = _LENGTH.size


class LostRecords(Exception):
    """Where the next record begins can't be told; the rest of the part is lost."""


class RecordCutter:
    """Cuts unpacked bytes into records. Holds one incomplete record of at most `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._held = b""
        self._passing = 0
        self.position = 0
        """Where the record that was given last begins, in unpacked bytes; after the last, where the next would."""

    @property
    def incomplete(self) -> bool:
        """Whether the bytes so far end inside a record."""
        return bool(self._held or self._passing)

    def cut(self, data: bytes) -> Iterator[bytes | int]:
        """Give the records that are complete; for one that is too large, its size. Raises LostRecords."""
        if self._passing:
            passed = min(self._passing, len(data))
            self._passing -= passed
            self.position += passed
            data = data[passed:]
        data = self._held + data
        at, end, base = 0, len(data), self.position
        while end - at >= LENGTH_BYTES:
            (size,) = _LENGTH.unpack_from(data, at)
            after = at + LENGTH_BYTES + size
            self.position = base + at
            if size == 0:
                raise LostRecords("a record has the length 0")
            if size > self._most_bytes:
                yield size
                self._passing = max(after - end, 0)
                at = min(after, end)
                continue
            if after > end:
                break
            yield data[at + LENGTH_BYTES : after]
            at = after
        self._held = data[at:]
        self.position = base + at


def packed_record(record: bytes) -> bytes:
    """Give a record as it stands in a part."""
    return _LENGTH.pack(len(record)) + record

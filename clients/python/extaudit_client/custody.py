"""The custody digest of a recording, which anyone can compute from its bytes."""

from __future__ import annotations

import hashlib
from typing import Final

from extaudit_client.errors import ExtauditError

PART_BYTES: Final = 8 * 1024 * 1024
_STEP: Final = 1000


def part_size(number: int) -> int:
    """Bytes of a full part, by its number from 1: 8 MiB, and 8 MiB more after every 1,000 parts."""
    return PART_BYTES * (1 + (number - 1) // _STEP)


class CustodyDigest:
    """Takes a recording's bytes in order, and gives its digests."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes so far."""
        self._whole = hashlib.sha256()
        self._parts = hashlib.sha256()
        self._part = hashlib.sha256()
        self._number = 1
        self._room = part_size(1)

    def update(self, data: bytes) -> None:
        """Take more bytes."""
        self._whole.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            taken = rest[: self._room]
            self._part.update(taken)
            self._room -= len(taken)
            rest = rest[len(taken) :]
            if not self._room:
                self._parts.update(self._part.digest())
                self._part = hashlib.sha256()
                self._number += 1
                self._room = part_size(self._number)

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole so far, lower-case hex."""
        return self._whole.hexdigest()

    @property
    def custody(self) -> str:
        """SHA-256 over the SHA-256 digests of the parts so far, lower-case hex."""
        parts = self._parts.copy()
        if self._room < part_size(self._number):
            parts.update(self._part.digest())
        return parts.hexdigest()

    def check(self, *, size: int, sha256: str, custody: str) -> None:
        """Compare with what the service says of the recording.

        Raises:
            ExtauditError: the bytes aren't those of the recording.
        """
        if (self.size, self.sha256, self.custody) != (size, sha256, custody):
            raise ExtauditError("DATA_LOSS", "", "the recording's bytes aren't what its custody digest says")

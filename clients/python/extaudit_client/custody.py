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

    def __init__(self, *, whole: bool = False) -> None:
        """With `whole` everything is hashed twice, for a SHA-256 of more than one part."""
        self.size = 0
        """Bytes so far."""
        self._whole = hashlib.sha256() if whole else None
        self._parts = hashlib.sha256()
        self._part = hashlib.sha256()
        self._number = 1
        self._room = part_size(1)
        self._first = ""
        """That of the first part, once it is full."""

    def update(self, data: bytes) -> None:
        """Take more bytes."""
        if self._whole is not None:
            self._whole.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            taken = rest[: self._room]
            self._part.update(taken)
            self._room -= len(taken)
            rest = rest[len(taken) :]
            if not self._room:
                self._first = self._first or self._part.hexdigest()
                self._parts.update(self._part.digest())
                self._part = hashlib.sha256()
                self._number += 1
                self._room = part_size(self._number)

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole so far, lower-case hex; '' of more than one part where it isn't made. That of one part
        is the part's."""
        if self._whole is not None:
            return self._whole.hexdigest()
        return self._part.hexdigest() if self.size < PART_BYTES else self._first if self.size == PART_BYTES else ""

    @property
    def custody(self) -> str:
        """SHA-256 over the SHA-256 digests of the parts so far, lower-case hex."""
        parts = self._parts.copy()
        if self._room < part_size(self._number):
            parts.update(self._part.digest())
        return parts.hexdigest()

    def check(self, *, size: int, sha256: str, custody: str) -> None:
        """Compare with what the service says of the recording; a `sha256` of '' it doesn't say.

        Raises:
            ExtauditError: the bytes aren't those of the recording.
        """
        is_other = sha256 and self.sha256 and self.sha256 != sha256
        if (self.size, self.custody) != (size, custody) or is_other:
            raise ExtauditError("DATA_LOSS", "", "the recording's bytes aren't what its custody digest says")

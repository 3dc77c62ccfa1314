"""The parts that a recording is cut into, at offsets fixed by their numbers, and the digests that make its custody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from server.storage.recording_port import Part

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PartSchedule:
    """How large the parts are. The same for every recording, so that anyone can cut a file alike."""

    first_bytes: int = 8 * MIB
    step: int = 1_000
    """After how many parts they become larger by another `first_bytes`."""
    most: int = 10_000
    """Most parts of a recording."""

    def size(self, number: int) -> int:
        """Bytes of a full part, by its number from 1."""
        return self.first_bytes * (1 + (number - 1) // self.step)

    def sizes(self, total: int) -> Iterator[int]:
        """Bytes of each part of a recording of so many."""
        for number in count(1):
            if total <= 0:
                return
            yield min(self.size(number), total)
            total -= self.size(number)

    @property
    def bytes(self) -> int:
        """What all parts hold together."""
        return sum(self.size(first) * self.step for first in range(1, self.most + 1, self.step))


SCHEDULE: Final = PartSchedule()
"""How every recording is cut. One cut by another needs another version of the custody record."""


def custody_digest(parts: Iterable[Part]) -> str:
    """SHA-256 over the SHA-256 digests of the parts, lower-case hex."""
    return hashlib.sha256(b"".join(bytes.fromhex(part.sha256) for part in parts)).hexdigest()


class Digests:
    """Digests of an upload as its bytes come: of every full part, of the part that is open, and of the whole if asked.

    Made with the full parts that are known; whoever makes it gives the bytes behind them again. Then the whole's digest
    isn't known, as what came before can't be hashed into it.
    """

    def __init__(self, schedule: PartSchedule, known: Sequence[Part] = (), *, whole: bool = True) -> None:
        self._schedule = schedule
        self._parts = list(known)
        self._told = len(self._parts)
        self._whole = hashlib.sha256() if whole and not known else None
        self.offset = known[-1].offset + known[-1].size if known else 0
        """Bytes from the beginning that were taken in."""
        self._begin_part()

    def _begin_part(self) -> None:
        self._number = len(self._parts) + 1
        self._start = self.offset
        self._end = self.offset + self._schedule.size(self._number)
        self._open = hashlib.sha256()

    def update(self, data: bytes | memoryview) -> None:
        """Take in the bytes that follow."""
        if self._whole is not None:
            self._whole.update(data)
        view = memoryview(data)
        while view:
            taken = view[: self._end - self.offset]
            self._open.update(taken)
            self.offset += len(taken)
            view = view[len(taken) :]
            if self.offset == self._end:
                self._parts.append(self._open_part())
                self._begin_part()

    def untold(self) -> list[Part]:
        """Full parts that no call gave before."""
        parts, self._told = self._parts[self._told :], len(self._parts)
        return parts

    def tail(self) -> Part | None:
        """The part that is open, as far as it has come; None if there is nothing of it."""
        return self._open_part() if self.offset > self._start else None

    def _open_part(self) -> Part:
        return Part(self._number, self._start, self.offset - self._start, self._open.hexdigest())

    def parts(self) -> tuple[Part, ...]:
        """All parts, were this the end."""
        tail = self.tail()
        return (*self._parts, tail) if tail else tuple(self._parts)

    @property
    def sha256(self) -> str:
        """Digest of the whole, lower-case hex; '' where it isn't known. That of one part is the part's."""
        if self._whole is not None:
            return self._whole.hexdigest()
        parts = self.parts()
        return parts[0].sha256 if len(parts) == 1 else ""


def overlapping(parts: Sequence[Part], offset: int, length: int) -> Iterator[Part]:
    """The parts that hold bytes of a range."""
    return (part for part in parts if part.offset < offset + length and offset < part.offset + part.size)

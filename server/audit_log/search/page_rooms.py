"""Memory that the page process writes rows into and the service reads; used again, as new memory is cleared first."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from server.audit_log.columns.layout import Bytes

_STEP: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Room:
    """A piece of memory; `descriptor` leads to it, and is for whoever doesn't have it yet."""

    number: int
    memory: Bytes
    descriptor: int


class Rooms:
    """The rooms of a page process, which has one thread."""

    def __init__(self) -> None:
        self._rooms: list[Room] = []
        self._free: list[int] = []
        self._shared: set[int] = set()

    def free(self, numbers: Iterable[int]) -> None:
        """The service has let go of these."""
        self._free += numbers

    def take(self, size: int) -> Room:
        """A room for so many bytes, which isn't free until the service says so."""
        number = self._free.pop() if self._free else len(self._rooms)
        if number == len(self._rooms):
            self._rooms.append(_made(number, size))
        elif len(self._rooms[number].memory) < size:
            os.close(self._rooms[number].descriptor)
            self._shared.discard(number)
            self._rooms[number] = _made(number, size)
        return self._rooms[number]

    def to_be_shared(self, room: Room) -> int | None:
        """The descriptor of a room that the service doesn't have yet, and has from now on."""
        if room.number in self._shared:
            return None
        self._shared.add(room.number)
        return room.descriptor


def _made(number: int, size: int) -> Room:
    whole = -(-max(size, 1) // _STEP) * _STEP
    descriptor = os.memfd_create("pages", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, whole)
    return Room(number, np.frombuffer(mmap.mmap(descriptor, whole), np.uint8), descriptor)

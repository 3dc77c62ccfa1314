"""What a recording was found to hold so far, across its parts."""

from __future__ import annotations

from collections.abc import Iterator

from server.recordings.format.items import Damage, Summary

_FIRST_SPECIAL_INDEX = 2**31 - 2
"""From here on an index is no place in the session: `session.data` and `session.upload`."""


class Tally:
    """Counts, and decides which event comes next."""

    def __init__(self, told_damages: int) -> None:
        self._told_damages = told_damages
        self._last = -1
        self._loose = 0
        """How many of the next indexes doubtful events may have had."""
        self.bytes = 0
        self.parts = 0
        self.encrypted_parts = 0
        self.doubtful = 0
        self._events = 0
        self._skipped = 0
        self._missing = 0
        self._damages = 0
        self._before = (self._last, self._missing, self._loose)

    def begin_part(self) -> None:
        """Count a part."""
        self.parts += 1
        self._before = (self._last, self._missing, self._loose)

    def doubt(self, given: int) -> None:
        """Take back what the part's events said of the order: a damaged index must not hide the parts after it."""
        self._last, self._missing, self._loose = self._before
        self._loose += given

    def takes(self, index: int | None) -> bool:
        """Count an event; False if it is to be passed over, being no later than the one before.

        None is the index of an event that doesn't tell; it is taken.
        """
        if index is not None:
            last = self._last
            if index <= last:
                self._skipped += 1
                return False
            if index < _FIRST_SPECIAL_INDEX:
                self._missing += max(index - last - 1 - self._loose, 0)
                self._last = index
                self._loose = 0
        self._events += 1
        return True

    def damage(
        self, position: int, part: int, reason: str, unpacked: int | None = None, doubtful: int = 0
    ) -> Iterator[Damage]:
        """Count a damage; gives it, if it is one of those that are told."""
        self._damages += 1
        told = self._damages <= self._told_damages
        return iter((Damage(position, part, reason, unpacked, doubtful),) if told else ())

    def summary(self) -> Summary:
        """Give everything counted."""
        return Summary(
            bytes=self.bytes,
            parts=self.parts,
            encrypted_parts=self.encrypted_parts,
            events=self._events,
            skipped=self._skipped,
            missing=self._missing,
            damages=self._damages,
            doubtful=self.doubtful,
        )

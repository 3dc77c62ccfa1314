"""Reading a spool in order, from what isn't settled on, also while it is written to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from extaudit_client.spool.files import Files
from extaudit_client.spool.frames import HEADER_BYTES, Entry, frames
from extaudit_client.spool.segments import Segment
from extaudit_client.spool.spool import Spool

_BLOCK_BYTES: Final = 1024 * 1024


@dataclass(slots=True)
class Batch:
    """Events in order, and the ranges of numbers (first, last) before or between them that are lost to damage.

    `through` is the number up to which the batch tells everything.
    """

    through: int
    entries: list[Entry] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True, slots=True)
class _View:
    """A segment as it was at a moment: what is committed of it, and how many bytes are whole."""

    segment: Segment
    last: int
    size: int


class Reader:
    """Reads on from where it is; used by one thread."""

    def __init__(self, files: Files, spool: Spool) -> None:
        self._files = files
        self._spool = spool
        self._segment: Segment | None = None
        self._offset = 0
        with spool.changed:
            self._next = spool.settled + 1

    def read(self, max_events: int, max_bytes: int) -> Batch:
        """The next committed events, at least one where there is one; an empty batch where there is none yet."""
        batch = Batch(self._next - 1)
        while (view := self._view()) is not None and self._has_room(batch, max_events, max_bytes):
            if not self._read_block(view, batch, max_events, max_bytes):
                break
        return batch

    def _view(self) -> _View | None:
        """The segment to read on in; None when everything committed has been read."""
        with self._spool.changed:
            committed = self._spool.committed
            if self._next > committed:
                return None
            found = next((segment for segment in self._spool.segments if segment.last >= self._next), None)
            if found is None:
                return None
            if found is not self._segment:
                self._segment, self._offset = found, 0
            return _View(found, min(found.last, committed), found.size)

    def _has_room(self, batch: Batch, max_events: int, max_bytes: int) -> bool:
        return len(batch.entries) < max_events and batch.size < max_bytes

    def _read_block(self, view: _View, batch: Batch, max_events: int, max_bytes: int) -> bool:
        """Read a piece of a segment; gives False when nothing more fits into the batch."""
        began, wanted = self._offset, _BLOCK_BYTES
        following = view.size - began
        while self._offset == began and following > 0:
            asked = min(wanted, view.size - began)
            data = self._bytes(view, asked)
            # Where less came, something has cut the file short: it ends there, and all that it had behind is lost.
            following = view.size - began - asked if len(data) == asked else 0
            if not self._take(view, data, following, batch, max_events, max_bytes):
                return False
            wanted *= 4
        if following <= 0 and self._next <= view.last:
            view.segment.damaged = True
            self._lose(batch, view.last)
        return True

    def _take(self, view: _View, data: bytes, following: int, batch: Batch, max_events: int, max_bytes: int) -> bool:
        for item in frames(data, self._offset, following):
            if isinstance(item, Entry) and item.number >= self._next:
                if item.number > view.last:
                    return False  # written, and not committed yet
                size = HEADER_BYTES + len(item.event)
                if not self._has_room(batch, max_events, max_bytes) or (
                    batch.entries and batch.size + size > max_bytes
                ):
                    return False
                if item.number > self._next:
                    self._lose(batch, item.number - 1)
                batch.entries.append(item)
                batch.size += size
                batch.through, self._next = item.number, item.number + 1
            elif not isinstance(item, Entry):
                view.segment.damaged = True
            self._offset = item.end
        return True

    def _lose(self, batch: Batch, last: int) -> None:
        batch.lost.append((self._next, last))
        batch.through, self._next = last, last + 1

    def _bytes(self, view: _View, size: int) -> bytes:
        try:
            return self._files.read_range(view.segment.path, self._offset, size)
        except FileNotFoundError:
            return b""

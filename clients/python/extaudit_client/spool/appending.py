"""The file that a spool writes to, and the next one when it is full."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from extaudit_client.spool.errors import SpoolFull
from extaudit_client.spool.files import AppendFile, Files
from extaudit_client.spool.segments import Segment, new_segment

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Appending:
    """Writes frames; `sync` may run beside `append`, everything else is called by one thread at a time."""

    def __init__(self, files: Files, folder: Path, segment_bytes: int, *, durably: bool) -> None:
        self._files = files
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._durably = durably
        self._open: tuple[Segment, AppendFile] | None = None

    def writes(self, segment: Segment) -> bool:
        """Whether a segment is the one that is written to."""
        return self._open is not None and self._open[0] is segment

    def ends_segment(self, size: int) -> bool:
        """Whether so many more bytes begin another segment; `sync` must not run meanwhile."""
        return self._open is not None and self._open[0].size + size > self._segment_bytes

    def append(self, first: int, count: int, data: bytes) -> Segment:
        """Append frames of `count` events from number `first` on; gives the segment that they are in.

        Raises:
            SpoolFull: the disk is. OSError: it failed. Nothing of the frames is left in either case, if it can be cut.
        """
        if self.ends_segment(len(data)):
            self._end_durably()
        try:
            segment, file = self._open = self._open or self._begin(first)
        except OSError as error:
            raise _named(error) from error
        try:
            file.append(data)
        except OSError as error:
            file.truncate(segment.size)
            raise _named(error) from error
        segment.size += len(data)
        segment.last = first + count - 1
        return segment

    def sync(self) -> None:
        """Make durable what was appended before."""
        if self._open is not None:
            self._open[1].sync()

    def end_segment(self) -> None:
        """Close the segment; the next frames begin another one."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _end_durably(self) -> None:
        # Otherwise the next segment could outlive this one's end.
        if self._durably:
            self.sync()
        self.end_segment()

    def _begin(self, first: int) -> tuple[Segment, AppendFile]:
        segment = new_segment(self._folder, first)
        if (self._files.size(segment.path) or 0) > 0:
            raise FileExistsError(errno.EEXIST, "there is a segment of that number")
        file = self._files.open_append(segment.path)
        try:
            if self._durably:
                self._files.sync_folder(self._folder)
        except OSError:
            file.close()
            raise
        return segment, file


def _named(error: OSError) -> Exception:
    return SpoolFull("the disk is full") if error.errno in _NO_ROOM else error

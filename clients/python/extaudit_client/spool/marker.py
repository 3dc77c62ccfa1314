"""Up to which number events are settled: a file of small records, of which the last good one counts.

It may lag behind, never run ahead: what it doesn't know of is sent again, and answered as repeated.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path
from typing import Final

from extaudit_client.spool.files import Files

NAME: Final = "settled"
_RECORD: Final = struct.Struct(">QI")
_MAX_BYTES: Final = 4096 * _RECORD.size


class Marker:
    """The file; `number` is 0 when nothing is known."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._path = folder / NAME
        self.number = self._read()
        self._file = files.open_append(self._path)
        if self._file.size % _RECORD.size:  # torn
            self._file.truncate(self._file.size - self._file.size % _RECORD.size)

    def note(self, number: int) -> None:
        """Note that all up to `number` is settled. Nothing is lost where that can't be written."""
        self.number = number
        with contextlib.suppress(OSError):
            if self._file.size >= _MAX_BYTES:
                self._begin_anew(number)
                return
            size = self._file.size
            try:
                self._file.append(_record(number))
            except OSError:
                self._file.truncate(size)  # half a record would make all behind it unreadable

    def sync(self) -> None:
        """Make what was noted durable."""
        with contextlib.suppress(OSError):
            self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self.sync()
        self._file.close()

    def _begin_anew(self, number: int) -> None:
        part = self._path.with_name(NAME + ".part")
        if part.name in self._files.list(part.parent):
            self._files.remove(part)
        file = self._files.open_append(part)
        try:
            file.append(_record(number))
            file.sync()
            self._files.rename(part, self._path)
        except OSError:
            file.close()
            raise
        self._file.close()
        self._file = file

    def _read(self) -> int:
        size = self._files.size(self._path) or 0
        data = self._files.read_range(self._path, 0, size) if size else b""
        for at in range(len(data) // _RECORD.size - 1, -1, -1):
            number, check = _RECORD.unpack_from(data, at * _RECORD.size)
            if check == _check(number):
                return int(number)
        return 0


def _record(number: int) -> bytes:
    return _RECORD.pack(number, _check(number))


def _check(number: int) -> int:
    return zlib.crc32(number.to_bytes(8, "big"))

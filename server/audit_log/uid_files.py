"""The files that keep the uids of trimmed segments: chunks of entries, each with a CRC, appended and synced."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from server.audit_log.columns.layout import Table
from server.audit_log.known_uids import UidLimits
from server.files import AppendFile, Files

_CHUNK = struct.Struct("<4sII")
_MAGIC = b"uid2"
UID_FILE_NAME = re.compile(r"[0-9]{8}\.uids", re.ASCII)
_LOG_ID_BYTES = 10
_COLUMNS = 5
_ENTRY_BYTES = 8 * _COLUMNS


class UidFiles:
    """A chunk holds the entries of one segment: the log's name in binary, then rows as `uid_entries` makes them."""

    def __init__(self, files: Files, folder: Path, limits: UidLimits) -> None:
        self._files = files
        self._folder = folder
        self._limits = limits
        self._file: AppendFile | None = None
        self._name = ""
        self._counts: dict[str, int] = {}
        """Entries of each file, oldest first."""

    def load(self) -> Iterator[tuple[str, Table]]:
        """All kept entries with the name of their log, oldest first; before anything is appended.

        Torn and damaged chunks are stepped over; the segment of a torn one is still there.
        """
        self._files.make_folder(self._folder)
        for name in self._files.list(self._folder):
            if not UID_FILE_NAME.fullmatch(name):
                continue
            content = self._files.read(self._folder / name)
            self._counts[name] = 0
            for start, end in _chunks(content):
                body = content[start:end]
                entries = np.frombuffer(body, np.int64, offset=_LOG_ID_BYTES).reshape(-1, _COLUMNS)
                self._counts[name] += len(entries)
                yield body[:_LOG_ID_BYTES].hex(), entries
        self._drop_oldest()

    def append(self, log_id: str, entries: Table) -> None:
        """Keep the entries of one segment; durable when it returns.

        Raises:
            OSError: they aren't, or it isn't known; safe to try again.
        """
        body = bytes.fromhex(log_id) + entries.tobytes()
        file = self._file = self._file or self._open()
        size = file.size
        try:
            file.append(_CHUNK.pack(_MAGIC, len(body), zlib.crc32(body)) + body)
        except OSError:
            file.truncate(size)  # room is short, or it would have been written
            raise
        try:
            file.sync()
        except OSError:
            # What is durable of this file is known no more, so what is tried again goes into the next one.
            self.close()
            self._counts[self._name] = self._limits.generation
            raise
        self._counts[self._name] += len(entries)
        if self._counts[self._name] >= self._limits.generation:
            self.close()
            self._drop_oldest()

    def close(self) -> None:
        """Close the open file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> AppendFile:
        latest = next(reversed(self._counts), "00000000.uids")
        if self._counts.get(latest, self._limits.generation) >= self._limits.generation:
            latest = f"{int(latest.split('.')[0]) + 1:08d}.uids"
        file = self._files.open_append(self._folder / latest)
        try:
            self._files.sync_folder(self._folder)
        except OSError:
            file.close()
            raise
        self._name = latest
        self._counts.setdefault(latest, 0)
        return file

    def _drop_oldest(self) -> None:
        """Remove files beyond what the table's bound can hold."""
        for name in list(self._counts)[:-1]:
            if sum(self._counts.values()) - self._counts[name] < self._limits.bound:
                return
            self._files.remove(self._folder / name)
            del self._counts[name]


def _chunks(content: bytes) -> Iterator[tuple[int, int]]:
    """Where the bodies of whole chunks begin and end."""
    position = 0
    while (position := content.find(_MAGIC, position)) >= 0:
        end = _chunk_end(content, position)
        if end is None:
            position += 1
        else:
            yield position + _CHUNK.size, end
            position = end


def unread_bytes(content: bytes) -> int:
    """How many bytes of a file's content are in no whole chunk."""
    return len(content) - sum(end - start + _CHUNK.size for start, end in _chunks(content))


def _chunk_end(content: bytes, position: int) -> int | None:
    """Where the chunk at `position` ends, or None if there is no whole one."""
    if position + _CHUNK.size > len(content):
        return None
    magic, length, crc = _CHUNK.unpack_from(content, position)
    start = position + _CHUNK.size
    end: int = start + length
    if magic != _MAGIC or end > len(content) or length < _LOG_ID_BYTES or (length - _LOG_ID_BYTES) % _ENTRY_BYTES:
        return None
    return end if zlib.crc32(content[start:end]) == crc else None

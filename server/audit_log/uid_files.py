"""The files that keep the uids of trimmed segments: chunks of entries, each with a CRC, appended and synced."""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from server.audit_log.columns.layout import Table
from server.audit_log.known_uids import RECEIVED, UidLimits
from server.files import AppendFile, Files

_log = logging.getLogger(__name__)
_CHUNK = struct.Struct("<4sII")
_MAGIC = b"uid2"
UID_FILE_NAME = re.compile(r"[0-9]{8}\.uids", re.ASCII)
_LOG_ID_BYTES = 10
_COLUMNS = 5
_ENTRY_BYTES = 8 * _COLUMNS


@dataclass(slots=True)
class _File:
    """What a file holds: how many entries, and when the first and the last of them were received, in ms."""

    entries: int = 0
    oldest_ms: int = np.iinfo(np.int64).max
    newest_ms: int = -1
    is_closed: bool = False
    """Whether nothing more is appended to it."""

    def add(self, entries: Table) -> None:
        if len(entries):
            self.entries += len(entries)
            self.oldest_ms = min(self.oldest_ms, int(entries[:, RECEIVED].min()))
            self.newest_ms = max(self.newest_ms, int(entries[:, RECEIVED].max()))


class UidFiles:
    """A chunk holds the entries of one segment: the log's name in binary, then rows as `uid_entries` makes them."""

    def __init__(self, files: Files, folder: Path, limits: UidLimits) -> None:
        self._files = files
        self._folder = folder
        self._limits = limits
        self._file: AppendFile | None = None
        self._name = ""
        self._kept: dict[str, _File] = {}
        """In the order in which they were written."""

    def load(self) -> Iterator[tuple[str, Table]]:
        """The chunks that are kept with the name of their log, in the order in which their events were received, which
        needn't be that of their deliveries; before anything is appended.

        Torn and damaged chunks are stepped over, which the log says; the segment of a torn one is still there.
        """
        self._files.make_folder(self._folder)
        found: list[tuple[int, str, int, int]] = []
        for name in self._files.list(self._folder):
            if not UID_FILE_NAME.fullmatch(name):
                continue
            content = self._files.read(self._folder / name)
            self._kept[name] = self._looked_at(name, content)
            for start, end in _chunks(content):
                _, entries = _decoded(content[start:end])
                self._kept[name].add(entries)
                if len(entries):
                    found.append((int(entries[0, RECEIVED]), name, start, end))
        self._drop_oldest()
        return self._read(sorted(place for place in found if place[1] in self._kept))

    def _read(self, places: Sequence[tuple[int, str, int, int]]) -> Iterator[tuple[str, Table]]:
        """The chunks at these places; one file is in memory at a time."""
        for name, of_file in itertools.groupby(places, key=lambda place: place[1]):
            content = self._files.read(self._folder / name)
            for _, _, start, end in of_file:
                yield _decoded(content[start:end])

    def _looked_at(self, name: str, content: bytes) -> _File:
        """The file before its entries are counted. A torn chunk stays its last: what follows goes to another file."""
        unread = unread_bytes(content)
        if unread.damaged:
            told = "known uids are damaged; what is sent again of these events is kept twice"
            _log.error(told, extra={"fields": {"file": name, "bytes": unread.damaged, "of": len(content)}})
        if unread.torn:
            _log.info("a write of known uids wasn't finished", extra={"fields": {"file": name, "bytes": unread.torn}})
        return _File(is_closed=unread.torn > 0)

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
            with contextlib.suppress(OSError):
                file.truncate(size)
            self._end_file()
            raise
        self._kept[self._name].add(entries)
        if self._kept[self._name].entries >= self._limits.generation:
            self._end_file()
            self._drop_oldest()

    def close(self) -> None:
        """Close the open file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _end_file(self) -> None:
        self.close()
        self._kept[self._name].is_closed = True

    def _open(self) -> AppendFile:
        latest, kept = next(reversed(self._kept.items()), ("00000000.uids", None))
        if kept is None or kept.is_closed or kept.entries >= self._limits.generation:
            latest = f"{int(latest.split('.')[0]) + 1:08d}.uids"
        file = self._files.open_append(self._folder / latest)
        try:
            self._files.sync_folder(self._folder)
        except OSError:
            file.close()
            raise
        self._name = latest
        self._kept.setdefault(latest, _File())
        return file

    def _drop_oldest(self) -> None:
        """Remove files all of whose entries are older than as many others as the table can hold. A batch that is
        delivered late brings old ones into a new file, which count for nothing here."""
        for name, kept in list(self._kept.items())[:-1]:
            others = (each for each in self._kept.values() if each is not kept and each.oldest_ms >= kept.newest_ms)
            if sum(each.entries for each in others) < self._limits.bound:
                continue
            with contextlib.suppress(OSError):  # tried again with the next one
                self._files.remove(self._folder / name)
                del self._kept[name]


def _decoded(body: bytes) -> tuple[str, Table]:
    return body[:_LOG_ID_BYTES].hex(), np.frombuffer(body, np.int64, offset=_LOG_ID_BYTES).reshape(-1, _COLUMNS)


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


@dataclass(frozen=True, slots=True)
class Unread:
    """How many bytes of a file's content are in no whole chunk."""

    damaged: int
    torn: int
    """Those at its end that are the beginning of a chunk: of a write that isn't finished, or never was."""


def unread_bytes(content: bytes) -> Unread:
    """What of a file's content can't be read."""
    ends, whole = 0, 0
    for start, end in _chunks(content):
        ends, whole = end, whole + end - start + _CHUNK.size
    torn = len(content) - ends if _is_beginning(content[ends:]) else 0
    return Unread(len(content) - whole - torn, torn)


def _is_beginning(tail: bytes) -> bool:
    """Whether this, which is no whole chunk, begins as one does and is shorter than it says."""
    if len(tail) < _CHUNK.size:
        return tail[: len(_MAGIC)] == _MAGIC[: len(tail)]
    magic, length, _ = _CHUNK.unpack_from(tail)
    return bool(magic == _MAGIC and _may_be_length(length) and _CHUNK.size + length > len(tail))


def _may_be_length(length: int) -> bool:
    """Whether the body of a chunk may be as long."""
    return length >= _LOG_ID_BYTES and (length - _LOG_ID_BYTES) % _ENTRY_BYTES == 0


def _chunk_end(content: bytes, position: int) -> int | None:
    """Where the chunk at `position` ends, or None if there is no whole one."""
    if position + _CHUNK.size > len(content):
        return None
    magic, length, crc = _CHUNK.unpack_from(content, position)
    start = position + _CHUNK.size
    end: int = start + length
    if magic != _MAGIC or end > len(content) or not _may_be_length(length):
        return None
    return end if zlib.crc32(content[start:end]) == crc else None

"""The uids known from before, so that a retry gets its first acknowledgement and a reused uid is flagged.

Kept: the last `minimum` uids, and all of the last `hours` while they number at most `bound`. In memory only digests are
kept: Python's keyed 64-bit hash of the uid, where a collision flags a uid as reused and does no more, and 128 bits of
SHA-256 over emitter and bytes as received, which alone make an event a retry. The entries of events still in the
journal come back from the journal; those of trimmed segments from files, which are synced before the trim.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from server.files import AppendFile, Files

_ENTRY = struct.Struct("<16sQ10sqB")
_CHUNK = struct.Struct("<4sII")
_MAGIC = b"uids"
_NAME = re.compile(r"[0-9]{8}\.uids", re.ASCII)
_HOUR_MS = 3_600_000


class KnownUid(NamedTuple):
    """One known event."""

    uid: str
    fingerprint: bytes
    """16 bytes over emitter and bytes as received."""
    sequence: int
    log_id: str
    received_ms: int


class Claim(NamedTuple):
    """What is known of an event's uid."""

    first: tuple[str, int] | None
    """(log_id, sequence) of the first acknowledgement when this is a retry."""
    reused: bool
    """True when the uid was known, of this event or of another."""


_from_bytes = int.from_bytes
_NEW = Claim(None, False)
_REUSED = Claim(None, True)
_PLACE_MASK = (1 << 64) - 1


class _Generation:
    """A slice of the known uids that is dropped as a whole."""

    __slots__ = ("entries", "newest_ms", "size")

    def __init__(self) -> None:
        # hash of the uid -> fingerprint, log number and sequence in one int, or a tuple of them where a uid was reused
        self.entries: dict[int, int | tuple[int, ...]] = {}
        self.size = 0
        self.newest_ms = 0


@dataclass(frozen=True, slots=True)
class UidLimits:
    """How many uids are kept, and for how long."""

    minimum: int = 1_000_000
    bound: int = 2_000_000
    hours: float = 24
    generation: int = 100_000


class KnownUids:
    """The table in memory. Used by one thread at a time."""

    def __init__(self, limits: UidLimits) -> None:
        self._limits = limits
        self._generations = [_Generation()]
        self._logs: list[str] = []
        self._log_numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(generation.size for generation in self._generations)

    def claim(self, uid: str, fingerprint: bytes, log_id: str, sequence: int, received_ms: int) -> Claim:
        """Look an event up and, unless it is a retry, remember it under this sequence."""
        wanted = _from_bytes(fingerprint, "little")
        key = hash(uid)
        reused = False
        for generation in self._generations:
            packed = generation.entries.get(key)
            if packed is not None:
                for value in packed if isinstance(packed, tuple) else (packed,):
                    if value >> 64 == wanted:
                        return Claim((self._logs[value >> 48 & 0xFFFF], value & 0xFFFF_FFFF_FFFF), True)
                reused = True
        value = wanted << 64 | self._log_number(log_id) << 48 | sequence
        self._insert(key, value, received_ms)
        return _REUSED if reused else _NEW

    def add(self, known: KnownUid) -> None:
        """Remember an event that was acknowledged before; adding it again changes nothing."""
        self.claim(known.uid, known.fingerprint, known.log_id, known.sequence, known.received_ms)

    def forget(self, uid: str, log_id: str, sequence: int) -> None:
        """Take back a claim whose event was not committed."""
        key = hash(uid)
        mark = self._log_number(log_id) << 48 | sequence
        for generation in reversed(self._generations):
            packed = generation.entries.get(key)
            values = packed if isinstance(packed, tuple) else (packed,)
            rest = tuple(value for value in values if value is not None and value & _PLACE_MASK != mark)
            if packed is None or len(rest) == len(values):
                continue
            generation.size -= 1
            if rest:
                generation.entries[key] = rest if len(rest) > 1 else rest[0]
            else:
                del generation.entries[key]
            return

    def _insert(self, key: int, value: int, received_ms: int) -> None:
        generation = self._generations[-1]
        before = generation.entries.get(key)
        if before is None:
            generation.entries[key] = value
        else:
            generation.entries[key] = (*(before if isinstance(before, tuple) else (before,)), value)
        generation.size += 1
        if received_ms > generation.newest_ms:
            generation.newest_ms = received_ms
        if generation.size >= self._limits.generation:
            self._generations.append(_Generation())
            self._forget_oldest(received_ms)

    def _log_number(self, log_id: str) -> int:
        number = self._log_numbers.get(log_id)
        if number is None:
            number = self._log_numbers[log_id] = len(self._logs)
            self._logs.append(log_id)
        return number

    def _forget_oldest(self, now_ms: int) -> None:
        total = len(self)
        while len(self._generations) > 1:
            oldest = self._generations[0]
            aged = oldest.newest_ms < now_ms - int(self._limits.hours * _HOUR_MS)
            if total - oldest.size < self._limits.minimum or not (aged or total > self._limits.bound):
                return
            total -= oldest.size
            del self._generations[0]


class UidFiles:
    """The files that keep the uids of trimmed segments: chunks of entries, each with a CRC, appended and synced."""

    def __init__(self, files: Files, folder: Path, limits: UidLimits) -> None:
        self._files = files
        self._folder = folder
        self._limits = limits
        self._file: AppendFile | None = None
        self._name = ""
        self._counts: dict[str, int] = {}
        """Entries of each file, oldest first."""

    def load(self) -> Iterator[KnownUid]:
        """All kept entries, oldest first; before anything is appended.

        Torn and damaged chunks are stepped over; the segment of a torn one is still there.
        """
        self._files.make_folder(self._folder)
        for name in self._files.list(self._folder):
            if not _NAME.fullmatch(name):
                continue
            content = self._files.read(self._folder / name)
            self._counts[name] = 0
            for start, end in _chunks(content):
                for entry in _entries(content[start:end]):
                    self._counts[name] += 1
                    yield entry
        self._drop_oldest()

    def append(self, entries: Sequence[KnownUid]) -> None:
        """Keep the entries of one segment; durable when it returns.

        Raises:
            OSError: they aren't, or it isn't known; safe to try again.
        """
        body = b"".join(
            _ENTRY.pack(print_, sequence, bytes.fromhex(log_id), received_ms, len(uid)) + uid.encode("ascii")
            for uid, print_, sequence, log_id, received_ms in entries
        )
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


def _entries(body: bytes) -> Iterator[KnownUid]:
    position = 0
    while position < len(body):
        fingerprint, sequence, log_id, received_ms, length = _ENTRY.unpack_from(body, position)
        start = position + _ENTRY.size
        position = start + length
        yield KnownUid(body[start:position].decode("ascii"), fingerprint, sequence, log_id.hex(), received_ms)


def _chunk_end(content: bytes, position: int) -> int | None:
    """Where the chunk at `position` ends, or None if there is no whole one."""
    if position + _CHUNK.size > len(content):
        return None
    magic, length, crc = _CHUNK.unpack_from(content, position)
    end: int = position + _CHUNK.size + length
    if magic != _MAGIC or end > len(content) or zlib.crc32(content[position + _CHUNK.size : end]) != crc:
        return None
    return end

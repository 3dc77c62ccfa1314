"""An upload's data on the disk, and the progress beside it that tells how much of the data can be believed.

The length of a file isn't enough: after a loss of power its end may hold anything, and after a failed sync it may be in
memory alone. A line of progress is written once the data is synced, and so says what is durable whatever comes after.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import orjson

from server.files import AppendFile, Files, write_durably
from server.storage.embedded.faults import in_own_words
from server.storage.ports import StorageError
from server.storage.recording_port import Part

DATA = "data"
PROGRESS = "progress"
_HELD = 64 * 1024 * 1024
"""What is held in memory of an upload's newest bytes, to be sent on from there. Of a large one no more is, once it is
synced: else it would push out all that searches read, and taking ever new memory costs as much time as writing it."""
_BEGINNING = 8 * 1024 * 1024
"""What is written by way of memory of an upload that isn't sent on: most recordings are no larger, and are read for the
index of their text as soon as they are complete."""
_LINE = re.compile(rb"[^\n][^\[\n]*\n?")
"""Of progress. No bracket opens in it but its first byte, so that one that has lost its end takes no other with it."""
_MOST_LINES = 4_096
"""Lines of progress that describe nothing but the open part, before the file is written anew without them."""


def open_writer(files: Files, folder: Path, *, past_memory: bool = False) -> DiskPartWriter:
    """Open an upload's data for appending, less what isn't known to be durable.

    `past_memory`: that of a large upload nothing is read soon, so that what follows its beginning needn't be in memory.

    Raises:
        OSError: it can't be done now.
        StorageError: less is there than was durable.
    """
    full, tail = _read_progress(files.read(folder / PROGRESS))
    end = _end(full, tail)
    data = files.open_append(folder / DATA)
    try:
        _check_size(data.size, end)
        if data.size > end:
            data.truncate(end)
        progress = _rewrite(files, folder, full, tail)
    except BaseException:
        data.close()
        raise
    return DiskPartWriter(files, folder, data, progress, full, tail, past_memory=past_memory)


def read_parts(files: Files, folder: Path) -> Sequence[Part]:
    """The parts of an upload that are durable, the open one as the last; errors as of `open_writer`."""
    full, tail = _read_progress(files.read(folder / PROGRESS))
    _check_size(files.size(folder / DATA) or 0, _end(full, tail))
    return (*full, tail) if tail else full


def _end(full: Sequence[Part], tail: Part | None) -> int:
    last = tail or (full[-1] if full else None)
    return last.offset + last.size if last else 0


def _check_size(size: int, end: int) -> None:
    if size < end:
        raise StorageError("the upload is shorter than what was durable of it")


class DiskPartWriter:
    """PartWriter on two files, made by `open_writer`."""

    def __init__(
        self,
        files: Files,
        folder: Path,
        data: AppendFile,
        progress: AppendFile,
        parts: list[Part],
        tail: Part | None,
        *,
        past_memory: bool,
    ) -> None:
        self._files = files
        self._folder = folder
        self._data = data
        self._progress = progress
        self._parts = parts
        self._lines = 0
        self._past_memory = past_memory
        self.tail = tail

    @property
    def offset(self) -> int:
        """Bytes of the data."""
        return self._data.size

    @property
    def parts(self) -> Sequence[Part]:
        """The full parts that were durable when it was opened, and those since."""
        return tuple(self._parts)

    def append(self, *chunks: bytes | memoryview) -> None:
        """Append to the data."""
        with in_own_words("the recording can't be written"):
            if self._past_memory and self._data.size >= _BEGINNING:
                self._data.append_direct(*chunks)
                return
            for chunk in chunks:
                self._data.append(chunk)

    def sync(self, full: Sequence[Part], tail: Part | None) -> None:
        """Sync the data, then the progress that tells of it."""
        with in_own_words("the recording can't be synced"):
            self._data.sync()
            if (end := self._data.size - _HELD) > 0:
                self._data.release(end)
            self._parts += full
            self._lines += 1
            if self._lines > _MOST_LINES:
                self._progress.close()
                self._progress = _rewrite(self._files, self._folder, self._parts, tail)
                self._lines = 0
                return
            self._progress.append(_lines(full, _open_part(self._parts, tail)))
            self._progress.sync()

    def close(self) -> None:
        """Close both files."""
        self._data.close()
        self._progress.close()


def _open_part(full: Sequence[Part], tail: Part | None) -> Part:
    """The part that is open behind the full ones, be it empty."""
    return tail or Part(len(full) + 1, _end(full, None), 0, "")


def _lines(full: Sequence[Part], *opened: Part) -> bytes:
    """Lines of progress. What one sync writes ends with the line of the open part, and has no other of one."""
    parts = [(part, True) for part in full] + [(part, False) for part in opened]
    return b"".join(
        orjson.dumps([part.number, part.offset, part.size, part.sha256, is_full]) + b"\n" for part, is_full in parts
    )


def _rewrite(files: Files, folder: Path, full: Sequence[Part], tail: Part | None) -> AppendFile:
    opened = _open_part(full, tail)
    # Twice: what is written here is whole, and so none of it may look like the last sync, which can be torn.
    write_durably(files, folder / PROGRESS, _lines(full, opened, opened))
    return files.open_append(folder / PROGRESS)


def _read_progress(content: bytes) -> tuple[list[Part], Part | None]:
    """The full parts, and what the open one was at the last sync; less the last sync, where a stop has torn it.

    A damaged line costs nothing where a later one says more.

    Raises:
        StorageError: one is damaged that none makes up for, and what a sync after it made durable can't be told.
    """
    lines = [_read_line(line) for line in _LINE.findall(content)]
    full: list[Part] = []
    opened, behind = _open_part(full, None), 0
    for number, line in enumerate(lines, start=1):
        if line is None or not _follows(line[0], opened):
            continue
        opened, behind = line[0], number
        if line[1]:
            full.append(opened)
            opened = _open_part(full, None)
    is_lost = lines and not behind  # the first ones were written before anything came, and durably
    if is_lost or any(line is not None and not line[1] for line in lines[behind:-1]):
        raise StorageError("what is kept of the upload's progress is damaged")
    return full, opened if opened.size else None


def _follows(part: Part, opened: Part) -> bool:
    """Whether this is what the open part may have become."""
    return (part.number, part.offset) == (opened.number, opened.offset) and part.size >= opened.size


def _read_line(line: bytes) -> tuple[Part, bool] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        match orjson.loads(line):
            case [int(number), int(offset), int(size), str(sha256), bool(is_full)]:
                return Part(number, offset, size, sha256), is_full
    except ValueError:
        return None
    return None

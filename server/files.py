"""File operations whose durability the journal and the storages rely on.

Everything durable goes through this port, so that tests can stop after any single operation and can forget
whatever was not synced. What belongs here: the operations themselves, and the one composite that needs them in a
fixed order. What doesn't: what the files mean.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from server.regular_files import open_regular, read_regular

_BLOCK: Final = max(4096, mmap.PAGESIZE)
"""What a direct write begins and ends at, in the file and in memory: no disk in use has larger blocks."""
_LEAST_DIRECT: Final = 256 * 1024
"""Bytes below which a direct write's way to the disk and back costs more than a copy."""
_STAGE_BYTES: Final = 2 * 1024 * 1024
"""What a direct write takes at once, of memory that each thread which writes so keeps."""


class AppendFile(Protocol):
    """A file open for appending by one writer."""

    @property
    def size(self) -> int:
        """Bytes in the file, synced or not."""
        ...

    def append(self, data: bytes | memoryview) -> None:
        """Append all of `data`.

        Raises:
            OSError: not all of it was written; the end of the file is then unknown until `truncate`.
        """
        ...

    def append_direct(self, *chunks: bytes | memoryview) -> None:
        """As `append` of each, of many bytes that nobody reads soon: past the system's memory, where the file system
        lets that be. It costs less, and what others read stays in memory. Durable only after `sync` all the same.

        Raises:
            OSError: as `append`.
        """
        ...

    def sync(self) -> None:
        """Make the content durable (fdatasync).

        Raises:
            OSError: nothing is known of what is durable; the same sync must not be tried again.
        """
        ...

    def release(self, end: int) -> None:
        """Let the system use the memory that holds the first `end` bytes, which were synced, for something else; reads
        of them then come from disk."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes; durable only after `sync`."""
        ...

    def close(self) -> None:
        """Close without syncing."""
        ...


class ReadFile(Protocol):
    """A file open for reading. Errors are OSError."""

    def read_into(self, memory: memoryview, offset: int) -> int:
        """Fill `memory` with what is from `offset` on; gives how many bytes that is, fewer at the end of the file."""
        ...

    def close(self) -> None:
        """Close."""
        ...


class Files(Protocol):
    """File operations on paths. Errors are OSError, as the operating system gives them."""

    def open_append(self, path: Path) -> AppendFile:
        """Open for appending, made (0600) if it isn't there; its folder entry is durable only after `sync_folder`."""
        ...

    def read(self, path: Path) -> bytes:
        """The whole content."""
        ...

    def read_range(self, path: Path, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer at the end of the file."""
        ...

    def open_read(self, path: Path) -> ReadFile:
        """Open for reading many times."""
        ...

    def same(self, one: Path, other: Path) -> bool:
        """Whether two names are names of one file; False if either isn't there."""
        ...

    def number(self, path: Path) -> int:
        """The number that its file system knows a file or folder by: kept when it is renamed, another one in a copy."""
        ...

    def size(self, path: Path | str) -> int | None:
        """Bytes of a regular file; None if there is none."""
        ...

    def list(self, folder: Path) -> list[str]:
        """Sorted names in a folder; [] if there is no such folder."""
        ...

    def make_folder(self, folder: Path) -> None:
        """Make a folder (0700) and the ones above it; its entry is durable when it returns, also if it was there."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Rename within one file system, replacing the target; durable only after `sync_folder` of both folders."""
        ...

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; FileExistsError if the name is taken, so nothing is ever overwritten."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a name; durable only after `sync_folder`."""
        ...

    def remove_folder(self, folder: Path) -> None:
        """Remove an empty folder."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Make the entries of a folder durable."""
        ...


class DiskAppendFile:
    """An AppendFile on the operating system's file system."""

    def __init__(self, path: Path) -> None:
        self._fd = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._size = os.fstat(self._fd).st_size
        self._takes_direct = True
        """Whether no direct write has failed."""

    @property
    def size(self) -> int:
        """Bytes in the file, synced or not."""
        return self._size

    def append(self, data: bytes | memoryview) -> None:
        """Append all of `data`, going on after a short write."""
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self._size += written
            view = view[written:]

    def append_direct(self, *chunks: bytes | memoryview) -> None:
        """Append all of them: whole blocks direct if they are many, and what is before and behind them as usual."""
        before = -self._size % _BLOCK
        blocks = (sum(map(len, chunks)) - before) // _BLOCK * _BLOCK
        left = [memoryview(chunk) for chunk in chunks]
        if self._takes_direct and blocks >= _LEAST_DIRECT:
            first, left = _split(left, before)
            self._append_all(first)
            left = self._append_blocks(left, blocks)
        self._append_all(left)

    def _append_all(self, chunks: Iterable[memoryview]) -> None:
        for chunk in chunks:
            self.append(chunk)

    def _append_blocks(self, chunks: list[memoryview], size: int) -> list[memoryview]:
        """Write so many bytes of the chunks direct; gives what is left of them.

        After a fault that is more: whoever writes it as usual hears what is wrong, if it isn't that there are no direct
        writes here.
        """
        end, usual = self._size + size, fcntl.fcntl(self._fd, fcntl.F_GETFL)
        stage = _stage()
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, usual | os.O_DIRECT)
            while self._size < end:
                # Not from where they are: it must begin at a block in memory too.
                filled = 0
                for piece in _split(chunks, min(len(stage), end - self._size))[0]:
                    stage[filled : filled + len(piece)] = piece
                    filled += len(piece)
                written = os.write(self._fd, stage[:filled])
                self._size += written
                chunks = _split(chunks, written)[1]
                if written < filled:
                    break
        except OSError:
            self._takes_direct = False
        finally:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, usual)
        return chunks

    def sync(self) -> None:
        """Make the content durable."""
        os.fdatasync(self._fd)

    def release(self, end: int) -> None:
        """Let the system use the memory that holds the first `end` bytes for something else."""
        os.posix_fadvise(self._fd, 0, end, os.POSIX_FADV_DONTNEED)

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(self._fd, size)
        self._size = size

    def close(self) -> None:
        """Close without syncing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_stages = threading.local()


def _stage() -> memoryview:
    """This thread's memory for direct writes."""
    found: memoryview | None = getattr(_stages, "memory", None)
    if found is None:
        found = _stages.memory = memoryview(mmap.mmap(-1, _STAGE_BYTES))
    return found


def _split(chunks: Iterable[memoryview], at: int) -> tuple[list[memoryview], list[memoryview]]:
    """The first `at` bytes of the chunks, and what follows them."""
    first, rest = [], []
    for chunk in chunks:
        if head := chunk[:at]:
            first.append(head)
        if tail := chunk[at:]:
            rest.append(tail)
        at -= len(head)
    return first, rest


class DiskReadFile:
    """A ReadFile on the operating system's file system."""

    def __init__(self, path: Path) -> None:
        self._fd = open_regular(path, os.O_RDONLY | os.O_NOFOLLOW)

    def read_into(self, memory: memoryview, offset: int) -> int:
        """Fill `memory`, going on after a short read."""
        found = 0
        while found < len(memory) and (more := os.preadv(self._fd, [memory[found:]], offset + found)):
            found += more
        return found

    def close(self) -> None:
        """Close."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class DiskFiles:
    """The operating system's file system."""

    def open_append(self, path: Path) -> AppendFile:
        """Open for appending, made (0600) if it isn't there."""
        return DiskAppendFile(path)

    def read(self, path: Path) -> bytes:
        """The whole content."""
        return read_regular(path)

    def read_range(self, path: Path, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer at the end of the file."""
        fd = open_regular(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            found = os.pread(fd, size, offset)
            while len(found) < size and (more := os.pread(fd, size - len(found), offset + len(found))):
                found += more
            return found
        finally:
            os.close(fd)

    def open_read(self, path: Path) -> ReadFile:
        """Open for reading many times."""
        return DiskReadFile(path)

    def same(self, one: Path, other: Path) -> bool:
        """Whether two names are names of one file."""
        try:
            return os.path.samestat(os.lstat(one), os.lstat(other))
        except FileNotFoundError:
            return False

    def number(self, path: Path) -> int:
        """The number that its file system knows a file or folder by."""
        return os.stat(path, follow_symlinks=False).st_ino

    def size(self, path: Path | str) -> int | None:
        """Bytes of a regular file; None if there is none. Links are not followed."""
        try:
            found = os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def list(self, folder: Path) -> list[str]:
        """Sorted names in a folder; [] if there is no such folder."""
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def make_folder(self, folder: Path) -> None:
        """Make a folder and the ones above it, durably."""
        if folder.is_dir():
            # A stop may have come between making it and the sync. What lies above what we may read, others made.
            with contextlib.suppress(PermissionError):
                self.sync_folder(folder.parent)
            return
        self.make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        self.sync_folder(folder.parent)

    def rename(self, source: Path, target: Path) -> None:
        """Rename, replacing the target."""
        os.replace(source, target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; never overwrites."""
        os.link(source, target)

    def remove(self, path: Path) -> None:
        """Remove a name."""
        os.unlink(path)

    def remove_folder(self, folder: Path) -> None:
        """Remove an empty folder."""
        os.rmdir(folder)

    def sync_folder(self, folder: Path) -> None:
        """Make the entries of a folder durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_durably(files: Files, path: Path, data: bytes) -> None:
    """Put a whole file in place: under a temporary name first, so that a reader sees all of it or none.

    The temporary name ends in `.part`; whoever owns the folder removes leftovers at start.
    """
    part = path.with_name(path.name + ".part")
    if files.same(part, part):  # it is there; the folder may have hundreds of thousands of names to be listed
        files.remove(part)
    file = files.open_append(part)
    try:
        file.append(data)
        file.sync()
    finally:
        file.close()
    files.rename(part, path)
    files.sync_folder(path.parent)

"""The file operations that the spool's durability rests on, in one place, so that tests can stop after any of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class AppendFile(Protocol):
    """A file open for appending by one writer."""

    @property
    def size(self) -> int:
        """Bytes in the file, synced or not."""
        ...

    def append(self, data: bytes) -> None:
        """Append all of `data`; after an OSError the end of the file is unknown until `truncate`."""
        ...

    def sync(self) -> None:
        """Make the content durable; after an OSError nothing is known of what is, and it must not be tried again."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes; durable only after `sync`."""
        ...

    def close(self) -> None:
        """Close without syncing."""
        ...


class Files(Protocol):
    """File operations on paths. Errors are OSError, as the operating system gives them."""

    def open_append(self, path: Path) -> AppendFile:
        """Open for appending, made (0600) if it isn't there; its folder entry is durable only after `sync_folder`."""
        ...

    def read_range(self, path: Path, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer at the end of the file."""
        ...

    def size(self, path: Path) -> int | None:
        """Bytes of a file; None if there is none."""
        ...

    def list(self, folder: Path) -> list[str]:
        """Sorted names in a folder."""
        ...

    def make_folder(self, folder: Path) -> None:
        """Make a folder (0700) and the ones above it; its entry is durable when it returns, also if it was there."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Rename, replacing the target; durable only after `sync_folder`."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a name; durable only after `sync_folder`."""
        ...

    def sync_folder(self, folder: Path) -> None:
        """Make the entries of a folder durable."""
        ...


class _DiskFile:
    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size

    @property
    def size(self) -> int:
        return self._size

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._fd, view)
            self._size += written
            view = view[written:]

    def sync(self) -> None:
        # macOS has no fdatasync.
        getattr(os, "fdatasync", os.fsync)(self._fd)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        self._size = size

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class DiskFiles:
    """The operating system's file system."""

    def open_append(self, path: Path) -> AppendFile:
        """Open for appending, made (0600) if it isn't there."""
        return _DiskFile(path)

    def read_range(self, path: Path, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer at the end of the file."""
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def size(self, path: Path) -> int | None:
        """Bytes of a file; None if there is none."""
        try:
            return path.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            return None

    def list(self, folder: Path) -> list[str]:
        """Sorted names in a folder."""
        return sorted(os.listdir(folder))

    def make_folder(self, folder: Path) -> None:
        """Make a folder (0700) and the ones above it."""
        if not folder.is_dir():
            self.make_folder(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
        try:
            self.sync_folder(folder.parent)
        except PermissionError:
            return  # what lies above what we may read, others made

    def rename(self, source: Path, target: Path) -> None:
        """Rename, replacing the target."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Remove a name."""
        os.unlink(path)

    def sync_folder(self, folder: Path) -> None:
        """Make the entries of a folder durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

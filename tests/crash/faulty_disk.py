"""Disks that fail: a small real one that can be full or read-only, and files whose writes and syncs fail at will."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from server.files import AppendFile, DiskAppendFile, DiskFiles

DISK_BYTES = 16 * 1024 * 1024


class SmallDisk:
    """A file system of DISK_BYTES in memory, mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free_bytes(self) -> int:
        """What is left."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Take all space but `leave` bytes."""
        with self._ballast.open("ab") as file:
            while (room := self.free_bytes - leave) > 0:
                # A server that runs on it may take some of it in between, and then less is to be taken.
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), file.tell(), room)
                    return

    def clear(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink()

    def remount(self, mode: str) -> None:
        """Make it `ro` or `rw`; no file on it may be open for writing."""
        _run("mount", "-o", f"remount,{mode}", str(self.path))


@contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """Mount one until the end of the block; where that isn't permitted the test is skipped, and says so."""
    path.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "extaudit-test", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs to mount a small file system, which isn't permitted here: {error}")
    try:
        yield SmallDisk(path)
    finally:
        _run("umount", str(path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=120)


class FaultyFiles(DiskFiles):
    """The real files, until `fault` (an errno) is set: from then on whatever `fails` names raises it."""

    def __init__(self, *fails: str) -> None:
        self.fails = fails
        self.fault = 0
        self.refused = 0
        """Operations that failed for it."""

    def check(self, operation: str) -> None:
        """Fail if this operation is to fail."""
        if self.fault and operation in self.fails:
            self.refused += 1
            raise OSError(self.fault, os.strerror(self.fault))

    def open_append(self, path: Path) -> AppendFile:
        self.check("open")
        return _FaultyFile(path, self)

    def rename(self, source: Path, target: Path) -> None:
        self.check("rename")
        super().rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        self.check("link")
        super().link(source, target)

    def remove(self, path: Path) -> None:
        self.check("remove")
        super().remove(path)


class _FaultyFile(DiskAppendFile):
    def __init__(self, path: Path, files: FaultyFiles) -> None:
        super().__init__(path)
        self._files = files

    def append(self, data: bytes | memoryview) -> None:
        self._files.check("append")
        super().append(data)

    def append_direct(self, *chunks: bytes | memoryview) -> None:
        self._files.check("append")
        super().append_direct(*chunks)

    def sync(self) -> None:
        self._files.check("sync")
        super().sync()

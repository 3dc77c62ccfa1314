"""Files that are only read: whatever would change one is a fault of the program."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from server.files import DiskFiles


class ReadingFiles(DiskFiles):
    """The operating system's files, of which nothing is changed."""

    def open_append(self, path: Path) -> NoReturn:
        """Refuse."""
        raise _refusal()

    def make_folder(self, folder: Path) -> None:
        """Leave it as it is: what isn't there is found to be missing."""

    def rename(self, source: Path, target: Path) -> NoReturn:
        """Refuse."""
        raise _refusal()

    def link(self, source: Path, target: Path) -> NoReturn:
        """Refuse."""
        raise _refusal()

    def remove(self, path: Path) -> NoReturn:
        """Refuse."""
        raise _refusal()

    def remove_folder(self, folder: Path) -> NoReturn:
        """Refuse."""
        raise _refusal()

    def sync_folder(self, folder: Path) -> NoReturn:
        """Refuse."""
        raise _refusal()


def _refusal() -> RuntimeError:
    return RuntimeError("the doctor changes nothing")

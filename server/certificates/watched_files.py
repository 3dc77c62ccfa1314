"""Noticing that files changed, by their signatures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Signature = tuple[int, int, int] | None


class WatchedFiles:
    """Some files that are loaded together. Not safe to use from several threads at once."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._seen: tuple[Signature, ...] | None = None

    def changed(self) -> bool:
        """Whether any differs from the last time this was asked; true the first time.

        Ask before reading: what changes during the reading then counts as changed the next time.
        """
        signatures = tuple(_signature(path) for path in self._paths)
        changed = signatures != self._seen
        self._seen = signatures
        return changed


def _signature(path: Path) -> Signature:
    """Modification time in ns, size and inode; None if the file can't be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)

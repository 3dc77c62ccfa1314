"""Spools on a real disk, and what is in them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from extaudit_client.spool.errors import SpoolInUse
from extaudit_client.spool.files import DiskFiles
from extaudit_client.spool.folder_lock import FolderLock
from extaudit_client.spool.reading import Reader
from extaudit_client.spool.spool import Spool

FILES = DiskFiles()
BOUND = 512 * 1024


def spool(folder: Path, **options: bool) -> Spool:
    return Spool(FILES, folder, max_bytes=BOUND, **options)


def read(opened: Spool, count: int = 10_000) -> list[bytes]:
    reader = Reader(FILES, opened)
    found: list[bytes] = []
    while len(found) < count and (batch := reader.read(min(100, count - len(found)), 1 << 20)).entries:
        found += [entry.event for entry in batch.entries]
    return found


def at_once(threads: int, task: Callable[[int], object]) -> None:
    started = [threading.Thread(target=task, args=(name,)) for name in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.events"))


def in_use(folder: Path) -> bool:
    """Whether somebody has the spool of this folder open."""
    try:
        FolderLock(folder).release()
    except SpoolInUse:
        return True
    return False

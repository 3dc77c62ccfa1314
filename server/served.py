"""Whether a server serves from a data directory, without disturbing one that starts."""

from __future__ import annotations

import os
from pathlib import Path

from server.data_directory import DataDirectory

_LOCKS = Path("/proc/locks")


def is_served(directory: DataDirectory) -> bool | None:
    """Whether a server holds the directory's lock; None where the system doesn't tell.

    Its list of locks is read, as taking the lock, for however short, could refuse a server that starts just now.
    """
    try:
        place = _place(directory.lock_file)
        held = _LOCKS.read_text()
    except FileNotFoundError:
        return False if _LOCKS.exists() else None
    except OSError:
        return None
    return None if place is None else is_locked(held, place)


def is_locked(held: str, place: str) -> bool:
    """Whether the list of locks has one of a whole file at `place`."""
    return any(" FLOCK " in line and f" {place} " in line for line in held.splitlines())


def _place(path: Path) -> str | None:
    """Device and inode as the list of locks has them; None where the file's mount isn't shown.

    The device is that of the mount: what stat says is another one on btrfs and overlays. An inode alone names a file on
    every volume, and on two that were made alike the same one. OSError if there is no such file.
    """
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        inode, told = os.fstat(opened).st_ino, Path(f"/proc/self/fdinfo/{opened}").read_text().splitlines()
    finally:
        os.close(opened)
    mount = next((line.split()[1] for line in told if line.startswith("mnt_id:")), "")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        number, _, device, *_ = line.split()
        if number == mount:
            major, minor = (int(part) for part in device.split(":"))
            return f"{major:02x}:{minor:02x}:{inode}"
    return None

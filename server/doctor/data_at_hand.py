"""What the checks look at: a data directory, its configuration, and what is known of a server on it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from server.audit_log.journal.segments import SUFFIX
from server.config import Config
from server.data_directory import DataDirectory
from server.doctor.findings import Unexamined
from server.files import Files
from server.state.catalogue import Catalogue
from server.state.database import StateFault
from server.state.examining import StateAtHand
from server.storage.ports import EventStorage
from server.storage.recording_port import RecordingStorage

LOG_ID = re.compile(r"[0-9a-f]{20}")
"""The name of a log's folder in the journal."""
_LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class DataAtHand:
    """One data directory. Nothing here changes it."""

    config: Config
    problems: tuple[str, ...]
    """What is wrong with the configuration; `config` has the defaults of what can't be used."""
    config_file: Path | None
    """The file that it was read from, if any."""
    files: Files
    state: StateAtHand
    events: EventStorage
    recordings: RecordingStorage
    now: datetime
    deep: bool
    """Whether to read every object and recording."""
    read: Callable[[int], None]
    """Told the bytes of what was read, as it is read."""

    @property
    def directory(self) -> DataDirectory:
        """The places in it."""
        return DataDirectory(self.config.data_dir)

    @property
    def now_ms(self) -> int:
        """The time, in ms since 1970."""
        return int(self.now.timestamp() * 1000)

    def catalogue(self) -> Catalogue:
        """The catalogue as it is at this moment.

        Raises:
            Unexamined: it can't be read.
        """
        try:
            return self.state.catalogue()
        except StateFault as fault:
            raise unreadable_state() from fault

    def pending(self) -> frozenset[tuple[str, int]]:
        """Log and first sequence of every segment in the journal: what of its batch is stored may not be known yet."""
        folder = self.directory.journal
        return frozenset(
            (log_id, int(name.removesuffix(SUFFIX)))
            for log_id in self.files.list(folder)
            if LOG_ID.fullmatch(log_id)
            for name in self.files.list(folder / log_id)
            if name.endswith(SUFFIX) and name.removesuffix(SUFFIX).isdigit()
        )

    def is_served(self) -> bool | None:
        """Whether a server serves from it; None where the system doesn't tell."""
        return is_served(self.directory)


def is_on_its_way(pending: Collection[tuple[str, int]], log_id: str, first: int, last: int) -> bool:
    """Whether something can be of a batch that a segment is to become: it ends where the next segment begins."""
    following = [start for log, start in pending if log == log_id and start > first]
    return (log_id, first) in pending and (not following or last < min(following))


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


def unreadable_state() -> Unexamined:
    """That a check needs the state database, as this version has it."""
    return Unexamined("the state database can't be read, or is of an earlier version")

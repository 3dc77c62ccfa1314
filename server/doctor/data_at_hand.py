"""What the checks look at: a data directory, its configuration, and what is known of a server on it."""

from __future__ import annotations

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
from server.served import is_served
from server.state.catalogue import Catalogue
from server.state.database import StateFault
from server.state.examining import StateAtHand
from server.storage.ports import EventStorage
from server.storage.recording_port import RecordingStorage

LOG_ID = re.compile(r"[0-9a-f]{20}")
"""The name of a log's folder in the journal."""


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


def unreadable_state() -> Unexamined:
    """That a check needs the state database, as this version has it."""
    return Unexamined("the state database can't be read, or is of an earlier version")

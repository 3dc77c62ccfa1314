"""The uids known from before, so that a retry gets its first acknowledgement and a reused uid is flagged.

Kept: the last `minimum` uids, and all of the last `hours` while they number at most `bound`. Only digests are kept, of
keys that nobody outside knows: 64 bits of the uid, where a collision flags a uid as reused and does no more, and 128
bits of emitter and bytes as received, which alone make an event a retry. The entries of events still in the journal
come back from the journal; those of trimmed segments from files (uid_files.py), which are synced before the trim.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.audit_log.columns.layout import FINGERPRINT, UID_KEY, Table
from server.audit_log.columns.uid_index import (
    ENTRY_COLUMNS,
    KEY,
    LOG,
    NEXT,
    OLDEST,
    PRINT,
    RECEIVED_MS,
    REUSED,
    SEQUENCE,
    claim_all,
    forget_newest,
    forget_oldest,
    insert_all,
    move_all,
)

_HOUR_MS = 3_600_000
_FIRST_ROOM = 1 << 14
_STORED = (KEY, PRINT, PRINT + 1, SEQUENCE, RECEIVED_MS)
RECEIVED = _STORED.index(RECEIVED_MS)
"""The column of `uid_entries` with the time of an event's receipt, in ms."""


@dataclass(frozen=True, slots=True)
class UidLimits:
    """How many uids are kept, and for how long."""

    minimum: int = 1_000_000
    bound: int = 2_000_000
    hours: float = 24
    generation: int = 100_000


class Claims(NamedTuple):
    """What is known of the uids of a table's events, by index in the table."""

    repeated: dict[int, tuple[str, int]]
    """(log_id, sequence) of the first acknowledgement of each event that is a retry."""
    reused: list[int]
    """New events whose uid was known; ascending."""

    def of(self, start: int, end: int) -> Claims:
        """The claims of the events from `start` to before `end`, counted from there."""
        repeated = {event - start: self.repeated[event] for event in range(start, end) if event in self.repeated}
        reused = self.reused[bisect_left(self.reused, start) : bisect_left(self.reused, end)]
        return Claims(repeated, [event - start for event in reused])

    def new(self, count: int) -> NDArray[np.bool_]:
        """For each of `count` events whether it is new."""
        marks = np.ones(count, np.bool_)
        marks[list(self.repeated)] = False
        return marks


ALL_NEW = Claims({}, [])


def uid_entries(table: Table, sequence: int, received_ms: int) -> Table:
    """What is kept of a block's events, the first of which has this sequence; shape (events, 5)."""
    entries = np.empty((len(table), len(_STORED)), np.int64)
    entries[:, 0] = table[:, UID_KEY]
    entries[:, 1:3] = table[:, FINGERPRINT : FINGERPRINT + 2]
    entries[:, 3] = np.arange(sequence, sequence + len(table))
    entries[:, RECEIVED] = received_ms
    return entries


class KnownUids:
    """The table in memory. Used by one thread at a time."""

    def __init__(self, limits: UidLimits) -> None:
        self._limits = limits
        self._logs: list[str] = []
        self._ends = np.zeros(2, np.int64)
        self._entries, self._index = _room(_FIRST_ROOM)

    def __len__(self) -> int:
        return int(self._ends[NEXT] - self._ends[OLDEST])

    def claim(self, table: Table, log_id: str, sequence: int, received_ms: int) -> Claims:
        """Look up the events of a block and, but for retries, remember them, in order, from this sequence on."""
        self._forget_oldest(received_ms)
        self._reserve(len(table))
        outcomes = np.empty(len(table), np.int64)
        log = self._log_number(log_id)
        if not claim_all(table, self._entries, self._index, self._ends, sequence, received_ms, log, outcomes):
            return ALL_NEW
        repeated = {}
        for event in np.flatnonzero(outcomes >= 0).tolist():
            entry = self._entries[outcomes[event]].tolist()
            repeated[event] = (self._logs[entry[LOG]], entry[SEQUENCE])
        return Claims(repeated, np.flatnonzero(outcomes == REUSED).tolist())

    @property
    def claimed(self) -> int:
        """How many events were ever remembered, less those taken back."""
        return int(self._ends[NEXT])

    def forget(self, count: int) -> None:
        """Take back the claims of the last `count` new events, which were not committed."""
        # A group may be larger than what is kept, and its first ones have left already.
        forget_newest(self._entries, self._index, self._ends, min(count, len(self)))

    def add(self, log_id: str, entries: Table) -> None:
        """Remember events that were acknowledged before, as `uid_entries` gives them; adding them again changes
        nothing."""
        if not len(entries):
            return
        self._forget_oldest(int(entries[-1, RECEIVED]))
        self._reserve(len(entries))
        added = np.empty((len(entries), ENTRY_COLUMNS), np.int64)
        added[:, _STORED] = entries
        added[:, LOG] = self._log_number(log_id)
        insert_all(added, self._entries, self._index, self._ends)

    def _log_number(self, log_id: str) -> int:
        if not self._logs or self._logs[-1] != log_id:
            if log_id in self._logs:
                return self._logs.index(log_id)
            self._logs.append(log_id)
        return len(self._logs) - 1

    def _forget_oldest(self, now_ms: int) -> None:
        limits = self._limits
        if len(self) <= limits.minimum:
            return  # without a call that hands the interpreter's lock on
        before_ms = now_ms - int(limits.hours * _HOUR_MS)
        forget_oldest(self._entries, self._index, self._ends, limits.minimum, limits.bound, before_ms)

    def _reserve(self, count: int) -> None:
        """Make room for `count` more: four times as large up to the bound, then half as large again.

        Of larger steps fewer entries are moved, on the journal's thread; rows that nothing was written to take no
        memory.
        """
        wanted, held = len(self) + count, len(self._entries)
        if wanted > held:
            entries, index = _room(max(wanted, held * 3 // 2, min(held * 4, self._limits.bound)))
            move_all(self._entries, self._ends, entries, index)
            self._entries, self._index = entries, index


def _room(size: int) -> tuple[Table, Table]:
    """An empty table for `size` entries and its index, which is at least twice as large."""
    return np.zeros((size, ENTRY_COLUMNS), np.int64), np.zeros(1 << (2 * size - 1).bit_length(), np.int64)

"""The table of known uids in compiled code: entries in the order they came, and an open-addressed index over them.

Entry number n (they are numbered for ever) is at row n % capacity of `entries`. The index holds row + 1, or 0; it is
at least twice as large, and an entry that leaves is closed up behind, so that no marks of deletion pile up.
"""

from __future__ import annotations

from typing import Final

from server.audit_log.columns.compiling import compiled
from server.audit_log.columns.layout import FINGERPRINT, UID_KEY, Table

KEY: Final = 0
PRINT: Final = 1
"""The fingerprint, in two columns."""
SEQUENCE: Final = 3
RECEIVED_MS: Final = 4
LOG: Final = 5
"""Number of the log, as the caller counts logs."""
ENTRY_COLUMNS: Final = 6

NEW: Final = -1
REUSED: Final = -2
OLDEST: Final = 0
NEXT: Final = 1
"""Numbers of the oldest entry and of the one to come, in `ends`."""


@compiled
def claim_all(
    table: Table,
    entries: Table,
    index: Table,
    ends: Table,
    sequence: int,
    received_ms: int,
    log: int,
    outcomes: Table,
) -> int:
    """Look up each event of the table and remember the new ones, in order, from `sequence` on.

    `outcomes` gets for each the row of the entry that it repeats, or NEW, or REUSED for a new one whose uid was known.
    There must be room for all. Gives the number of those that aren't new.
    """
    mask = len(index) - 1
    told = 0
    for event in range(len(table)):
        key, low, high = table[event, UID_KEY], table[event, FINGERPRINT], table[event, FINGERPRINT + 1]
        outcomes[event] = NEW
        place = key & mask
        while index[place] != 0:
            row = index[place] - 1
            if entries[row, KEY] == key:
                if entries[row, PRINT] == low and entries[row, PRINT + 1] == high:
                    outcomes[event] = row
                    break
                outcomes[event] = REUSED
            place = (place + 1) & mask
        told += outcomes[event] != NEW
        if outcomes[event] >= 0:
            continue
        row = ends[NEXT] % len(entries)
        entries[row, KEY], entries[row, PRINT], entries[row, PRINT + 1] = key, low, high
        entries[row, SEQUENCE], entries[row, RECEIVED_MS], entries[row, LOG] = sequence, received_ms, log
        index[place] = row + 1
        ends[NEXT] += 1
        sequence += 1
    return told


@compiled
def insert_all(added: Table, entries: Table, index: Table, ends: Table) -> None:
    """Add entries that are known from before, with all their columns; those that are there already change nothing."""
    mask = len(index) - 1
    for number in range(len(added)):
        key, low, high = added[number, KEY], added[number, PRINT], added[number, PRINT + 1]
        place = key & mask
        known = False
        while index[place] != 0 and not known:
            row = index[place] - 1
            known = entries[row, KEY] == key and entries[row, PRINT] == low and entries[row, PRINT + 1] == high
            place = (place + 1) & mask
        if known:
            continue
        row = ends[NEXT] % len(entries)
        for column in range(ENTRY_COLUMNS):
            entries[row, column] = added[number, column]
        index[place] = row + 1
        ends[NEXT] += 1


@compiled
def _take_out(entries: Table, index: Table, row: int) -> None:
    mask = len(index) - 1
    place = entries[row, KEY] & mask
    while index[place] != row + 1:
        place = (place + 1) & mask
    index[place] = 0
    gap = place
    while True:
        place = (place + 1) & mask
        if index[place] == 0:
            return
        home = entries[index[place] - 1, KEY] & mask
        # Whoever's own place isn't between the gap and here would no longer be found behind the gap.
        if (place - home) & mask >= (place - gap) & mask:
            index[gap] = index[place]
            index[place] = 0
            gap = place


@compiled
def forget_newest(entries: Table, index: Table, ends: Table, count: int) -> None:
    """Take back the last `count` entries."""
    for _ in range(count):
        ends[NEXT] -= 1
        _take_out(entries, index, ends[NEXT] % len(entries))


@compiled
def forget_oldest(entries: Table, index: Table, ends: Table, minimum: int, bound: int, before_ms: int) -> None:
    """Forget what is beyond the bound, and beyond the minimum what was received before a time."""
    while ends[NEXT] - ends[OLDEST] > minimum:
        row = ends[OLDEST] % len(entries)
        if ends[NEXT] - ends[OLDEST] <= bound and entries[row, RECEIVED_MS] >= before_ms:
            return
        _take_out(entries, index, row)
        ends[OLDEST] += 1


@compiled
def move_all(entries: Table, ends: Table, target: Table, index: Table) -> None:
    """Copy all entries to a larger table and its (empty) index, each keeping its number."""
    mask = len(index) - 1
    for number in range(ends[OLDEST], ends[NEXT]):
        row, source = number % len(target), number % len(entries)
        for column in range(ENTRY_COLUMNS):
            target[row, column] = entries[source, column]
        place = target[row, KEY] & mask
        while index[place] != 0:
            place = (place + 1) & mask
        index[place] = row + 1

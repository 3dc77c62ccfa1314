"""The table of known uids in compiled code: entries in the order they came, and an open-addressed index over them.

Entry number n (they are numbered for ever) is at row n % capacity of `entries`. Of the entries of one uid the newest
is in the index at its uid's key, as row + 1, and knows the one before; the others are there at their fingerprints, as
-row - 1. So a uid that comes a million times takes no longer to look up than a million uids. The index, 0 where it is
free, is at least twice as large as the table, and an entry that leaves is closed up behind, so that no marks of
deletion pile up.
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
BEFORE: Final = 6
"""Number of the entry of the same uid before it, which may have left; -1 if there was none."""
ENTRY_COLUMNS: Final = 7

NEW: Final = -1
REUSED: Final = -2
OLDEST: Final = 0
NEXT: Final = 1
"""Numbers of the oldest entry and of the one to come, in `ends`."""


@compiled
def _newest(entries: Table, index: Table, key: int) -> int:
    """The place in the index of the newest entry of a uid, or the free one where it belongs."""
    mask = len(index) - 1
    place: int = key & mask
    while index[place] != 0 and (index[place] < 0 or entries[index[place] - 1, KEY] != key):
        place = (place + 1) & mask
    return place


@compiled
def _find(entries: Table, index: Table, place: int, key: int, low: int, high: int) -> int:
    """The row of the entry with this key and fingerprint, or -1; `place` is that of the newest one of its uid."""
    if index[place] == 0:
        return -1
    row: int = index[place] - 1
    mask = len(index) - 1
    place = low & mask
    while entries[row, KEY] != key or entries[row, PRINT] != low or entries[row, PRINT + 1] != high:
        while index[place] > 0:
            place = (place + 1) & mask
        if index[place] == 0:
            return -1
        row = -1 - index[place]
        place = (place + 1) & mask
    return row


@compiled
def _add(entries: Table, index: Table, number: int, place: int) -> None:
    """Bring the newest entry into the index at `place`, that of the newest one of its uid until now."""
    row, before, mask = number % len(entries), index[place] - 1, len(index) - 1
    index[place] = row + 1
    entries[row, BEFORE] = -1
    if before >= 0:
        entries[row, BEFORE] = number - (row - before) % len(entries)
        place = entries[before, PRINT] & mask
        while index[place] != 0:
            place = (place + 1) & mask
        index[place] = -1 - before


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
    told = 0
    for event in range(len(table)):
        key, low, high = table[event, UID_KEY], table[event, FINGERPRINT], table[event, FINGERPRINT + 1]
        place = _newest(entries, index, key)
        known = _find(entries, index, place, key, low, high)
        outcomes[event] = known if known >= 0 else NEW if index[place] == 0 else REUSED
        told += outcomes[event] != NEW
        if known >= 0:
            continue
        row = ends[NEXT] % len(entries)
        entries[row, KEY], entries[row, PRINT], entries[row, PRINT + 1] = key, low, high
        entries[row, SEQUENCE], entries[row, RECEIVED_MS], entries[row, LOG] = sequence, received_ms, log
        _add(entries, index, ends[NEXT], place)
        ends[NEXT] += 1
        sequence += 1
    return told


@compiled
def insert_all(added: Table, entries: Table, index: Table, ends: Table) -> None:
    """Add entries that are known from before, their columns up to LOG; those that are there already change nothing."""
    for number in range(len(added)):
        key, low, high = added[number, KEY], added[number, PRINT], added[number, PRINT + 1]
        place = _newest(entries, index, key)
        if _find(entries, index, place, key, low, high) >= 0:
            continue
        row = ends[NEXT] % len(entries)
        for column in range(LOG + 1):
            entries[row, column] = added[number, column]
        _add(entries, index, ends[NEXT], place)
        ends[NEXT] += 1


@compiled
def _home(entries: Table, found: int) -> int:
    """Where an entry belongs, by what the index holds of it."""
    home: int = entries[found - 1, KEY] if found > 0 else entries[-1 - found, PRINT]
    return home


@compiled
def _take_out(entries: Table, index: Table, row: int) -> None:
    mask = len(index) - 1
    place = _newest(entries, index, entries[row, KEY])
    if index[place] != row + 1:
        place = entries[row, PRINT] & mask
        while index[place] != -1 - row:
            place = (place + 1) & mask
    index[place] = 0
    gap = place
    while True:
        place = (place + 1) & mask
        if index[place] == 0:
            return
        home = _home(entries, index[place]) & mask
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
        row = ends[NEXT] % len(entries)
        _take_out(entries, index, row)
        if entries[row, BEFORE] >= ends[OLDEST]:
            # The one before is the newest of its uid again.
            before = entries[row, BEFORE] % len(entries)
            _take_out(entries, index, before)
            index[_newest(entries, index, entries[before, KEY])] = before + 1


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
    for number in range(ends[OLDEST], ends[NEXT]):
        row, source = number % len(target), number % len(entries)
        for column in range(LOG + 1):
            target[row, column] = entries[source, column]
        _add(target, index, number, _newest(target, index, target[row, KEY]))

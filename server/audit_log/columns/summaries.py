"""Sums and bounds over the events of a table, in compiled code: one call costs less than one of NumPy's."""

from __future__ import annotations

from server.audit_log.columns.compiling import brief, compiled
from server.audit_log.columns.layout import END, SESSION, START, TIME_MS, TYPE, UID, USER, Table


@brief
def summary(table: Table) -> tuple[int, int, int]:
    """Bytes of JSON, and the earliest and the latest time of an event in ms since 1970; zeros for none."""
    size, first, last = 0, 0, 0
    for event in range(len(table)):
        size += table[event, END] - table[event, START]
        time = table[event, TIME_MS]
        first = time if event == 0 else min(first, time)
        last = time if event == 0 else max(last, time)
    return size, first, last


@compiled
def shift_offsets(table: Table, owners: Table, shifts: Table) -> None:
    """Add to each event's offsets the shift of its owner."""
    for event in range(len(table)):
        shift = shifts[owners[event]]
        table[event, START] += shift
        table[event, END] += shift
        table[event, TYPE] += shift
        table[event, UID] += shift
        table[event, SESSION] += shift
        table[event, USER] += shift

"""The events of some types among those of a table, in compiled code: most tables have none."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from server.audit_log.columns.compiling import compiled
from server.audit_log.columns.layout import TYPE, Bytes, Table


class TypeSelection:
    """Finds the events whose type is one of a few."""

    def __init__(self, types: Iterable[str]) -> None:
        names = sorted(name.encode() for name in types)
        self._names = np.frombuffer(b"".join(names), np.uint8)
        self._ends = np.array([0, *accumulate(map(len, names))])

    def rows(self, data: Bytes, table: Table) -> NDArray[np.int64]:
        """The numbers of the rows, ascending."""
        found = np.empty(len(table), np.int64)
        return found[: _select(data, table, self._names, self._ends, found)]


@compiled
def _select(data: Bytes, table: Table, names: Bytes, ends: Table, found: Table) -> int:
    count = 0
    for event in range(len(table)):
        start, length = table[event, TYPE], table[event, TYPE + 1]
        for number in range(len(ends) - 1):
            if ends[number + 1] - ends[number] != length:
                continue
            same = True
            for index in range(length):
                if data[start + index] != names[ends[number] + index]:
                    same = False
                    break
            if same:
                found[count] = event
                count += 1
                break
    return count

"""The columns of a batch out of the tables of its blocks, in the order of its rows, in compiled code."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from server.audit_log.columns.compiling import compiled
from server.audit_log.columns.copying import copy_into
from server.audit_log.columns.layout import UID, Bytes, Table
from server.audit_log.columns.siphash import Words

Offsets: TypeAlias = NDArray[np.int32]


@compiled
def uid_prefixes(data: Bytes, table: Table, prefixes: Words) -> None:
    """The first bytes of each uid as big-endian numbers of eight, so that they sort as the texts do.

    Args:
        data: the blocks' buffers, one after the other.
        table: offsets into it.
        prefixes: shape (numbers for each uid, events).
    """
    for event in range(len(table)):
        uid = data[table[event, UID] : table[event, UID] + table[event, UID + 1]]
        for number in range(len(prefixes)):
            value = np.uint64(0)
            for index in range(8):
                value = value << np.uint64(8)
                if 8 * number + index < len(uid):
                    value = value | np.uint64(uid[8 * number + index])
            prefixes[number, event] = value


@compiled
def gather_texts(data: Bytes, starts: Table, lengths: Table, offsets: Offsets, out: Bytes) -> None:
    """Copy texts one after the other; `offsets` (one more than texts) gets where each begins."""
    at = 0
    for number in range(len(starts)):
        offsets[number] = at
        start, length = starts[number], lengths[number]
        copy_into(out, at, data[start : start + length])
        at += length
    offsets[len(starts)] = at

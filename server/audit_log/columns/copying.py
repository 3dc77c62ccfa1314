"""Copies of bytes, and words read from them, in forms that the compiler makes machine instructions of.

Indexes are counted from 0 in slices, or are unsigned: for a signed one the compiler must ask each time whether it is
below zero, and then copies a byte at a time, forty times as slow.
"""

from __future__ import annotations

import numpy as np

from server.audit_log.columns.compiling import compiled, inlined
from server.audit_log.columns.layout import Bytes

_1, _2, _3, _4, _5, _6, _7 = (np.uint64(n) for n in range(1, 8))
_8, _16, _24, _32, _40, _48, _56 = (np.uint64(8 * n) for n in range(1, 8))


@inlined
def signed(number: np.uint64 | np.uint8) -> int:
    """The same number with a sign, as Python's numbers have: of two kinds mixed the compiler makes a fraction."""
    return np.int64(number)  # type: ignore[return-value]  # compiled code knows no other int


@compiled
def copy_into(out: Bytes, at: int, source: Bytes) -> None:
    """Copy all of `source` to out[at:]."""
    target = out[at : at + len(source)]
    for index in range(len(target)):
        target[index] = source[index]


@inlined
def word_at(data: Bytes, at: np.uint64) -> np.uint64:
    """The eight bytes from `at` on as a little-endian number."""
    return (
        np.uint64(data[at])
        | np.uint64(data[at + _1]) << _8
        | np.uint64(data[at + _2]) << _16
        | np.uint64(data[at + _3]) << _24
        | np.uint64(data[at + _4]) << _32
        | np.uint64(data[at + _5]) << _40
        | np.uint64(data[at + _6]) << _48
        | np.uint64(data[at + _7]) << _56
    )

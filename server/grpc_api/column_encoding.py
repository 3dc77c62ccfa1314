"""Columns as protobuf writes repeated fields, in compiled code: without a Python object for each value, and without the
global lock, while other calls go on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from server.audit_log.batch_decoding import Numbers, Offsets, Texts
from server.audit_log.columns.compiling import compiled, frozen
from server.audit_log.columns.copying import copy_into
from server.audit_log.columns.layout import Bytes

_LENGTH_DELIMITED = 2
_LARGEST_FIELD = 15
"""Tags of larger ones take more than a byte."""
_NUMBER_BYTES = 10
_LENGTH_BYTES = 5


def encoded_columns(numbers: Sequence[tuple[int, Numbers]], texts: Sequence[tuple[int, Texts]]) -> memoryview:
    """Repeated fields one after the other: numbers (int64 or uint64, packed) and texts, each with its field number.

    Raises:
        ValueError: a field number above 15.
    """
    size = sum(1 + _LENGTH_BYTES + _NUMBER_BYTES * len(each) for _, each in numbers)
    size += sum((1 + _LENGTH_BYTES) * len(each.offsets) + len(each.data) for _, each in texts)
    out = np.empty(size, np.uint8)
    at = 0
    for field, values in numbers:
        at = write_numbers(out, at, _tag(field), frozen(values))
    for field, column in texts:
        at = write_texts(out, at, _tag(field), frozen(column.offsets), frozen(column.data))
    return out[:at].data


def _tag(field: int) -> int:
    if field > _LARGEST_FIELD:
        raise ValueError("the tag of this field takes more than a byte")
    return field << 3 | _LENGTH_DELIMITED


@compiled
def write_varint(out: Bytes, at: int, value: np.uint64) -> int:
    """Write a number to out[at:]; gives where it ends."""
    while value > np.uint64(127):
        out[at] = value & np.uint64(127) | np.uint64(128)
        value = value >> np.uint64(7)
        at += 1
    out[at] = value
    return at + 1


@compiled
def write_numbers(out: Bytes, at: int, tag: int, numbers: Numbers) -> int:
    """Write one packed field to out[at:], nothing where there are no numbers; gives where it ends."""
    if len(numbers) == 0:
        return at
    size = np.uint64(0)
    for number in numbers:
        value = np.uint64(number)
        size += np.uint64(1)
        while value > np.uint64(127):
            value = value >> np.uint64(7)
            size += np.uint64(1)
    out[at] = tag
    at = write_varint(out, at + 1, size)
    for number in numbers:
        at = write_varint(out, at, np.uint64(number))
    return at


@compiled
def write_texts(out: Bytes, at: int, tag: int, offsets: Offsets, data: Bytes) -> int:
    """Write each text as one field to out[at:]; gives where the last one ends."""
    first = np.int64(offsets[0])
    for index in range(len(offsets) - 1):
        start, end = np.int64(offsets[index]) - first, np.int64(offsets[index + 1]) - first
        out[at] = tag
        text = data[start:end]
        at = write_varint(out, at + 1, np.uint64(len(text)))
        copy_into(out, at, text)
        at += len(text)
    return at

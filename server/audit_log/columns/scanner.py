"""The strict scan of an event's JSON: one pass, in place.

It says yes only to what `event.parse_event` accepts, with the same columns; whatever is rare, odd or wrong it leaves to
that. So a rule that is missing here makes an event slow, never wrong.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from server.audit_log.columns.compiling import compiled, inlined
from server.audit_log.columns.copying import word_at
from server.audit_log.columns.layout import (
    END,
    SESSION,
    START,
    TIME_MS,
    TYPE,
    UID,
    USER,
    Bytes,
    Table,
)
from server.audit_log.columns.texts import CLEAN, ESCAPED, end_of_number, end_of_string, time_of

MAX_DEPTH: Final = 64
MOST_KEYS: Final = 64
"""Keys of one object; each is compared with those before it."""
ALL_KEYS: Final = MAX_DEPTH * MOST_KEYS
_MOST_TYPE: Final = 256
_MOST_SESSION: Final = 256
_MOST_UID: Final = 128

_KEY_OR_END, _KEY, _VALUE, _VALUE_OR_END, _AFTER = 0, 1, 2, 3, 4
_OTHER, _EVENT, _TIME, _UID, _SID, _USER, _SERVER, _FORWARDED, _ODD = 0, 1, 2, 3, 4, 5, 6, 7, 8
_NAMES: Final = b"eventtimeuidsiduserserver_idforwarded_by"
_NAMES_ARRAY = np.frombuffer(_NAMES, np.uint8)
_NAME_STARTS = np.array([0, 0, 5, 9, 12, 15, 19, 28, 40])
_BYTE, _SEVEN, _TOP = np.uint64(8), np.uint64(7), np.uint64(56)
_FIRST = np.array([(1 << 8 * count) - 1 for count in range(8)], np.uint64)
"""What is left of a word's first bytes, by their number."""
_RESERVED = np.frombuffer(b"extaudit.", np.uint8)


@inlined
def column_of_key(data: Bytes, start: int, length: int) -> int:
    """Which column, or speaker, a key names; _ODD for one that differs from such a key only in case."""
    first = data[np.uint64(start)] | 32 if length else 0
    if length == 5 and first == 101:
        return _match(data, start, _EVENT)
    if length == 4:
        if first == 116:
            return _match(data, start, _TIME)
        if first == 117:
            return _match(data, start, _USER)
    elif length == 3:
        if first == 117:
            return _match(data, start, _UID)
        if first == 115:
            return _match(data, start, _SID)
    elif length == 9 and first == 115:
        return _match(data, start, _SERVER)
    elif length == 12 and first == 102:
        return _match(data, start, _FORWARDED)
    return _OTHER


@compiled
def _match(data: Bytes, start: int, column: int) -> int:
    """The column if the key there is its name, _ODD if only letter case tells them apart, else _OTHER."""
    first, last = _NAME_STARTS[column], _NAME_STARTS[column + 1]
    same = True
    for index in range(last - first):
        byte, wanted = data[start + index], _NAMES_ARRAY[first + index]
        if byte != wanted:
            same = False
            if not 65 <= byte <= 90 or byte + 32 != wanted:
                return _OTHER
    return column if same else _ODD


@inlined
def is_new_key(data: Bytes, start: int, length: int, keys: Table, first: int, count: int) -> bool:
    """Whether none of keys[first:count] is the same as this one; the caller puts it at keys[count]."""
    key, size = np.uint64(start), np.uint64(length)
    if key + _BYTE <= np.uint64(len(data)):
        mark = word_at(data, key) & _FIRST[min(size, _SEVEN)] | size << _TOP
    else:
        mark = size << _TOP
        for index in range(min(size, _SEVEN)):
            mark |= np.uint64(data[key + index]) << index * _BYTE
    marked = np.int64(mark)
    for other in range(np.uint64(first), np.uint64(count)):
        if keys[other, 2] != marked or keys[other, 1] != length:
            continue
        before = np.uint64(keys[other, 0])
        same = True
        for index in range(_SEVEN, size):
            if data[before + index] != data[key + index]:
                same = False
                break
        if same:
            return False
    keys[np.uint64(count), 0], keys[np.uint64(count), 1], keys[np.uint64(count), 2] = start, length, marked
    return True


@inlined
def _is_space(byte: int) -> bool:
    return byte == 32 or byte == 9 or byte == 10 or byte == 13


@compiled
def take_column(
    data: Bytes, start: int, end: int, column: int, kind: int, newest_ms: int, own: Bytes, reserved: bool, row: Table
) -> bool:
    """Take a text into its column; False if it must be looked at by the exact rules."""
    length = end - start
    if kind & ESCAPED:
        return False
    if column == _EVENT:
        if length < 1 or length > _MOST_TYPE:
            return False
        if length >= 9 and not reserved:
            begins = True
            for index in range(9):
                if data[start + index] != _RESERVED[index]:
                    begins = False
                    break
            if begins:
                return False
        row[TYPE], row[TYPE + 1] = start, length
    elif column == _TIME:
        time_ms = time_of(data, start, end)
        if time_ms < 0 or time_ms > newest_ms:
            return False
        row[TIME_MS] = time_ms
    elif column == _UID:
        if length < 1 or length > _MOST_UID:
            return False
        for index in range(np.uint64(start), np.uint64(end)):
            if data[index] < 0x21 or data[index] > 0x7E:
                return False
        row[UID], row[UID + 1] = start, length
    elif column == _SID:
        if length > _MOST_SESSION:
            return False
        row[SESSION], row[SESSION + 1] = start, length
    elif column == _USER:
        row[USER], row[USER + 1] = start, length
    elif column == _SERVER and len(own):
        if length != len(own):
            return False
        for index in range(length):
            if data[start + index] != own[index]:
                return False
    elif column == _FORWARDED and len(own):
        return False
    return True


@compiled
def scan_event(
    data: Bytes,
    start: int,
    end: int,
    newest_ms: int,
    own: Bytes,
    reserved: bool,
    keys: Table,
    bases: Table,
    row: Table,
) -> bool:
    """Scan data[start:end]; True if it is an event by all the rules, whose columns are then in `row`.

    Args:
        data: the buffer.
        start, end: where the JSON is.
        newest_ms: the latest time that an event may have.
        own: for a component the one server id it may speak for; empty for others.
        reserved: whether its type may begin as those of the service's own events do.
        keys: room for ALL_KEYS rows of three.
        bases: room for MAX_DEPTH + 2 numbers.
        row: the event's row of the table.
    """
    if end - start < 2 or data[start] != 123 or data[end - 1] != 125:
        return False
    row[START], row[END], row[TIME_MS] = start, end, -1
    row[TYPE + 1], row[UID + 1] = 0, 0
    row[SESSION], row[SESSION + 1], row[USER], row[USER + 1] = start, 0, start, 0
    depth, count, column = 1, 0, _OTHER
    bases[1] = 0
    state = _KEY_OR_END
    at = start + 1
    while at < end:
        byte = data[np.uint64(at)]
        if byte <= 32:
            if not _is_space(byte):
                return False
            at += 1
            continue
        if state == _AFTER:
            if byte == 44:
                state = _KEY if bases[depth] >= 0 else _VALUE
                at += 1
                continue
            if (byte == 125 and bases[depth] >= 0) or (byte == 93 and bases[depth] < 0):
                count = bases[depth] if byte == 125 else -1 - bases[depth]
                depth -= 1
                at += 1
                if depth == 0:
                    return at == end and row[TIME_MS] >= 0 and row[TYPE + 1] > 0 and row[UID + 1] > 0
                continue
            return False
        if state == _KEY_OR_END and byte == 125:
            state = _AFTER
            continue
        if state <= _KEY:
            if byte != 34:
                return False
            close, kind = end_of_string(data, at + 1, end)
            if close < 0 or kind != CLEAN or count - bases[depth] >= MOST_KEYS:
                return False
            if not is_new_key(data, at + 1, close - at - 1, keys, bases[depth], count):
                return False
            column = column_of_key(data, at + 1, close - at - 1) if depth == 1 else _OTHER
            if column == _ODD:
                return False
            count += 1
            at = close + 1
            while at < end and data[np.uint64(at)] != 58 and _is_space(data[np.uint64(at)]):
                at += 1
            if at >= end or data[np.uint64(at)] != 58:
                return False
            at += 1
            state = _VALUE
            continue
        if state == _VALUE_OR_END and byte == 93:
            state = _AFTER
            continue
        if byte == 34:
            close, kind = end_of_string(data, at + 1, end)
            if close < 0:
                return False
            if column != _OTHER:
                if not take_column(data, at + 1, close, column, kind, newest_ms, own, reserved, row):
                    return False
                column = _OTHER
            at = close + 1
            state = _AFTER
            continue
        if column != _OTHER and (column < _SERVER or len(own)):
            return False
        column = _OTHER
        if byte == 123 or byte == 91:
            if depth >= MAX_DEPTH:
                return False
            depth += 1
            if byte == 123:
                bases[depth] = count
                state = _KEY_OR_END
            else:
                # Below zero says that it is a list; the count of keys goes on where it was.
                bases[depth] = -1 - count
                state = _VALUE_OR_END
            at += 1
            continue
        if byte == 45 or 48 <= byte <= 57:
            at = end_of_number(data, at, end)
        elif byte == 116:
            at = end_of_word(data, at, end, 0, 4)
        elif byte == 102:
            at = end_of_word(data, at, end, 4, 9)
        elif byte == 110:
            at = end_of_word(data, at, end, 9, 13)
        else:
            return False
        if at < 0:
            return False
        state = _AFTER
    return False


_WORDS = np.frombuffer(b"truefalsenull", np.uint8)


@compiled
def end_of_word(data: Bytes, start: int, end: int, first: int, last: int) -> int:
    """Where the word _WORDS[first:last] at `start` ends; -1 if it isn't there."""
    if start + last - first > end:
        return -1
    for index in range(last - first):
        if data[start + index] != _WORDS[first + index]:
            return -1
    return start + last - first

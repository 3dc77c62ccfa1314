"""The ends of strings and numbers in JSON, and RFC 3339 times, in compiled code."""

from __future__ import annotations

from typing import Final

import numpy as np

from server.audit_log.columns.compiling import compiled, inlined
from server.audit_log.columns.copying import signed
from server.audit_log.columns.instructions import lowest_bit, special_bytes
from server.audit_log.columns.layout import Bytes

CLEAN: Final = 0
ESCAPED: Final = 1
"""It has a backslash, so its text isn't its bytes."""
WIDE: Final = 2
"""It has other than ASCII characters."""
_MOST_DIGITS: Final = 100

_PLAIN: Final = np.ones(256, np.uint8)
_PLAIN[:32] = 0
_PLAIN[[34, 92]] = 0
_PLAIN[128:] = 0
_ESCAPES: Final = np.zeros(256, np.uint8)
_ESCAPES[list(b'"\\/bfnrt')] = 1
_HEX: Final = np.full(256, 255, np.uint8)
for _digit in range(16):
    _HEX[ord(f"{_digit:x}")] = _HEX[ord(f"{_digit:X}")] = _digit
_ONE, _BLOCK = np.uint64(1), np.uint64(64)
_DAYS_BEFORE: Final = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365])


@compiled
def are_ascii(types: Bytes, uids: Bytes, session_ids: Bytes, users: Bytes, json: Bytes) -> bool:
    """Whether no byte of any is above 127; all columns in one call, as each may wait for Python's lock after it."""
    return not (_has_wide(types) or _has_wide(uids) or _has_wide(session_ids) or _has_wide(users) or _has_wide(json))


@compiled
def _has_wide(data: Bytes) -> bool:
    found = False
    for index in range(len(data)):
        found |= data[index] >= 128  # without a way out the compiler looks at 64 bytes at once
    return found


@inlined
def end_of_string(data: Bytes, start: int, end: int) -> tuple[int, int]:
    """Where the closing quote of a string is whose text begins at `start`, and what kind of text it is.

    (-1, 0) if it isn't valid JSON in valid UTF-8, or has an escaped surrogate.
    """
    at, kind = start, CLEAN
    while True:
        at = _end_of_plain(data, at, end)
        if at >= end:
            return -1, 0
        byte = data[np.uint64(at)]
        if byte == 34:
            return at, kind
        if byte == 92:
            kind |= ESCAPED
            at = _end_of_escape(data, at, end)
            if at < 0:
                return -1, 0
        elif byte >= 128:
            kind |= WIDE
            at = _end_of_character(data, at, end)
            if at < 0:
                return -1, 0
        else:
            return -1, 0


@inlined
def _end_of_plain(data: Bytes, start: int, end: int) -> int:
    """Where the first byte is that is a control character, a quote, a backslash or not ASCII; `end` if there is none.

    Looked at 64 at a time, whatever follows them in the buffer; near its end each by itself.
    """
    at, size = np.uint64(start), np.uint64(end)
    while at + _BLOCK <= np.uint64(len(data)):
        special = special_bytes(data, at)
        if special:
            return signed(min(at + lowest_bit(special), size))
        at += _BLOCK
        if at >= size:
            return signed(size)
    while at < size and _PLAIN[data[at]]:
        at += _ONE
    return signed(at)


@compiled
def _end_of_escape(data: Bytes, at: int, end: int) -> int:
    if at + 1 >= end:
        return -1
    if _ESCAPES[data[at + 1]]:
        return at + 2
    if data[at + 1] != 117 or at + 6 > end:
        return -1
    high, low = _HEX[data[at + 2]], _HEX[data[at + 3]]
    if high > 15 or low > 15 or _HEX[data[at + 4]] > 15 or _HEX[data[at + 5]] > 15:
        return -1
    # Surrogates must come in pairs, which is looked at elsewhere.
    return -1 if high == 13 and low >= 8 else at + 6


@compiled
def _end_of_character(data: Bytes, at: int, end: int) -> int:
    """Where a character of two to four bytes ends, by the table of well-formed UTF-8 (Unicode, table 3-7)."""
    lead = data[at]
    low, high = 0x80, 0xBF
    if 0xC2 <= lead <= 0xDF:
        more = 1
    elif 0xE0 <= lead <= 0xEF:
        more = 2
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            high = 0x9F
    elif 0xF0 <= lead <= 0xF4:
        more = 3
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F
    else:
        return -1
    if at + more >= end or data[at + 1] < low or data[at + 1] > high:
        return -1
    for index in range(2, more + 1):
        if data[at + index] < 0x80 or data[at + index] > 0xBF:
            return -1
    return at + more + 1


@compiled
def end_of_number(data: Bytes, start: int, end: int) -> int:
    """Where a number without exponent and of at most _MOST_DIGITS characters ends; -1 for any other."""
    at = start
    if data[at] == 45:
        at += 1
    if at >= end or data[at] < 48 or data[at] > 57:
        return -1
    if data[at] == 48:
        at += 1
        if at < end and 48 <= data[at] <= 57:
            return -1
    else:
        while at < end and 48 <= data[at] <= 57:
            at += 1
    if at < end and data[at] == 46:
        at += 1
        if at >= end or data[at] < 48 or data[at] > 57:
            return -1
        while at < end and 48 <= data[at] <= 57:
            at += 1
    if at < end and (data[at] == 101 or data[at] == 69):
        return -1
    return at if at - start <= _MOST_DIGITS else -1


@compiled
def _number_at(data: Bytes, start: int, length: int) -> int:
    value = 0
    for index in range(np.uint64(start), np.uint64(start + length)):
        digit = signed(data[index])
        if digit < 48 or digit > 57:
            return -1
        value = value * 10 + digit - 48
    return value


@compiled
def time_of(data: Bytes, start: int, end: int) -> int:
    """Milliseconds since 1970 of `YYYY-MM-DDTHH:MM:SS[.digits]Z`; -1 for any other form, also of times."""
    length = end - start
    if length < 20 or length > 30 or data[end - 1] != 90 or data[start + 10] != 84:
        return -1
    if data[start + 4] != 45 or data[start + 7] != 45 or data[start + 13] != 58 or data[start + 16] != 58:
        return -1
    year, month, day = _number_at(data, start, 4), _number_at(data, start + 5, 2), _number_at(data, start + 8, 2)
    hour, minute = _number_at(data, start + 11, 2), _number_at(data, start + 14, 2)
    second = _number_at(data, start + 17, 2)
    if year < 1970 or month < 1 or month > 12 or day < 1 or hour < 0 or minute < 0 or second < 0:
        return -1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    in_month = _DAYS_BEFORE[month] - _DAYS_BEFORE[month - 1] + (1 if month == 2 and leap else 0)
    if day > in_month or hour > 23 or minute > 59 or second > 59:
        return -1
    fraction = 0
    if length > 20:
        if data[start + 19] != 46 or length == 21 or _number_at(data, start + 20, length - 21) < 0:
            return -1
        digits = min(3, length - 21)
        fraction = _number_at(data, start + 20, digits)
        for _ in range(3 - digits):
            fraction *= 10
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719162
    days += _DAYS_BEFORE[month - 1] + (1 if month > 2 and leap else 0) + day - 1
    return signed(((days * 24 + hour) * 60 + minute) * 60000 + second * 1000 + fraction)

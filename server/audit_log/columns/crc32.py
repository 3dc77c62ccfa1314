"""The CRC-32 of zlib, in compiled code, so that whole groups of frames are made without Python's lock.

Where the processor multiplies without carries, sixteen bytes after the other are folded into those behind them, four
times as fast as by tables.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from server.audit_log.columns.compiling import compiled
from server.audit_log.columns.copying import signed, word_at
from server.audit_log.columns.instructions import MULTIPLIES_CARRYLESS, carryless_product
from server.audit_log.columns.layout import Bytes
from server.audit_log.columns.siphash import Word


def _tables() -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    """Sixteen tables, so that sixteen bytes are taken at a time."""
    tables = np.zeros((16, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        tables[0, byte] = value
    for number in range(1, 16):
        for byte in range(256):
            before = int(tables[number - 1, byte])
            tables[number, byte] = before >> 8 ^ int(tables[0, before & 0xFF])
    return tables


_TABLES = _tables()


_BYTE = np.uint64(255)
_ALL_BITS = np.uint64(0xFFFFFFFF)
_ONE, _EIGHT, _SIXTEEN, _SIXTY_FOUR = np.uint64(1), np.uint64(8), np.uint64(16), np.uint64(64)
_P0, _P1, _P2, _P3 = (np.uint64(16 * n) for n in range(4))
_FOLDED_FROM: Final = 64
_S8, _S16, _S24, _S32, _S40, _S48, _S56 = (np.uint64(8 * n) for n in range(1, 8))


@compiled
def _of_sixteen(low: Word, high: Word) -> Word:
    """The remainder of sixteen bytes, given as two words."""
    return np.uint64(
        _TABLES[15, low & _BYTE]
        ^ _TABLES[14, low >> _S8 & _BYTE]
        ^ _TABLES[13, low >> _S16 & _BYTE]
        ^ _TABLES[12, low >> _S24 & _BYTE]
        ^ _TABLES[11, low >> _S32 & _BYTE]
        ^ _TABLES[10, low >> _S40 & _BYTE]
        ^ _TABLES[9, low >> _S48 & _BYTE]
        ^ _TABLES[8, low >> _S56]
        ^ _TABLES[7, high & _BYTE]
        ^ _TABLES[6, high >> _S8 & _BYTE]
        ^ _TABLES[5, high >> _S16 & _BYTE]
        ^ _TABLES[4, high >> _S24 & _BYTE]
        ^ _TABLES[3, high >> _S32 & _BYTE]
        ^ _TABLES[2, high >> _S40 & _BYTE]
        ^ _TABLES[1, high >> _S48 & _BYTE]
        ^ _TABLES[0, high >> _S56]
    )


@compiled
def by_tables(data: Bytes, at: Word, crc: Word) -> Word:
    """The remainder of data[at:] after `crc`, that of what is before."""
    size = np.uint64(len(data))
    while at + _SIXTEEN <= size:
        crc = _of_sixteen(word_at(data, at) ^ crc, word_at(data, at + _EIGHT))
        at += _SIXTEEN
    while at < size:
        crc = np.uint64(_TABLES[0, (crc ^ np.uint64(data[at])) & _BYTE]) ^ crc >> _S8
        at += _ONE
    return crc


def _power(exponent: int) -> Word:
    """What x to this power leaves, divided by the polynomial; as a factor for numbers whose lowest bit is the highest
    power, which a product without carries leaves one place too low."""
    rest = 1
    for _ in range(exponent):
        rest <<= 1
        if rest >> 32:
            rest ^= _POLYNOMIAL
    return np.uint64(int(f"{rest:032b}"[::-1], 2) << 1)


_POLYNOMIAL: Final = 0x104C11DB7
_LOW_BY_16, _HIGH_BY_16 = _power(128 + 32), _power(128 - 32)
_LOW_BY_64, _HIGH_BY_64 = _power(512 + 32), _power(512 - 32)


@compiled
def _folded(low: Word, high: Word, by_low: Word, by_high: Word, next_low: Word, next_high: Word) -> tuple[Word, Word]:
    """Sixteen bytes that leave the same as these and the next ones, which stand as much later as the factors say."""
    one, other = carryless_product(low, by_low), carryless_product(high, by_high)
    return one[0] ^ other[0] ^ next_low, one[1] ^ other[1] ^ next_high


@compiled
def by_folding(data: Bytes, crc: Word) -> tuple[Word, Word]:
    """The remainder of all whole sixteens of `data` after `crc`, and where they end; of at least 64 bytes.

    The method of Gopal and others (Intel, 2009): four sixteens at a time are multiplied to where the next four stand,
    and added to those.
    """
    size = np.uint64(len(data))
    low0, high0 = word_at(data, _P0) ^ crc, word_at(data, _P0 + _EIGHT)
    low1, high1 = word_at(data, _P1), word_at(data, _P1 + _EIGHT)
    low2, high2 = word_at(data, _P2), word_at(data, _P2 + _EIGHT)
    low3, high3 = word_at(data, _P3), word_at(data, _P3 + _EIGHT)
    at, by_low, by_high = _SIXTY_FOUR, _LOW_BY_64, _HIGH_BY_64
    while at + _SIXTY_FOUR <= size:
        block = data[at : at + _SIXTY_FOUR]
        low0, high0 = _folded(low0, high0, by_low, by_high, word_at(block, _P0), word_at(block, _P0 + _EIGHT))
        low1, high1 = _folded(low1, high1, by_low, by_high, word_at(block, _P1), word_at(block, _P1 + _EIGHT))
        low2, high2 = _folded(low2, high2, by_low, by_high, word_at(block, _P2), word_at(block, _P2 + _EIGHT))
        low3, high3 = _folded(low3, high3, by_low, by_high, word_at(block, _P3), word_at(block, _P3 + _EIGHT))
        at += _SIXTY_FOUR
    by_low, by_high = _LOW_BY_16, _HIGH_BY_16
    low1, high1 = _folded(low0, high0, by_low, by_high, low1, high1)
    low2, high2 = _folded(low1, high1, by_low, by_high, low2, high2)
    low3, high3 = _folded(low2, high2, by_low, by_high, low3, high3)
    while at + _SIXTEEN <= size:
        low3, high3 = _folded(low3, high3, by_low, by_high, word_at(data, at), word_at(data, at + _EIGHT))
        at += _SIXTEEN
    return _of_sixteen(low3, high3), at


@compiled
def _not_at_all(_data: Bytes, crc: Word) -> tuple[Word, Word]:
    return crc, _P0


_whole_sixteens = by_folding if MULTIPLIES_CARRYLESS else _not_at_all


@compiled
def crc32(data: Bytes, seed: int) -> int:
    """`zlib.crc32(data, seed)`."""
    crc, at = np.uint64(seed) ^ _ALL_BITS, _P0
    if len(data) >= _FOLDED_FROM:
        crc, at = _whole_sixteens(data, crc)
    return signed(by_tables(data, at, crc) ^ _ALL_BITS)

"""The CRC-32 of zlib, in compiled code, so that whole groups of frames are made without Python's lock."""

from __future__ import annotations

import numpy as np

from server.audit_log.columns.compiling import compiled
from server.audit_log.columns.copying import signed, word_at
from server.audit_log.columns.layout import Bytes


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
_ONE, _EIGHT, _SIXTEEN = np.uint64(1), np.uint64(8), np.uint64(16)
_S8, _S16, _S24, _S32, _S40, _S48, _S56 = (np.uint64(8 * n) for n in range(1, 8))


@compiled
def crc32(data: Bytes, seed: int) -> int:
    """`zlib.crc32(data, seed)`."""
    crc = np.uint64(seed) ^ np.uint64(0xFFFFFFFF)
    at, size = np.uint64(0), np.uint64(len(data))
    while at + _SIXTEEN <= size:
        low, high = word_at(data, at) ^ crc, word_at(data, at + _EIGHT)
        crc = np.uint64(
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
        at += _SIXTEEN
    while at < size:
        crc = np.uint64(_TABLES[0, (crc ^ np.uint64(data[at])) & _BYTE]) ^ crc >> _S8
        at += _ONE
    return signed(crc ^ np.uint64(0xFFFFFFFF))

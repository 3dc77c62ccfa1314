"""SHA-256 of many texts in compiled code, without Python's lock, where the processor has instructions for it.

A call of hashlib for each takes as long beside the hashing as the hashing itself.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server.audit_log.columns.compiling import compiled
from server.audit_log.columns.copying import copy_into
from server.audit_log.columns.instructions import HASHES_SHA256
from server.audit_log.columns.layout import Bytes
from server.audit_log.columns.sha256_block import sha256_block

DIGEST_BYTES: Final = 32
_BLOCK: Final = 64
_LENGTH_BYTES: Final = 8
_FIRST_STATE: Final = np.array(
    [0x9B05688C, 0x510E527F, 0xBB67AE85, 0x6A09E667, 0x5BE0CD19, 0x1F83D9AB, 0xA54FF53A, 0x3C6EF372], np.uint32
)
_PLACES: Final = np.array([3, 2, 7, 6, 1, 0, 5, 4])
"""Where the words of a digest are in a state, from the first."""


def digests(data: Bytes, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> Bytes:
    """The digests of data[starts[n]:ends[n]], DIGEST_BYTES each."""
    if not HASHES_SHA256:
        texts = (data.data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True))
        return np.frombuffer(b"".join([hashlib.sha256(text).digest() for text in texts]), np.uint8)
    out = np.empty(DIGEST_BYTES * len(starts), np.uint8)
    hash_texts(data, starts, ends, np.empty(8, np.uint32), np.empty(2 * _BLOCK, np.uint8), out)
    return out


@compiled
def hash_texts(
    data: Bytes,
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    state: NDArray[np.uint32],
    rest: Bytes,
    out: Bytes,
) -> None:
    """Write the digest of each data[starts[n]:ends[n]]. `state` (8) and `rest` (two blocks) are room to work in."""
    for number in range(len(starts)):
        text = data[starts[number] : ends[number]]
        for place in range(8):
            state[place] = _FIRST_STATE[place]
        whole = len(text) // _BLOCK
        for block in range(whole):
            sha256_block(state, text, np.uint64(_BLOCK * block))
        for block in range(_write_rest(text, whole, rest)):
            sha256_block(state, rest, np.uint64(_BLOCK * block))
        _write_digest(state, out[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)])


@compiled
def _write_rest(text: Bytes, whole: int, rest: Bytes) -> int:
    """Write what follows the whole blocks, with the end that is defined for a text; gives how many blocks that is."""
    left = text[_BLOCK * whole :]
    size = _BLOCK if len(left) < _BLOCK - _LENGTH_BYTES else 2 * _BLOCK
    copy_into(rest, 0, left)
    rest[len(left)] = 0x80
    for place in range(len(left) + 1, size):
        rest[place] = 0
    bits = np.uint64(8 * len(text))
    for place in range(_LENGTH_BYTES):
        rest[size - 1 - place] = bits >> np.uint64(8 * place) & np.uint64(255)
    return size // _BLOCK


@compiled
def _write_digest(state: NDArray[np.uint32], out: Bytes) -> None:
    for word in range(8):
        for place in range(4):
            out[4 * word + place] = state[_PLACES[word]] >> np.uint32(24 - 8 * place) & np.uint32(255)

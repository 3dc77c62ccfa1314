"""The keyed hashes of events: the fingerprint that makes an event a retry, and the key that a uid is found by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from server.audit_log.columns.compiling import compiled
from server.audit_log.columns.copying import copy_into
from server.audit_log.columns.layout import Bytes
from server.audit_log.columns.siphash import Word, Words, siphash

_WORD_BYTES = 8


@compiled
def hash_span(data: Bytes, start: int, end: int, key0: Word, key1: Word, scratch: Words) -> tuple[Word, Word]:
    """The hash of data[start:end]. `scratch` has room for it and one word more."""
    size = end - start
    scratch[size // _WORD_BYTES] = np.uint64(0)
    copy_into(scratch.view(np.uint8), 0, data[start:end])
    return siphash(scratch, size, key0, key1)


@dataclass(frozen=True, slots=True)
class HashKeys:
    """The keys of one emitter's events, from the secret of the data directory."""

    fingerprint: tuple[Word, Word]
    """Of the emitter alone, so that events of two emitters never have the same fingerprint but by chance."""
    uid: tuple[Word, Word]
    """Of all emitters."""


def hash_keys(secret: bytes, emitter: bytes) -> HashKeys:
    """The keys for an emitter; `emitter` is equal for the same identity and no other."""
    return HashKeys(_halves(secret, b"fingerprint\0" + emitter), _halves(secret, b"uid\0"))


def _halves(secret: bytes, purpose: bytes) -> tuple[Word, Word]:
    digest = hashlib.blake2b(purpose, key=secret, digest_size=16).digest()
    low, high = np.frombuffer(digest, np.uint64)
    return low, high


def uid_key(uid: bytes, keys: HashKeys) -> int:
    """The key that the index of known uids finds a uid by, as a signed number of 64 bits."""
    data = np.frombuffer(uid, np.uint8)
    low, _ = hash_span(data, 0, len(uid), *keys.uid, np.empty(len(uid) // _WORD_BYTES + 1, np.uint64))
    return int(np.uint64(low).astype(np.int64))

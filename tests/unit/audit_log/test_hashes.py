"""The compiled hashes against plain Python: SipHash by the paper's words, CRC-32 by zlib, SHA-256 by hashlib."""

from __future__ import annotations

import hashlib
import random
import zlib

import numpy as np
import pytest

from server.audit_log.columns import sha256
from server.audit_log.columns.compiling import frozen
from server.audit_log.columns.crc32 import by_tables, crc32
from server.audit_log.columns.hashing import hash_keys, hash_span, uid_key
from server.audit_log.columns.siphash import siphash

MASK = 2**64 - 1
KEY = bytes(range(16))


def rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 64 - bits) & MASK


def reference(data: bytes, key: bytes, rounds: int, last_rounds: int) -> bytes:
    """SipHash-`rounds`-`last_rounds` with 128 bits."""
    key0, key1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [
        key0 ^ 0x736F6D6570736575,
        key1 ^ 0x646F72616E646F6D ^ 0xEE,
        key0 ^ 0x6C7967656E657261,
        key1 ^ 0x7465646279746573,
    ]

    def mix(times: int) -> None:
        for _ in range(times):
            v[0], v[2] = (v[0] + v[1]) & MASK, (v[2] + v[3]) & MASK
            v[1], v[3] = rotated(v[1], 13) ^ v[0], rotated(v[3], 16) ^ v[2]
            v[0] = rotated(v[0], 32)
            v[2], v[0] = (v[2] + v[1]) & MASK, (v[0] + v[3]) & MASK
            v[1], v[3] = rotated(v[1], 17) ^ v[2], rotated(v[3], 21) ^ v[0]
            v[2] = rotated(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        mix(rounds)
        v[0] ^= word
    v[2] ^= 0xEE
    mix(last_rounds)
    low = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    mix(last_rounds)
    return low.to_bytes(8, "little") + (v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", "a3817f04ba25a8e66df67214c7550293"), (b"\0", "da87c1d86b99af44347659119b22fc45")],
)
def test_the_reference_gives_the_published_values_of_2_4(data: bytes, expected: str) -> None:
    assert reference(data, KEY, 2, 4).hex() == expected


def compiled(data: bytes, key: bytes) -> bytes:
    words = np.frombuffer(data + bytes(8 - len(data) % 8), np.uint64)
    return np.array(siphash(words, len(data), *np.frombuffer(key, np.uint64)), np.uint64).tobytes()


def test_siphash_is_that_of_the_reference_at_every_length() -> None:
    chance = random.Random(5)
    for length in [*range(70), 255, 256, 257, 1000, 65_536]:
        data, key = chance.randbytes(length), chance.randbytes(16)
        assert compiled(data, key) == reference(data, key, 1, 3), length
        assert compiled(bytes(length), bytes(16)) == reference(bytes(length), bytes(16), 1, 3)
        assert compiled(b"\xff" * length, b"\xff" * 16) == reference(b"\xff" * length, b"\xff" * 16, 1, 3)


def test_a_span_has_the_hash_of_its_bytes_wherever_it_is_and_whatever_was_hashed_before() -> None:
    chance = random.Random(6)
    data = chance.randbytes(300)
    buffer, scratch = np.frombuffer(data, np.uint8), np.full(300 // 8 + 1, 2**64 - 1, np.uint64)
    key0, key1 = np.frombuffer(KEY, np.uint64)
    for _ in range(500):
        start = chance.randrange(300)
        end = chance.randrange(start, 301)
        found = np.array(hash_span(buffer, start, end, key0, key1, scratch), np.uint64).tobytes()
        assert found == reference(data[start:end], KEY, 1, 3)


def test_the_key_of_a_uid_is_half_of_its_hash_under_a_key_of_the_secret_alone() -> None:
    for uid in (b"", b"u", b"12345678", b"f67a73f9-1da3-4124-974d-72e2bc80841b", b"~" * 128):
        keys = hash_keys(b"secret", b"emitter")
        found = uid_key(uid, keys).to_bytes(8, "little", signed=True)
        assert found == reference(uid, np.array(keys.uid).tobytes(), 1, 3)[:8]
        assert uid_key(uid, hash_keys(b"secret", b"other")) == uid_key(uid, keys)
        assert uid_key(uid, hash_keys(b"other", b"emitter")) != uid_key(uid, keys)


def test_no_two_purposes_or_emitters_share_a_key() -> None:
    emitters = [b"", b"a", b"b", b"uid\0", b"fingerprint\0"]
    found = [tuple(map(int, hash_keys(secret, emitter).fingerprint)) for secret in (b"s", b"t") for emitter in emitters]
    found += [tuple(map(int, hash_keys(secret, b"").uid)) for secret in (b"s", b"t")]
    assert len(set(found)) == len(found)


def test_the_crc_is_that_of_zlib_at_every_length_and_seed() -> None:
    chance = random.Random(8)
    for length in [*range(200), 4096, 70_001]:
        for seed in (0, 1, 2 << 28 ^ length, 0x80000000, 0xFFFFFFFF, chance.randrange(2**32)):
            data = chance.randbytes(length)
            assert crc32(np.frombuffer(data, np.uint8), seed) == zlib.crc32(data, seed), (length, seed)


def test_the_crc_is_the_same_where_the_processor_cant_fold() -> None:
    chance, begun = random.Random(10), np.uint64(0xFFFFFFFF)
    for length in [*range(0, 200, 7), 70_001]:
        data = chance.randbytes(length)
        found = by_tables(np.frombuffer(data, np.uint8), np.uint64(0), begun)
        assert int(found) ^ int(begun) == zlib.crc32(data), length


def test_the_crc_of_a_part_of_a_buffer_is_of_that_part() -> None:
    data = random.Random(9).randbytes(64)
    buffer = np.frombuffer(data, np.uint8)
    for start in range(17):
        for end in range(start, 64):
            assert crc32(buffer[start:end], 7) == zlib.crc32(data[start:end], 7)


@pytest.mark.parametrize("has_instructions", [True, False])
def test_digests_are_those_of_hashlib_at_every_length_and_place(
    has_instructions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sha256, "HASHES_SHA256", has_instructions and sha256.HASHES_SHA256)
    data = random.Random(11).randbytes(70_100)
    spans = [(place, place + length) for length in range(260) for place in (0, 1, 63)] + [(100, 70_100), (7, 7)]
    starts, ends = (frozen(np.array(each, np.int32)) for each in zip(*spans, strict=True))
    expected = b"".join(hashlib.sha256(data[start:end]).digest() for start, end in spans)
    assert sha256.digests(np.frombuffer(data, np.uint8), starts, ends).tobytes() == expected
    assert not len(sha256.digests(np.frombuffer(data, np.uint8), starts[:0], ends[:0]))

"""Frames are read back as they were written, and damage costs only what it touches."""

from __future__ import annotations

import random

import pytest
from extaudit_client.spool.frames import HEADER_BYTES, Damage, Entry, frame, frames


def written(dice: random.Random, count: int) -> tuple[bytes, list[bytes]]:
    events = [b"%d:" % n + dice.randbytes(dice.choice([0, 1, 40, 3_000])) for n in range(count)]
    return b"".join(frame(n + 1, 7, event) for n, event in enumerate(events)), events


def read_in_pieces(data: bytes, piece: int) -> list[Entry | Damage]:
    found: list[Entry | Damage] = []
    offset, wanted = 0, piece
    while offset < len(data):
        block = data[offset : offset + wanted]
        before = offset
        for item in frames(block, offset, len(data) - offset - len(block)):
            found.append(item)
            offset = item.end
        wanted = piece if offset > before else wanted * 2
    return found


@pytest.mark.parametrize("seed", range(30))
def test_frames_come_back_whatever_the_pieces_they_are_read_in(seed: int) -> None:
    dice = random.Random(seed)
    data, events = written(dice, 20)
    found = read_in_pieces(data, dice.choice([1, 3, HEADER_BYTES, 100, 5_000, 1 << 20]))
    entries = [item for item in found if isinstance(item, Entry)]
    assert [entry.event for entry in entries] == events
    assert [(entry.number, entry.time_ms) for entry in entries] == [(n + 1, 7) for n in range(20)]
    assert len(entries) == len(found)


@pytest.mark.parametrize("seed", range(60))
def test_damage_costs_only_the_events_it_touches(seed: int) -> None:
    dice = random.Random(seed)
    data, events = written(dice, 20)
    ends = [item.end for item in frames(data, 0, 0)]
    start = dice.randrange(len(data))
    size = dice.choice([1, 2, 50, 4_000])
    spoiled = bytearray(data)
    spoiled[start : start + size] = bytes(byte ^ dice.randrange(1, 256) for byte in spoiled[start : start + size])
    touched = {
        index
        for index, (begin, end) in enumerate(zip([0, *ends], ends, strict=False))
        if begin < min(start + size, len(data)) and start < end
    }
    found = read_in_pieces(bytes(spoiled), dice.choice([1, 100, 1 << 20]))
    kept = [item.event for item in found if isinstance(item, Entry)]
    assert kept == [event for index, event in enumerate(events) if index not in touched]
    assert any(isinstance(item, Damage) for item in found)
    at = 0
    for item in found:
        if isinstance(item, Damage):
            assert item.start == at
        at = item.end
    assert at == len(data)


@pytest.mark.parametrize("cut", [1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 2])
def test_a_torn_end_is_damage_and_the_rest_is_read(cut: int) -> None:
    data = frame(1, 0, b"one") + frame(2, 0, b"two")[:cut]
    first, torn = frames(data, 0, 0)
    assert isinstance(first, Entry)
    assert torn == Damage(first.end, len(data))

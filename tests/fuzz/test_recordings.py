"""Whatever its bytes are, a recording is read to its end, within bounds, and its sound parts are given.

EXTAUDIT_FUZZ_ROUNDS says how many changed recordings are tried; each round is the same in every run.
"""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.recordings.format.items import Damage, Summary
from server.recordings.format.limits import Limits
from server.recordings.format.reader import Item, RecordingReader
from server.recordings.format.recorded_event import RecordedEvent
from tests.fuzz.corpus import FOLDER
from tests.unit.recordings.format.recordings import framed, part, print_record

ROUNDS = int(os.environ.get("EXTAUDIT_FUZZ_ROUNDS", "400"))
BATCH = 50
CORPUS = sorted(FOLDER.glob("*.bin"))
SMALL = [path.read_bytes() for path in CORPUS if not path.stem.startswith("bomb")]
MEMORY = 3 << 20
LIMITS = Limits(told_damages=50)

ODD_BYTES = [b"\0", b"\x01", b"\x02", b"\xff", b"\x1f\x8b\x08", bytes(8), bytes(7) + b"\x01", bytes(7) + b"\x02"]


def items_of(data: bytes, chance: random.Random, limits: Limits = LIMITS) -> list[Item]:
    """Read in random chunks, turning each event's JSON out as well."""
    sizes = chance.choice([[1 << 20], [1, 7, 100], [1000, 5000]])
    return list(read(data, chance, sizes, limits))


def read(data: bytes, chance: random.Random, sizes: list[int], limits: Limits) -> Iterator[Item]:
    reader = RecordingReader(limits)
    at = 0
    while at < len(data):
        size = chance.choice(sizes)
        yield from reader.feed(data[at : at + size])
        at += size
    yield from reader.finish()


def check(items: list[Item], size: int) -> None:
    """What holds whatever the bytes were."""
    summary = items[-1]
    assert isinstance(summary, Summary)
    assert summary.bytes == size
    events = [item for item in items if isinstance(item, RecordedEvent)]
    damages = [item for item in items if isinstance(item, Damage)]
    assert len(events) == summary.events
    assert len(damages) == min(summary.damages, LIMITS.told_damages)
    assert all(0 <= damage.position <= size for damage in damages)
    assert all(0 <= damage.part <= summary.parts for damage in damages)
    assert all(event.json.startswith(b'{"ei":') for event in events[:200])
    assert summary.doubtful <= summary.events


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_known_oddity_is_read_within_bounds(path: Path) -> None:
    data = path.read_bytes()
    tracemalloc.start()
    try:
        counted = [0, 0]
        summary: Item | None = None
        for summary in read(data, random.Random(1), [1 << 14], LIMITS):
            counted[isinstance(summary, Damage)] += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(summary, Summary)
    assert peak < MEMORY
    check(items_of(data, random.Random(2)), len(data))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_sound_parts_beside_a_known_oddity_are_given(path: Path) -> None:
    if path.stem == "truncated-header":
        assert indexes(items_of(path.read_bytes(), random.Random(1))) >= {0, 1}
    else:
        assert indexes(items_of(path.read_bytes(), random.Random(1))) >= {0, 1, 8, 9}


def indexes(items: list[Item]) -> set[int | None]:
    return {item.index for item in items if isinstance(item, RecordedEvent)}


def changed(data: bytes, chance: random.Random) -> bytes:
    """Change a few places: bits, bytes, length."""
    out = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(len(out) + 1)
        end = min(at + chance.choice([1, 2, 8, 24, 200]), len(out))
        match chance.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << chance.randrange(8)
            case 1:
                out[at:end] = chance.choice(ODD_BYTES)
            case 2:
                out[at:at] = chance.choice(ODD_BYTES)
            case 3:
                del out[at:end]
            case 4:
                out[at:at] = out[max(at - chance.choice([4, 24, 300]), 0) : at]
            case _:
                out[at:end] = chance.randbytes(end - at)
    return bytes(out)


def rounds(offset: int) -> range:
    return range(offset * BATCH, min((offset + 1) * BATCH, ROUNDS))


@pytest.mark.parametrize("batch", range(-(-ROUNDS // BATCH)))
def test_a_changed_recording_is_read_alike_whatever_the_chunks(batch: int) -> None:
    for number in rounds(batch):
        chance = random.Random(f"changed {number}")
        data = changed(chance.choice(SMALL), chance)
        items = items_of(data, chance)
        check(items, len(data))
        assert items == items_of(data, chance), number


@pytest.mark.parametrize("batch", range(-(-ROUNDS // BATCH)))
def test_the_parts_beside_a_changed_one_are_given(batch: int) -> None:
    for number in rounds(batch):
        chance = random.Random(f"beside {number}")
        parts, wanted = [], set()
        hit = chance.randrange(5)
        for index in range(5):
            made = sound_part(index * 3, chance)
            if index != hit:
                wanted |= {index * 3, index * 3 + 1, index * 3 + 2}
            parts.append(changed(made, chance) if index == hit else made)
        data = b"".join(parts)
        items = items_of(data, chance)
        check(items, len(data))
        assert indexes(items) >= wanted, number


def sound_part(first: int, chance: random.Random) -> bytes:
    """A part with three events."""
    texts = [chance.choice([b"$ ls\r\n", bytes(50), chance.randbytes(300)]) for _ in range(3)]
    content = b"".join(framed(print_record(first + number, text)) for number, text in enumerate(texts))
    return part(content, version=chance.choice([1, 2]), padding=chance.choice([0, 0, 50, 400]))

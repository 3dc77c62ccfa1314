"""What a recording may cost whoever reads it, whatever its bytes are."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from server.recordings.format.items import Summary
from server.recordings.format.limits import Limits
from server.recordings.format.reader import read_recording
from tests.unit.recordings.format.recordings import (
    framed,
    indexes_of,
    part,
    print_record,
    prints,
    read,
    reasons_of,
    summary_of,
)

FIRST = part(prints(0, 1))
LAST = part(prints(4, 5))


BOMBS = [
    ("one large record", framed(bytes(1 << 26)), 1000),
    ("many small records", framed(b"\xfa\x3f\x02\x0a\x00") * 300_000, 100),
]


@pytest.mark.parametrize(("content", "expansion"), [bomb[1:] for bomb in BOMBS], ids=[bomb[0] for bomb in BOMBS])
def test_a_part_that_unpacks_beyond_all_measure_is_given_up(content: bytes, expansion: int) -> None:
    bomb = part(b"", packed=gzip.compress(content, 9, mtime=0))
    items = read(FIRST + bomb + LAST, limits=Limits(expansion=expansion))
    assert reasons_of(items)[-1] == f"a part unpacks to more than {expansion} times its size"
    assert indexes_of(items)[-2:] == [4, 5]


def test_forged_headers_inside_each_other_are_not_each_read_to_the_end() -> None:
    # Each member is a stored block of 64 KiB, in which all the others stand.
    nested = part(b"", packed=b"\x1f\x8b\x08" + bytes(7) + b"\x00\xff\xff\x00\x00", size=1 << 30) * 4000
    items = read(nested + bytes(1 << 15) + LAST)
    assert summary_of(items).parts < 200
    assert indexes_of(items) == [4, 5]


def test_a_part_larger_than_the_limit_unpacked_is_given_up() -> None:
    packer = zlib.compressobj(0, wbits=31)
    large = part(b"", packed=packer.compress(prints(*range(2, 100_000))) + packer.flush())
    items = read(large + LAST, limits=Limits(unpacked_bytes=1 << 21))
    assert reasons_of(items) == ["a part unpacks to more than 2097152 bytes"]


def test_a_part_with_too_many_bad_records_is_given_up() -> None:
    items = read(part(framed(b"\xff") * 5 + prints(2)) + LAST, limits=Limits(bad_records=3))
    assert reasons_of(items) == ["a record is no event"] * 4 + ["more than 3 records of a part can't be read"]
    assert indexes_of(items) == [4, 5]


def test_damages_beyond_the_limit_are_only_counted() -> None:
    items = read(part(framed(b"\xff") * 50 + prints(2)), limits=Limits(told_damages=3))
    assert len(reasons_of(items)) == 3
    assert summary_of(items).damages == 50


@pytest.mark.parametrize("data", [part(prints(0), padding=1 << 23), FIRST * 20_000, b"garbage!" * (1 << 20)], ids=len)
def test_a_large_chunk_is_not_held_twice(data: bytes) -> None:
    tracemalloc.start()
    try:
        for item in read_recording([data]):
            last = item
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(last, Summary)
    assert last.bytes == len(data)
    assert peak < 1 << 20


def test_a_small_part_may_unpack_to_any_size() -> None:
    assert indexes_of(read(part(framed(print_record(0, bytes(60_000)))), limits=Limits(expansion=2))) == [0]

"""Parts of a recording: what is read, what is passed over, and what is damage."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from io import BytesIO

import pytest

from server.recordings.format.items import Damage, EncryptedPart
from server.recordings.format.recorded_event import RecordedEvent
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
GZIP = gzip.compress(prints(2, 3), mtime=0)
LARGEST = print_record(0, bytes(65_000))
LARGEST = print_record(0, bytes(65_000 + 65_536 - len(LARGEST)))
UNFINISHED = "a part's content goes on beyond the size in its header"
IN_SIGHT = "a part begins where the one before should go on"

WHOLE: list[tuple[str, bytes, list[int]]] = [
    ("nothing", b"", []),
    ("one part", FIRST, [0, 1]),
    ("padding", part(prints(0), padding=500) + part(prints(1)), [0, 1]),
    ("padding after the last part", part(prints(0), padding=500), [0]),
    ("header only", part(b"", packed=b"") + FIRST, [0, 1]),
    ("header and padding only", part(b"", packed=b"", padding=99) + FIRST, [0, 1]),
    ("an empty member", part(b"") + FIRST, [0, 1]),
    ("version 2", part(prints(0), version=2) + part(prints(1), version=2, padding=70), [0, 1]),
    ("both versions", part(prints(0), version=2) + part(prints(1)), [0, 1]),
    ("version 2, header only and flagged", part(b"", packed=b"", version=2, flags=1) + FIRST, [0, 1]),
    ("headers inside the padding", FIRST + part(b"", packed=b"", padding=48)[:24] + bytes(48), [0, 1]),
    ("zeros after the member, within its size", part(b"", packed=GZIP + bytes(300)), [2, 3]),
    ("a record of the largest size", part(framed(LARGEST)), [0]),
]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
@pytest.mark.parametrize(("data", "indexes"), [case[1:] for case in WHOLE], ids=[case[0] for case in WHOLE])
def test_a_part_is_read_whatever_the_chunks(data: bytes, indexes: list[int], chunk: int) -> None:
    items = read(data, chunk)
    assert indexes_of(items) == indexes
    assert reasons_of(items) == []
    assert summary_of(items).bytes == len(data)


def test_an_encrypted_part_is_reported_and_passed_over() -> None:
    secret = part(b"", packed=b"\x01secret" * 9, version=2, flags=1, padding=40)
    items = read(FIRST + secret + LAST)
    assert [item for item in items if isinstance(item, EncryptedPart)] == [EncryptedPart(len(FIRST), 2, 63)]
    assert indexes_of(items) == [0, 1, 4, 5]
    assert reasons_of(items) == []
    assert not summary_of(items).whole


def test_the_last_bit_of_the_flags_as_a_number_is_not_the_flag() -> None:
    header = part(prints(0), version=2)
    assert indexes_of(read(header[:31] + b"\x01" + header[32:])) == [0]


DAMAGED: list[tuple[str, bytes, list[str], list[int]]] = [
    ("an unknown version", part(b"", packed=GZIP, version=3), ["version 3 isn't supported"], [0, 1, 4, 5]),
    ("no header", b"garbage" * 30, ["no part begins here"], [0, 1, 4, 5]),
    ("no gzip", part(b"", packed=b"no gzip data" * 9), ["there is no gzip data"], [0, 1, 4, 5]),
    (
        "a wrong checksum",
        part(b"", packed=GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:]),
        ["the checksum is wrong"],
        [0, 1, 2, 3, 4, 5],
    ),
    (
        "a wrong length in the trailer",
        part(b"", packed=GZIP[:-4] + b"\0\0\0\1"),
        ["the length in the gzip trailer is wrong"],
        [0, 1, 2, 3, 4, 5],
    ),
    (
        "damaged data",
        part(b"", packed=GZIP[:10] + b"\xff" * 9 + GZIP[19:]),
        ["the compressed data is damaged"],
        [0, 1, 4, 5],
    ),
    (
        "a size too small",
        part(b"", packed=GZIP, size=len(GZIP) - 6),
        [UNFINISHED, "no part begins here"],
        [0, 1, 2, 3, 4, 5],
    ),
    ("a size too large", part(b"", packed=GZIP, size=len(GZIP) + 90), [IN_SIGHT], [0, 1, 2, 3, 4, 5]),
    ("a padding too large", part(b"", packed=GZIP, padding=200)[:-80], [IN_SIGHT], [0, 1, 2, 3, 4, 5]),
    (
        "a size beyond all limits",
        part(b"", packed=GZIP, size=2**63),
        ["a part's header names a size beyond the limit"],
        [0, 1, 4, 5],
    ),
    (
        "bytes lost inside",
        part(b"", packed=GZIP[:30], size=len(GZIP)),
        ["the checksum is wrong", IN_SIGHT],
        [0, 1, 4, 5],
    ),
    (
        "more than zeros after the member",
        part(b"", packed=GZIP + b"more"),
        ["other bytes than zeros follow a part's content"],
        [0, 1, 2, 3, 4, 5],
    ),
    ("a record of length 0", part(prints(2) + framed(b"") + prints(3)), ["a record has the length 0"], [0, 1, 2, 4, 5]),
    (
        "a record too large",
        part(prints(2) + framed(bytes(65537)) + prints(3)),
        ["a record of 65537 bytes is over the limit"],
        [0, 1, 2, 3, 4, 5],
    ),
    (
        "a record that lies",
        part(prints(2) + b"\xff\xff\xff\xff" + prints(3)),
        ["a record of 4294967295 bytes is over the limit", "a part's content ends inside a record"],
        [0, 1, 2, 4, 5],
    ),
    (
        "a record that is cut",
        part(prints(2) + prints(3)[:-1]),
        ["a part's content ends inside a record"],
        [0, 1, 2, 4, 5],
    ),
    (
        "a record of garbage",
        part(prints(2) + framed(b"\xff\xff") + prints(3)),
        ["a record is no event"],
        [0, 1, 2, 3, 4, 5],
    ),
    (
        "a record without an event",
        part(prints(2) + framed(b"\x08\x01") + prints(3)),
        ["a record has no event in it"],
        [0, 1, 2, 3, 4, 5],
    ),
]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
@pytest.mark.parametrize(
    ("data", "reasons", "indexes"), [case[1:] for case in DAMAGED], ids=[case[0] for case in DAMAGED]
)
def test_a_damaged_part_is_named_and_the_rest_is_read(
    data: bytes, reasons: list[str], indexes: list[int], chunk: int
) -> None:
    items = read(FIRST + data + LAST, chunk)
    assert reasons_of(items) == reasons
    assert indexes_of(items) == indexes
    for damage in (item for item in items if isinstance(item, Damage)):
        assert len(FIRST) <= damage.position <= len(FIRST + data)


TRUNCATED = [
    ("a header", 10, "the recording ends inside a part's header"),
    ("a part", 60, "the recording ends inside a part's content"),
    ("the padding", -9, "the recording ends before the end that its last part's header names"),
]


@pytest.mark.parametrize(("cut", "reason"), [case[1:] for case in TRUNCATED], ids=[case[0] for case in TRUNCATED])
def test_a_recording_that_ends_too_early_is_damaged(cut: int, reason: str) -> None:
    items = read(FIRST + part(prints(2, 3), padding=90)[:cut])
    assert reasons_of(items) == [reason]
    assert indexes_of(items)[:2] == [0, 1]


def with_gzip_header(flags: int, more: bytes) -> bytes:
    return part(b"", packed=GZIP[:3] + bytes([flags]) + GZIP[4:10] + more + GZIP[10:])


@pytest.mark.parametrize("chunk", [1, 1 << 16])
@pytest.mark.parametrize(
    ("flags", "more"),
    [(0x02, b"hc"), (0x04, b"\x03\0abc"), (0x08, b"n\0"), (0x10, b"\0"), (0x1E, b"\x01\0a" + b"n\0c\0hc")],
    ids=["checksum", "extra", "name", "comment", "all"],
)
def test_what_a_gzip_header_may_have_is_passed_over(flags: int, more: bytes, chunk: int) -> None:
    items = read(with_gzip_header(flags, more) + LAST, chunk)
    assert (indexes_of(items), reasons_of(items)) == ([2, 3, 4, 5], [])


@pytest.mark.parametrize(
    ("flags", "more", "reason"),
    [
        (0x20, b"", "the gzip header has unknown flags"),
        (0x08, b"n" * (1 << 18), "the gzip header doesn't end"),
    ],
    ids=["flags", "a name without end"],
)
def test_a_gzip_header_that_makes_no_sense_is_damage(flags: int, more: bytes, reason: str) -> None:
    items = read(with_gzip_header(flags, more) + LAST)
    assert (indexes_of(items), reasons_of(items)) == ([4, 5], [reason])


def test_a_header_before_a_header_is_passed_over() -> None:
    items = read(FIRST + bytes(7) + b"\x01" + LAST)
    assert reasons_of(items) == ["a part's header names a size that no content has"]
    assert indexes_of(items) == [0, 1, 4, 5]


@pytest.mark.parametrize("chunk", [1, 1 << 16])
@pytest.mark.parametrize("cut", [9, 13, 19, 23])
def test_the_beginning_of_a_header_hides_nothing(cut: int, chunk: int) -> None:
    assert indexes_of(read(FIRST + part(prints(2))[:cut] + LAST, chunk)) == [0, 1, 4, 5]


def test_a_part_that_is_cut_and_takes_the_next_one_for_its_own_hides_nothing() -> None:
    packer = zlib.compressobj(0, wbits=31)
    packed = packer.compress(framed(print_record(2, bytes(40_000)))) + packer.flush()
    items = read(FIRST + part(b"", packed=packed[:-200], size=len(packed)) + LAST)
    assert reasons_of(items)[-2:] == ["the recording ends inside a part's content", IN_SIGHT]
    assert indexes_of(items)[-2:] == [4, 5]


def test_parts_that_are_cut_inside_each_other_hide_nothing() -> None:
    # A stored block of 64 KiB that begins with a record of nearly so many bytes: each takes what follows for its own.
    greedy = part(b"", packed=b"\x1f\x8b\x08" + bytes(7) + b"\x00\xff\xff\x00\x00" + b"\x00\x00\xff\x00", size=1 << 20)
    items = read(FIRST + greedy * 3 + LAST)
    assert reasons_of(items) == ["the recording ends inside a part's content", IN_SIGHT] * 3
    assert indexes_of(items) == [0, 1, 4, 5]


def test_what_stands_between_a_part_and_the_next_in_sight_is_told() -> None:
    items = read(part(b"", packed=GZIP + b"more", size=len(GZIP) + 60) + LAST)
    assert reasons_of(items) == ["other bytes than zeros follow a part's content", IN_SIGHT]


def test_what_follows_one_part_is_not_said_of_another() -> None:
    damaged = part(b"", packed=GZIP[:10] + b"\xff" * 9 + GZIP[19:])
    items = read(part(prints(0), size=len(GZIP) + 60) + damaged + LAST)
    assert reasons_of(items) == [IN_SIGHT, "the compressed data is damaged"]


def test_a_part_in_sight_is_doubtful() -> None:
    items = read(part(prints(0), size=len(GZIP) + 60) + LAST)
    doubts = [(item.index, item.doubtful) for item in items if isinstance(item, RecordedEvent)]
    assert doubts == [(0, False), (4, True), (5, True)]


def test_events_of_a_part_whose_check_fails_are_doubtful() -> None:
    items = read(FIRST + part(b"", packed=GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:]) + LAST)
    (damage,) = (item for item in items if isinstance(item, Damage))
    assert (damage.part, damage.doubtful, summary_of(items).doubtful) == (2, 2, 2)


def test_a_damaged_index_hides_nothing_that_comes_after() -> None:
    bad = part(b"", packed=gzip.compress(prints(2, 10**6), mtime=0)[:-8] + bytes(8))
    items = read(FIRST + bad + LAST)
    assert indexes_of(items) == [0, 1, 2, 10**6, 4, 5]
    summary = summary_of(items)
    assert (summary.skipped, summary.missing, summary.doubtful) == (0, 0, 2)


def test_what_doubtful_events_may_have_been_counts_once() -> None:
    bad = part(b"", packed=GZIP[:-8] + bytes(8))
    assert summary_of(read(FIRST + bad + LAST + part(prints(8)))).missing == 2


def test_what_a_damaged_part_did_not_give_is_missing() -> None:
    items = read(FIRST + part(b"", packed=GZIP[:10] + b"\xff" * 9 + GZIP[19:]) + LAST)
    assert summary_of(items).missing == 2


def test_an_encrypted_part_with_a_wrong_size_hides_nothing_that_comes_after() -> None:
    secret = part(b"", packed=b"secret" * 9, version=2, flags=1, size=60)
    items = read(FIRST + secret + LAST)
    assert reasons_of(items) == [IN_SIGHT]
    assert indexes_of(items) == [0, 1, 4, 5]


def test_what_is_found_by_sight_is_doubtful_to_the_end() -> None:
    items = read(FIRST + b"garbage" + LAST + part(prints(6)))
    doubts = [(item.index, item.doubtful) for item in items if isinstance(item, RecordedEvent)]
    assert doubts == [(0, False), (1, False), (4, True), (5, True), (6, True)]
    assert summary_of(items).doubtful == 3


@pytest.mark.parametrize("field", [8, 16], ids=["size", "padding"])
def test_a_header_in_sight_with_sizes_beyond_the_limit_is_none(field: int) -> None:
    forged = bytearray(part(prints(9)))
    forged[field] = 0xFF
    items = read(FIRST + b"garbage" + bytes(forged) + LAST)
    assert reasons_of(items) == ["no part begins here"]
    assert indexes_of(items) == [0, 1, 4, 5]


def test_another_kind_of_file_has_no_parts() -> None:
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("session.json"), BytesIO())
    items = read(archive.getvalue())
    assert reasons_of(items) == ["no part begins here"]
    assert summary_of(items).parts == 0

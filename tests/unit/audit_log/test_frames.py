"""The bytes of the journal: what is written reads back, and what isn't what was written is never taken for it."""

from __future__ import annotations

import random

import pytest

from server.audit_log.journal.frames import (
    MAGIC,
    BadBytes,
    EventFrame,
    Frame,
    FrameType,
    decode_commit,
    decode_event,
    encode,
    encode_commit,
    encode_event,
    read_frames,
)

EVENT = EventFrame(7, 1_795_000_000_000, b"0123456789abcdef", b'["user","alice","","",""]', b'{"event":"a"}')


def test_an_event_reads_back() -> None:
    (frame,) = read_frames(encode_event(EVENT))
    assert isinstance(frame, Frame)
    assert (frame.type, decode_event(frame.payload)) == (FrameType.EVENT, EVENT)


@pytest.mark.parametrize("event_type", list(FrameType))
def test_every_type_of_frame_reads_back(event_type: FrameType) -> None:
    content = encode(event_type, b"payload") + encode(event_type, b"")
    frames = list(read_frames(content))
    assert [(frame.type, frame.payload) for frame in frames if isinstance(frame, Frame)] == [
        (event_type, b"payload"),
        (event_type, b""),
    ]


def test_a_commit_reads_back() -> None:
    (frame,) = read_frames(encode_commit(3, 2**40, 12))
    assert isinstance(frame, Frame)
    assert decode_commit(frame.payload) == (3, 2**40, 12)


def test_a_change_of_any_bit_is_seen() -> None:
    frame = encode_event(EVENT)
    for position in range(len(frame)):
        for bit in range(8):
            changed = bytearray(frame)
            changed[position] ^= 1 << bit
            assert list(read_frames(bytes(changed))) == [BadBytes(0, len(frame))]


@pytest.mark.parametrize("bad", [b"x", MAGIC, MAGIC * 5, b"\0" * 40, MAGIC + b"\xff" * 12, b"\xfe\xff" * 9])
def test_bad_bytes_are_stepped_over_to_the_next_frame(bad: bytes) -> None:
    frame = encode_event(EVENT)
    found = list(read_frames(frame + bad + frame))
    assert [type(item) for item in found] == [Frame, BadBytes, Frame]
    assert found[1] == BadBytes(len(frame), len(frame) + len(bad))


def test_a_frame_that_is_cut_off_is_bad_to_the_end() -> None:
    frame = encode_event(EVENT)
    for size in range(1, len(frame)):
        found = list(read_frames(frame + frame[:size]))
        assert found[1:] == [BadBytes(len(frame), len(frame) + size)]


def test_nothing_in_an_events_json_passes_for_a_frame() -> None:
    with pytest.raises(UnicodeDecodeError):
        MAGIC.decode("utf-8")
    for at in range(1, len(MAGIC)):
        with pytest.raises(UnicodeDecodeError):
            (b"a" + MAGIC[at - 1 : at + 1]).decode("utf-8")


def test_whatever_bytes_are_given_reading_ends() -> None:
    chance = random.Random(7)
    for _ in range(300):
        content = bytes(chance.choice(MAGIC + b"\0\1\2") for _ in range(chance.randrange(200)))
        found = list(read_frames(content))
        assert all(isinstance(item, BadBytes) or item.type in range(16) for item in found)

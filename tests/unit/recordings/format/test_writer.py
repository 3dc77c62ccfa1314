"""What is written is what was meant, read back by this reader and by a plain one."""

from __future__ import annotations

import gzip
import random
import struct
from typing import Any

import pytest
from extaudit.recording.v1 import recorded_event_pb2 as pb

from server.recordings.format.items import Summary
from server.recordings.format.reader import RecordingReader
from server.recordings.format.recorded_event import RecordedEvent
from server.recordings.format.writer import RecordingWriter
from tests.unit.recordings.format.recordings import framed, print_record

LEAST = 2000


def plain_parts(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Version, size, padding and content of each part."""
    parts = []
    at = 0
    while at < len(data):
        version, size, padding = struct.unpack_from(">QQQ", data, at)
        at += {1: 24, 2: 32}[version]
        parts.append((version, size, padding, gzip.decompress(data[at : at + size])))
        assert data[at + size : at + size + padding] == bytes(len(data[at + size : at + size + padding]))
        at += size + padding
    assert at == len(data)
    return parts


def random_event(chance: random.Random) -> Any:
    metadata = pb.Metadata(type="print", time={"seconds": chance.randrange(2**32), "nanos": chance.randrange(10**9)})
    kind = chance.randrange(4)
    if kind == 0:
        return pb.Resize(metadata=metadata, terminal_size="80:24", session=pb.SessionMetadata(session_id="s"))
    if kind == 1:
        return pb.SessionCommand(metadata=metadata, argv=["ä", ""], return_code=-1)
    size = chance.choice([0, 1, 40, 3000, 60_000])
    return pb.SessionPrint(metadata=metadata, data=chance.randbytes(size), delay_milliseconds=chance.randrange(2**40))


@pytest.mark.parametrize("seed", range(25))
def test_what_is_written_is_read_whatever_the_chunks(seed: int) -> None:
    chance = random.Random(seed)
    version, least = chance.choice([1, 2]), chance.choice([1, LEAST, 100_000])
    writer = RecordingWriter(version, least)
    written: list[Any] = []
    data = b""
    for _ in range(chance.choice([0, 1, 30, 200])):
        event = random_event(chance)
        data += writer.add(event)
        event.metadata.index = len(written)
        written.append(event)
        if chance.random() < 0.03:
            data += writer.flush()
    data += writer.finish()
    records = [framed(pb.OneOf(**{oneof_field(event): event}).SerializeToString()) for event in written]
    assert b"".join(content for *_, content in plain_parts(data)) == b"".join(records)

    reader = RecordingReader()
    items = []
    at = 0
    while at < len(data):
        size = chance.choice([1, 10, 1000, 100_000])
        items += reader.feed(data[at : at + size])
        at += size
    items += reader.finish()
    events, summary = items[:-1], items[-1]
    assert isinstance(summary, Summary)
    assert summary.whole
    assert (summary.parts, summary.bytes) == (len(plain_parts(data)), len(data))
    assert [framed(event.raw) for event in events if isinstance(event, RecordedEvent)] == records
    assert len(events) == len(written)


def oneof_field(event: Any) -> str:
    (name,) = (field.name for field in pb.OneOf.DESCRIPTOR.fields if field.message_type.name == event.DESCRIPTOR.name)
    return name


@pytest.mark.parametrize(("version", "header"), [(1, 24), (2, 32)])
def test_parts_are_filled_up_except_the_last(version: int, header: int) -> None:
    writer = RecordingWriter(version, LEAST)
    chance = random.Random(1)
    flushed = writer.add_record(print_record(0)) + writer.flush()
    large = next(filter(None, (writer.add_record(print_record(n, chance.randbytes(500))) for n in range(1, 1000))))
    last = writer.add_record(print_record(1000)) + writer.finish()
    assert len(flushed) == LEAST
    assert len(large) >= LEAST
    assert [(size, padding) for _, size, padding, _ in plain_parts(large)] == [(len(large) - header, 0)]
    assert [(size, padding) for _, size, padding, _ in plain_parts(last)] == [(len(last) - header, 0)]


def test_the_header_is_as_teleport_has_it() -> None:
    writer = RecordingWriter(2, 200)
    writer.add_record(print_record(0))
    part = writer.flush()
    size = struct.pack(">Q", len(part) - 32 - part[23])
    assert part[:35] == bytes(7) + b"\x02" + size + part[16:24] + bytes(8) + b"\x1f\x8b\x08"


def test_nothing_added_is_nothing_written() -> None:
    writer = RecordingWriter()
    assert writer.flush() + writer.finish() == b""


def test_the_same_events_give_the_same_bytes() -> None:
    def written(names: list[str]) -> bytes:
        writer = RecordingWriter(first_index=5)
        start = pb.SessionStart()
        for name in names:
            start.server.server_labels[name] = "value"
        return writer.add(start) + writer.add(start) + writer.finish()

    names = [f"label-{number}" for number in range(30)]
    assert written(names) == written(names[::-1])
    ((_, _, _, content),) = plain_parts(written(names))
    assert pb.OneOf.FromString(content[4 : len(content) // 2]).session_start.metadata.index == 5


def test_the_event_given_is_left_as_it_was() -> None:
    event = pb.SessionPrint()
    writer = RecordingWriter(first_index=7)
    writer.add(event)
    assert event == pb.SessionPrint()
    assert writer.next_index == 8


@pytest.mark.parametrize("size", [0, 65537])
def test_a_record_of_a_size_that_readers_refuse_is_not_written(size: int) -> None:
    writer = RecordingWriter()
    with pytest.raises(ValueError, match=f"^a record has 1 to 65536 bytes, not {size}$"):
        writer.add_record(bytes(size))
    assert writer.finish() == b""


def test_an_event_that_is_too_large_takes_no_index() -> None:
    writer = RecordingWriter()
    with pytest.raises(ValueError, match=r"^a record has 1 to 65536 bytes"):
        writer.add(pb.SessionPrint(data=bytes(65536)))
    assert writer.next_index == 0


def test_what_is_no_event_of_a_recording_is_not_written() -> None:
    with pytest.raises(ValueError, match=r"^Metadata is no event of a recording$"):
        RecordingWriter().add(pb.Metadata())

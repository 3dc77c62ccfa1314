"""Events as records hold them: known kinds, unknown ones, and which come next."""

from __future__ import annotations

import json
import zlib

import pytest
from extaudit.recording.v1 import recorded_event_pb2 as pb

from server.recordings.format.limits import Limits
from server.recordings.format.reader import RecordingReader
from server.recordings.format.recorded_event import RecordedEvent, UnreadableRecord, read_event
from server.recordings.format.wire import packed_varint
from tests.unit.recordings.format.recordings import (
    SECONDS,
    framed,
    indexes_of,
    part,
    print_record,
    prints,
    read,
    reasons_of,
    summary_of,
)

FIRST_MOMENT = -62_135_596_800 * 10**9


def field(number: int, content: bytes) -> bytes:
    return packed_varint(number << 3 | 2) + packed_varint(len(content)) + content


def metadata(index: int, kind: str) -> bytes:
    return field(1, pb.Metadata(index=index, type=kind, id="u-1").SerializeToString())


def test_a_print_gives_what_was_shown_and_when() -> None:
    event = read_event(print_record(7, b"\x1b[1mhi"), part=3)
    assert (event.variant, event.index, event.type, event.part) == (7, 7, "print", 3)
    assert (event.data, event.delay_ms, event.time_ns) == (b"\x1b[1mhi", 7000, (SECONDS + 7) * 10**9)
    assert event.raw == print_record(7, b"\x1b[1mhi")


def test_a_desktop_gives_its_message() -> None:
    record = pb.OneOf(desktop_recording=pb.DesktopRecording(message=b"\x02\x01", delay_milliseconds=12))
    event = read_event(record.SerializeToString(), part=1)
    assert (event.variant, event.data, event.delay_ms) == (69, b"\x02\x01", 12)


def test_another_event_gives_neither() -> None:
    record = pb.OneOf(resize=pb.Resize(terminal_size="80:24", metadata=pb.Metadata(type="resize", index=3)))
    event = read_event(record.SerializeToString(), part=1)
    assert (event.variant, event.type, event.data, event.delay_ms, event.time_ns) == (9, "resize", b"", 0, FIRST_MOMENT)
    assert json.loads(event.json)["size"] == "80:24"


def test_an_unknown_kind_keeps_its_number_and_bytes() -> None:
    raw = field(19, metadata(4, "exec") + field(99, b"what else it says"))
    event = read_event(raw, part=1)
    assert (event.variant, event.index, event.type, event.raw) == (19, 4, "exec", raw)
    keys = json.loads(event.json)
    assert keys == {"ei": 4, "event": "exec", "uid": "u-1", "time": "0001-01-01T00:00:00Z"}


@pytest.mark.parametrize("body", [b"", field(2, b"x"), field(1, b"\xff\xff"), b"\xff"], ids=repr)
def test_an_unknown_kind_that_begins_otherwise_has_no_index(body: bytes) -> None:
    raw = field(5000, body)
    event = read_event(raw, part=1)
    assert (event.variant, event.index, event.type, event.raw) == (5000, None, "", raw)
    assert json.loads(event.json)["event"] == ""


def test_a_known_kind_that_says_nothing_has_the_first_index() -> None:
    assert read_event(field(9, b""), part=1).index == 0


def test_messages_without_end_inside_each_other_are_not_followed() -> None:
    value = b""
    for _ in range(5000):
        value = field(6, field(1, value))
    raw = field(1, metadata(3, "user.login") + field(5, field(1, field(1, b"\xff") + field(2, value))))
    event = read_event(raw, part=1)
    assert (event.variant, event.index, event.type) == (1, 3, "user.login")
    assert set(json.loads(event.json)) == {"ei", "event", "uid", "time"}


def test_an_unknown_field_of_a_known_kind_stays_in_the_bytes() -> None:
    raw = field(9, metadata(3, "resize") + field(77, b"new"))
    event = read_event(raw, part=1)
    assert (event.variant, event.type, event.raw) == (9, "resize", raw)


def test_a_known_kind_whose_fields_have_other_types_is_given_by_what_all_have() -> None:
    raw = field(9, metadata(3, "resize") + field(2, b"\xff\xff\xff"))
    event = read_event(raw, part=1)
    assert (event.variant, event.index, event.type) == (9, 3, "resize")
    assert set(json.loads(event.json)) == {"ei", "event", "uid", "time"}


def test_texts_that_are_no_utf_8_are_replaced_in_json_and_stay_in_the_bytes() -> None:
    argv = field(8, b"caf\xe9") + field(8, "ü".encode())
    raw = field(11, metadata(3, "session.command") + argv)
    event = read_event(raw, part=1)
    assert (event.variant, event.index, event.raw) == (11, 3, raw)
    assert json.loads(event.json)["argv"] == ["caf\ufffd", "ü"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\xff", "a record is no event"),
        (b"\x0b\x0c", "a record is no event"),
        (b"\x3a\x05ab", "a record is no event"),
        (b"\x00\x00", "a record is no event"),
        (b"\xff" * 11, "a record is no event"),
        (b"\x38" + b"\x80" * 12 + b"\x01", "a record is no event"),
        (b"\x38\x01", "a record has no event in it"),
        (field(7, field(1, b"\xff")), "a record's event can't be read"),
        (
            pb.OneOf(session_print={"metadata": {"time": {"seconds": 2**40}}}).SerializeToString(),
            "a record's time is outside the years 1 to 9999",
        ),
        (
            pb.OneOf(session_print={"metadata": {"time": {"nanos": -1}}}).SerializeToString(),
            "a record's time is outside the years 1 to 9999",
        ),
    ],
    ids=repr,
)
def test_a_record_that_is_no_event_is_refused_with_a_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(UnreadableRecord, match=f"^{reason}$"):
        read_event(raw, part=1)


ORDERS: list[tuple[list[int], list[int], int, int]] = [
    ([0, 1, 2], [0, 1, 2], 0, 0),
    ([0, 1, 1, 2], [0, 1, 2], 1, 0),
    ([0, 2, 1, 3], [0, 2, 3], 1, 1),
    ([5, 6], [5, 6], 0, 5),
    ([0, 10, 11], [0, 10, 11], 0, 9),
    ([-1, -7, 0], [0], 2, 0),
    ([0, 2**31 - 2, 1, 2**31 - 1, 2], [0, 2**31 - 2, 1, 2**31 - 1, 2], 0, 0),
]


@pytest.mark.parametrize(("indexes", "given", "skipped", "missing"), ORDERS, ids=str)
@pytest.mark.parametrize("parts", [1, 2])
def test_events_come_in_order_and_once(
    indexes: list[int], given: list[int], skipped: int, missing: int, parts: int
) -> None:
    size = -(-len(indexes) // parts)
    items = read(b"".join(part(prints(*indexes[at : at + size])) for at in range(0, len(indexes), size)))
    assert indexes_of(items) == given
    summary = summary_of(items)
    assert (summary.events, summary.skipped, summary.missing) == (len(given), skipped, missing)


def test_events_without_an_index_neither_skip_nor_are_skipped() -> None:
    items = read(part(prints(0, 1) + framed(field(5000, b"")) + prints(2) + framed(field(5000, b""))))
    assert indexes_of(items) == [0, 1, None, 2, None]
    assert summary_of(items).whole


def test_an_event_is_given_before_the_rest_of_its_part_is_there() -> None:
    # Stored as it is, so that everything is unpacked as far as it came.
    packer = zlib.compressobj(0, wbits=31)
    data = part(b"", packed=packer.compress(prints(0, 1, 2)) + packer.flush())
    reader = RecordingReader()
    given = indexes_of(reader.feed(data[:-30]))
    assert given[:1] == [0]


def test_a_raised_limit_takes_larger_records() -> None:
    data = part(framed(print_record(0, bytes(100_000))))
    assert reasons_of(read(data)) == [f"a record of {len(print_record(0, bytes(100_000)))} bytes is over the limit"]
    (event, _) = read(data, limits=Limits(record_bytes=200_000))
    assert isinstance(event, RecordedEvent)
    assert len(event.data) == 100_000

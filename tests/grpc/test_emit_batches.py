"""Messages of EmitEvents read in place: the same as protobuf reads them, or the same error."""

from __future__ import annotations

import random

import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.event_pb2 import EventPayload
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from server.audit_log.validation import UnreadPayloads
from server.errors import InvalidRequest, Violation
from server.grpc_api import emit_batches
from server.grpc_api.emit_batches import MAX_EVENTS, EmitBatch, decode_batch
from server.grpc_api.payloads import payload_bytes

Read = tuple[int, list[bytes | list[Violation]]]


def by_protobuf(message: bytes) -> Read | None:
    """Number and payloads as protobuf's own classes give them; None if they take it for no such message."""
    try:
        decoded = pb.EmitEventsRequest.FromString(message)
    except DecodeError:
        return None
    payloads: list[bytes | list[Violation]] = []
    for payload in decoded.events:
        try:
            payloads.append(payload_bytes(payload))
        except InvalidRequest as refusal:
            payloads.append(refusal.violations)
    return decoded.message_number, payloads


def read(message: bytes) -> Read | None:
    try:
        batch = decode_batch(message)
    except DecodeError:
        return None
    return batch.number, payloads_of(batch)


def payloads_of(batch: EmitBatch) -> list[bytes | list[Violation]]:
    payloads = batch.payloads.read() if isinstance(batch.payloads, UnreadPayloads) else batch.payloads
    assert len(payloads) == len(batch.payloads)
    # As much memory is taken to scan one.
    assert payloads.largest == max((end - start for start, end in payloads.spans.tolist()), default=0)
    refused = payloads.refused
    return [
        refused[index].violations if index in refused else payloads.payload(index) for index in range(len(payloads))
    ]


def check(message: bytes) -> None:
    assert read(message) == by_protobuf(message), message[:200]


def varint(number: int, length: int = 0) -> bytes:
    """A number on the wire, perhaps longer than need be."""
    found = bytearray()
    while number > 127 or len(found) + 1 < length:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def field(number: int, data: bytes, length: int = 0) -> bytes:
    return varint(number << 3 | 2) + varint(len(data), length) + data


def event(data: bytes) -> bytes:
    return field(2, field(1, data))


STRUCT = Struct()
STRUCT.update({"event": "a", "n": 1.5})
LARGE = Struct()
LARGE.update({"a": 2.0**60})
FIELDS = field(2, STRUCT.SerializeToString())
SEVEN = b"\x08\x07"
MESSAGES = {
    "nothing": b"",
    "a number alone": SEVEN,
    "events without a number": event(b"{}") * 2,
    "an event": SEVEN + event(b'{"a":1}'),
    "the number last": event(b"{}") + SEVEN,
    "the number between": event(b"a") + SEVEN + event(b"b"),
    "two numbers": SEVEN + b"\x08\x09" + event(b"a"),
    "no JSON": SEVEN + event(b"a") + field(2, b"") + event(b"b"),
    "no JSON at the end": SEVEN + field(2, b""),
    "empty JSON": SEVEN + event(b"a") + event(b""),
    "a structure": SEVEN + event(b"a") + field(2, FIELDS),
    "a structure, then JSON": SEVEN + field(2, FIELDS + field(1, b"a")),
    "JSON, then a structure": SEVEN + field(2, field(1, b"a") + FIELDS),
    "JSON twice": SEVEN + field(2, field(1, b"a") + field(1, b"bb")),
    "a whole number beyond 2^53": SEVEN + field(2, EventPayload(fields=LARGE).SerializeToString()),
    "an unknown field": SEVEN + event(b"a") + field(9, b"x"),
    "nothing but an unknown field": field(9, b"x"),
    "an unknown field within": SEVEN + field(2, field(1, b"a") + field(9, b"x")),
    "an unknown number within": SEVEN + field(2, field(1, b"a") + b"\x18\x01"),
    "an unknown fixed field": SEVEN + b"\x19" + bytes(8) + event(b"a"),
    "a group": SEVEN + b"\x1b\x1c" + event(b"a"),
    "a group's end": SEVEN + event(b"a") + b"\x1c",
    "field 0": SEVEN + b"\x02\x00" + event(b"a"),
    "the number as a text": b"\x0a\x01a" + event(b"a"),
    "JSON as a number": SEVEN + field(2, b"\x08\x01"),
    "an event as a number": SEVEN + b"\x10\x01",
    "large JSON": SEVEN + event(b"x" * 300_000) + event(b"y" * 20_000),
    "the most events": SEVEN + event(b"a") * MAX_EVENTS,
    "too many events": SEVEN + event(b"a") * (MAX_EVENTS + 1),
    "a longer number": b"\x08" + varint(7, 5) + event(b"a"),
    "an event shorter than its JSON": SEVEN + b"\x12\x02\x0a\x05abcde",
    "JSON that ends with the message, not with the event": SEVEN + b"\x12\x05\x0a\x05abcde",
    "JSON shorter than the event": SEVEN + b"\x12\x05\x0a\x01abc",
    "JSON beyond the end": SEVEN + b"\x12\x08\x0a\x06abc",
    "a length of 2^31": SEVEN + b"\x12" + varint(2**31) + b"\x0a\x01a",
    "a length of 2^32 and more": SEVEN + b"\x12" + varint(2**32 + 3) + b"\x0a\x01a",
    "a length of 2^63": SEVEN + b"\x12" + varint(2**63) + b"\x0a\x01a",
    "a length below zero": SEVEN + b"\x12" + varint(2**64 - 1) + b"\x0a\x01a",
    "JSON of length 2^55": SEVEN + b"\x12\x0b\x0a" + varint(2**55) + b"ab",
    "a tag that is longer than need be": SEVEN + b"\x92\x00\x03\x0a\x01a",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_read_as_protobuf_reads_it(name: str) -> None:
    check(MESSAGES[name])


@pytest.mark.parametrize("name", ["an event", "JSON twice", "a structure", "the most events"])
def test_a_message_that_is_cut_off_is_read_as_protobuf_reads_it(name: str) -> None:
    message = MESSAGES[name][:200]
    for size in range(len(message)):
        check(message[:size])


@pytest.mark.parametrize(
    "number", [0, 1, 127, 128, 2**31, 2**32, 2**53, 2**55, 2**56 - 1, 2**56, 2**63, 2**64 - 1, 2**64 + 5]
)
def test_numbers_of_any_size_are_read_as_protobuf_reads_them(number: int) -> None:
    for more in (b"", event(b"a"), event(b"a") * 2):
        check(b"\x08" + varint(number) + more)


@pytest.mark.parametrize("length", range(1, 12))
def test_numbers_and_lengths_that_are_longer_than_need_be_are_read_as_protobuf_reads_them(length: int) -> None:
    check(b"\x08" + varint(7, length) + event(b"a"))
    check(SEVEN + field(2, field(1, b"abc"), length))
    check(SEVEN + field(2, field(1, b"abc", length)))


@pytest.mark.parametrize("seed", range(3))
def test_random_messages_are_read_as_protobuf_reads_them(seed: int) -> None:
    chance = random.Random(seed)
    parts = [part for name, part in MESSAGES.items() if len(part) < 1000]
    same = 0
    for _ in range(2000):
        message = b"".join(
            chance.choice([event(chance.randbytes(chance.randrange(200))), chance.choice(parts)]) for _ in range(4)
        )
        message = chance.choice([SEVEN, b"", b"\x08" + varint(chance.randrange(2**60))]) + message
        for _ in range(chance.choice([0, 0, 1, 2])):
            at = chance.randrange(len(message))
            message = (
                message[:at]
                + chance.choice([b"", bytes([chance.randrange(256)])])
                + message[at + chance.randrange(2) :]
            )
        check(message)
        same += read(message) is not None
    assert 200 < same < 1900


@pytest.mark.parametrize(
    "message", [field(2, b"") * (MAX_EVENTS + 1), field(2, FIELDS + field(9, bytes(64 * 1024)))], ids=["many", "large"]
)
def test_what_could_take_long_is_not_read_where_it_is_received(message: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a million empty events took ten seconds of the loop, a structure of 8 MiB more than one."""
    monkeypatch.setattr(emit_batches, "message_payloads", no_objects)
    assert len(decode_batch(message).payloads) == message.count(b"\x12\x00") or 1


def no_objects(payloads: object) -> None:
    raise AssertionError("an object was made for each event")


def test_the_usual_message_is_read_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emit_batches, "message_payloads", no_objects)
    events = [EventPayload(json=b'{"n":%d}' % number * (1 + number % 90)) for number in range(MAX_EVENTS)]
    message = pb.EmitEventsRequest(message_number=2**40, events=events).SerializeToString()
    assert read(message) == (2**40, [payload.json for payload in events])

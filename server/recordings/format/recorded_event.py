"""One event of a recording, read from its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from extaudit.recording.v1.recorded_event_pb2 import OneOf, OtherEvent
from google.protobuf.message import DecodeError

from server.recordings.format.event_json import EARLIEST_SECONDS, LATEST_SECONDS, json_of
from server.recordings.format.wire import LENGTH, BadWire, cut_fields, with_valid_text

PRINT = OneOf.SESSION_PRINT_FIELD_NUMBER
DESKTOP_RECORDING = OneOf.DESKTOP_RECORDING_FIELD_NUMBER

_NUMBERS = {field.name: field.number for field in OneOf.DESCRIPTOR.fields}
_NAMES = {field.number: field.name for field in OneOf.DESCRIPTOR.fields}
_NANOSECONDS = 10**9
_LAST_NANOSECOND = _NANOSECONDS - 1


class UnreadableRecord(Exception):
    """A record is no event; the message says why."""


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One event. What it says is its writer's word: numbers may be anything that 64 bits hold."""

    variant: int
    """Its number in `OneOf`, known here or not."""
    index: int | None
    """Its place in the session, from 0; None if the event is of an unknown kind that doesn't tell."""
    type: str
    """Such as `print`; empty if the event doesn't tell."""
    time_ns: int
    """Ns since 1970, in the years 1 to 9999; an event without a time has the first moment of year 1."""
    data: bytes
    """What a `print` showed, or the message of a desktop; empty for other events."""
    delay_ms: int
    """Of a `print` or a desktop's message: ms since the session began; 0 for other events."""
    raw: bytes
    """The whole record."""
    part: int
    """The number of its part, from 1."""
    doubtful: bool = False
    """Its part was found by sight amid damage, so that it may be no part at all."""

    @property
    def is_known(self) -> bool:
        """Whether its kind is one that is known here."""
        return self.variant in _NAMES

    @property
    def json(self) -> bytes:
        """The event as Teleport writes it in JSON; of a kind that isn't known, what all kinds have. Made when asked."""
        return json_of(parse_record(self.raw)[1])


def read_event(raw: bytes, part: int, doubtful: bool = False) -> RecordedEvent:
    """Read a record. Raises UnreadableRecord."""
    variant, body = parse_record(raw)
    metadata = body.metadata
    time = metadata.time
    seconds, nanos = time.seconds, time.nanos
    index: int | None = metadata.index
    if not seconds and not metadata.HasField("time"):
        seconds = EARLIEST_SECONDS
    if not (EARLIEST_SECONDS <= seconds <= LATEST_SECONDS and 0 <= nanos <= _LAST_NANOSECOND):
        raise UnreadableRecord("a record's time is outside the years 1 to 9999")
    if variant == PRINT:
        data, delay_ms = body.data, body.delay_milliseconds
    elif variant == DESKTOP_RECORDING:
        data, delay_ms = body.message, body.delay_milliseconds
    else:
        data, delay_ms = b"", 0
        if not body.HasField("metadata") and variant not in _NAMES:
            index = None
    time_ns = seconds * _NANOSECONDS + nanos
    return RecordedEvent(variant, index, metadata.type, time_ns, data, delay_ms, raw, part, doubtful)


def parse_record(raw: bytes) -> tuple[int, Any]:
    """Give number and message of the event in a record: the message of its kind, or OtherEvent.

    Raises UnreadableRecord.
    """
    try:
        record = OneOf.FromString(raw)
    except DecodeError:
        return _parse_with_care(raw)
    name = record.WhichOneof("event")
    if name is None:
        return _parse_other(raw)
    return _NUMBERS[name], getattr(record, name)


def _parse_with_care(raw: bytes) -> tuple[int, Any]:
    """Parse what the stubs refuse: Teleport writes texts that are no UTF-8, and fields may have got other types."""
    try:
        record = OneOf.FromString(with_valid_text(raw, OneOf.DESCRIPTOR))
    except (BadWire, DecodeError):
        return _parse_other(raw)
    name = record.WhichOneof("event")
    return _parse_other(raw) if name is None else (_NUMBERS[name], getattr(record, name))


def _parse_other(raw: bytes) -> tuple[int, Any]:
    """Parse an event by what all kinds have in common."""
    try:
        bodies = [(number, content) for number, wire, content in cut_fields(raw) if wire == LENGTH]
    except BadWire as error:
        raise UnreadableRecord("a record is no event") from error
    if not bodies:
        raise UnreadableRecord("a record has no event in it")
    number, body = bodies[-1]
    try:
        return number, OtherEvent.FromString(with_valid_text(body, OtherEvent.DESCRIPTOR))
    except (BadWire, DecodeError) as error:
        if number in _NAMES:
            raise UnreadableRecord("a record's event can't be read") from error
        return number, OtherEvent()

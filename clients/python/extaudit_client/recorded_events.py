"""What is in a recording: events, what couldn't be read, and a summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client.errors import ExtauditError
from extaudit_client.recording_rows import Recording, recording_from
from extaudit_client.rows import time_from


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One event. `data` is what a `print` showed, or a desktop's message, `delay_ms` after the session began.

    `json` is the event as Teleport writes it, without `data`; `raw` the whole of one whose variant (its number in
    Teleport's `events.OneOf`) the service doesn't know. `index` is None if it doesn't tell. `time` is cut to
    microseconds. `doubtful`: its part was found amid damage by its looks.
    """

    index: int | None
    variant: int
    type: str
    time: datetime
    delay_ms: int
    data: bytes
    json: bytes
    raw: bytes
    doubtful: bool


@dataclass(frozen=True, slots=True)
class RecordingDamage:
    """Something that couldn't be read: where in bytes, in which part (0: none), and why.

    `encrypted`: nothing is wrong with the part, but it isn't read. `doubtful`: so many events of it were given before.
    """

    offset: int
    part: int
    reason: str
    encrypted: bool
    doubtful: int


@dataclass(frozen=True, slots=True)
class RecordingSummary:
    """What there was: events read, skipped as double or out of order, indexes missing, parts, damages."""

    events: int
    skipped: int
    missing: int
    parts: int
    damages: int
    encrypted_parts: int
    doubtful: int
    bytes: int


Item = Recording | RecordedEvent | RecordingDamage | RecordingSummary


class ItemReader:
    """Reads a stream: the recording, events and damages in order, and the summary."""

    def __init__(self) -> None:
        self._ended = False

    def read(self, response: pb.StreamRecordingEventsResponse) -> Iterator[Item]:
        """What is in one response."""
        match response.WhichOneof("response"):
            case "recording":
                yield recording_from(response.recording)
            case "events":
                yield from map(_event, response.events.events)
            case "damage":
                damage = response.damage
                yield RecordingDamage(damage.offset, damage.part, damage.reason, damage.encrypted, damage.doubtful)
            case "summary":
                yield _summary(response.summary)
                self._ended = True

    def check(self) -> None:
        """Say so where the stream ended without its summary.

        Raises:
            ExtauditError: it did.
        """
        if not self._ended:
            raise ExtauditError("INTERNAL", "", "the service ended the events without a summary")


def items_from(responses: Iterator[pb.StreamRecordingEventsResponse]) -> Iterator[Item]:
    """Read a stream to its end.

    Raises:
        ExtauditError: it ended without its summary.
    """
    reader = ItemReader()
    for response in responses:
        yield from reader.read(response)
    reader.check()


def _event(message: pb.RecordedEvent) -> RecordedEvent:
    return RecordedEvent(
        index=message.index if message.HasField("index") else None,
        variant=message.variant,
        type=message.type,
        time=time_from(message.time),
        delay_ms=message.delay_ms,
        data=message.data,
        json=message.json,
        raw=message.raw,
        doubtful=message.doubtful,
    )


def _summary(message: pb.RecordingSummary) -> RecordingSummary:
    return RecordingSummary(
        events=message.events,
        skipped=message.skipped,
        missing=message.missing,
        parts=message.parts,
        damages=message.damages,
        encrypted_parts=message.encrypted_parts,
        doubtful=message.doubtful,
        bytes=message.bytes,
    )

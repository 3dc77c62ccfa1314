"""From what reading a recording gives to StreamRecordingEvents' messages; for threads, as writing JSON takes time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from extaudit.v1 import recording_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from server.recordings.format.items import Damage, EncryptedPart, Summary
from server.recordings.format.reader import Item
from server.recordings.format.recorded_event import RecordedEvent

MOST_BYTES: Final = 1024 * 1024
"""Of the events in one message, unless it holds a single one."""
_ENCRYPTED: Final = "the part is encrypted"
_NANOSECONDS: Final = 10**9


def event_responses(items: Sequence[Item]) -> list[pb.StreamRecordingEventsResponse]:
    """The messages of these items, in order; events that follow each other share messages."""
    found: list[pb.StreamRecordingEventsResponse] = []
    room = 0
    for item in items:
        if not isinstance(item, RecordedEvent):
            found.append(_told(item))
            room = 0
            continue
        event = _event(item)
        size = event.ByteSize() + 8
        if size > room:
            found.append(pb.StreamRecordingEventsResponse(events=pb.RecordedEvents()))
            room = MOST_BYTES
        found[-1].events.events.append(event)
        room -= size
    return found


def _event(event: RecordedEvent) -> pb.RecordedEvent:
    return pb.RecordedEvent(
        index=event.index,
        variant=event.variant,
        type=event.type,
        time=Timestamp(seconds=event.time_ns // _NANOSECONDS, nanos=event.time_ns % _NANOSECONDS),
        delay_ms=event.delay_ms,
        data=event.data,
        json=event.json,
        raw=b"" if event.is_known else event.raw,
        doubtful=event.doubtful,
    )


def _told(item: Damage | EncryptedPart | Summary) -> pb.StreamRecordingEventsResponse:
    match item:
        case Damage():
            damage = pb.RecordingDamage(
                offset=item.position, part=item.part, reason=item.reason, doubtful=item.doubtful
            )
            return pb.StreamRecordingEventsResponse(damage=damage)
        case EncryptedPart():
            damage = pb.RecordingDamage(offset=item.position, part=item.part, reason=_ENCRYPTED, encrypted=True)
            return pb.StreamRecordingEventsResponse(damage=damage)
    summary = pb.RecordingSummary(
        events=item.events,
        skipped=item.skipped,
        missing=item.missing,
        parts=item.parts,
        damages=item.damages,
        encrypted_parts=item.encrypted_parts,
        doubtful=item.doubtful,
        bytes=item.bytes,
    )
    return pb.StreamRecordingEventsResponse(summary=summary)

"""Events on their way in: messages of a stream, and what became of their events.

All indexes count the events of the caller's iterable, from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2

from extaudit_client.errors import Violation

MAX_BATCH = 1000
"""Events that the service takes in one message."""

MESSAGE_BYTES = 4 * 1024 * 1024
"""Bytes of events at which a message is closed, well below the 8 MiB that every service takes."""

STREAM_EVENT_BYTES = 8 * 1024 * 1024 - 64 * 1024
"""A larger event would break the stream of a service that takes 8 MiB a message, so it goes by a call of its own."""


@dataclass(frozen=True, slots=True)
class EmittedEvent:
    """A durable event. `repeated`: acknowledged before; `uid_reused`: its uid was seen with other bytes or emitter."""

    uid: str
    storage: str
    log_id: str
    sequence: int
    repeated: bool
    uid_reused: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that was refused; nothing of it is stored."""

    index: int
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Repetition:
    """An event that was acknowledged before, and where."""

    index: int
    storage: str
    log_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What became of the events `first_index` to `first_index + count - 1`: all but the refused ones are durable.

    `sequences` are ranges (first, last), inclusive, of those neither refused nor repeated, in their order.
    """

    first_index: int
    count: int
    storage: str
    log_id: str
    sequences: tuple[tuple[int, int], ...]
    assigned_uids: Mapping[int, str]
    refused: tuple[Refusal, ...]
    repeated: tuple[Repetition, ...]
    uid_reused: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a stream."""

    number: int
    first_index: int
    events: tuple[bytes, ...]

    @property
    def fits_stream(self) -> bool:
        """False for a single event that is too large for the stream."""
        return len(self.events) > 1 or len(self.events[0]) <= STREAM_EVENT_BYTES

    def request(self) -> pb.EmitEventsRequest:
        """Write it as a request."""
        payloads = [event_pb2.EventPayload(json=event) for event in self.events]
        return pb.EmitEventsRequest(message_number=self.number, events=payloads)

    def acknowledged(self, entry: pb.MessageAcknowledgement) -> Acknowledgement:
        """Read the service's entry for this message."""
        first = self.first_index
        return Acknowledgement(
            first_index=first,
            count=len(self.events),
            storage=entry.storage,
            log_id=entry.log_id,
            sequences=tuple((given.first, given.last) for given in entry.sequences),
            assigned_uids={first + given.index: given.uid for given in entry.assigned_uids},
            refused=tuple(
                Refusal(first + r.index, tuple(Violation(v.field, v.description) for v in r.violations))
                for r in entry.refused
            ),
            repeated=tuple(Repetition(first + r.index, r.storage, r.log_id, r.sequence) for r in entry.repeated),
            uid_reused=tuple(first + index for index in entry.uid_reused),
        )

    def emitted(self, event: EmittedEvent) -> Acknowledgement:
        """Read the answer for this message's single event, sent by a call of its own."""
        index = self.first_index
        place = (event.storage, event.log_id)
        repeated = (Repetition(index, *place, event.sequence),) if event.repeated else ()
        sequences = () if event.repeated else ((event.sequence, event.sequence),)
        reused = (index,) if event.uid_reused else ()
        return Acknowledgement(index, 1, *place, sequences, {index: event.uid}, (), repeated, reused)

    def refused(self, violations: tuple[Violation, ...]) -> Acknowledgement:
        """Say that this message's single event was refused."""
        refusal = Refusal(self.first_index, violations)
        return Acknowledgement(self.first_index, 1, "", "", (), {}, (refusal,), (), ())


def messages(events: Iterable[bytes], batch_size: int) -> Iterator[Message]:
    """Cut events into messages of at most `batch_size` events and about MESSAGE_BYTES; a larger event goes alone."""
    batch: list[bytes] = []
    number, index, size = 1, 0, 0
    for event in events:
        if batch and size + len(event) > MESSAGE_BYTES:
            yield Message(number, index, tuple(batch))
            number, index, batch, size = number + 1, index + len(batch), [], 0
        batch.append(event)
        size += len(event)
        if len(batch) == batch_size:
            yield Message(number, index, tuple(batch))
            number, index, batch, size = number + 1, index + len(batch), [], 0
    if batch:
        yield Message(number, index, tuple(batch))

"""Events on their way in: messages of a stream, and what became of their events.

All indexes count the events of the caller's iterable, from 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2

from extaudit_client.errors import ExtauditError, Violation
from extaudit_client.event_uid import with_uid

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
    set_uids: Mapping[int, str] = field(default_factory=dict)
    """The uids that were set by us, by index in the message."""

    @property
    def fits_stream(self) -> bool:
        """False for a single event that is too large for the stream."""
        return len(self.events) > 1 or len(self.events[0]) <= STREAM_EVENT_BYTES

    def request(self) -> pb.EmitEventsRequest:
        """Write it as a request."""
        payloads = [event_pb2.EventPayload(json=event) for event in self.events]
        return pb.EmitEventsRequest(message_number=self.number, events=payloads)

    def acknowledged(self, entry: pb.MessageAcknowledgement) -> Acknowledgement:
        """Read the service's entry for this message.

        Raises:
            ExtauditError: it doesn't account for every event of the message exactly once.
        """
        first = self.first_index
        self._check(entry)
        return Acknowledgement(
            first_index=first,
            count=len(self.events),
            storage=entry.storage,
            log_id=entry.log_id,
            sequences=tuple((given.first, given.last) for given in entry.sequences),
            assigned_uids={first + index: uid for index, uid in self.set_uids.items()}
            | {first + given.index: given.uid for given in entry.assigned_uids},
            refused=tuple(
                Refusal(first + r.index, tuple(Violation(v.field, v.description) for v in r.violations))
                for r in entry.refused
            ),
            repeated=tuple(Repetition(first + r.index, r.storage, r.log_id, r.sequence) for r in entry.repeated),
            uid_reused=tuple(first + index for index in entry.uid_reused),
        )

    def _check(self, entry: pb.MessageAcknowledgement) -> None:
        named = [*(refused.index for refused in entry.refused), *(repeated.index for repeated in entry.repeated)]
        accepted = sum(given.last - given.first + 1 for given in entry.sequences if given.first <= given.last)
        told_of = len(named) + accepted
        if told_of != len(self.events) or len(set(named)) != len(named) or max(named, default=0) >= len(self.events):
            raise ExtauditError("INTERNAL", "", "the service's acknowledgement doesn't match the events that were sent")

    def emitted(self, event: EmittedEvent) -> Acknowledgement:
        """Read the answer for this message's single event, sent by a call of its own."""
        index = self.first_index
        place = (event.storage, event.log_id)
        repeated = (Repetition(index, *place, event.sequence),) if event.repeated else ()
        sequences = () if event.repeated else ((event.sequence, event.sequence),)
        reused = (index,) if event.uid_reused else ()
        return Acknowledgement(index, 1, *place, sequences, {index: event.uid}, (), repeated, reused)

    def refused(self, error: ExtauditError) -> Acknowledgement:
        """Say that this message's single event was refused by a call of its own.

        Raises:
            ExtauditError: the error, where it isn't about the event.
        """
        unnamed = error.code == "RESOURCE_EXHAUSTED" and not error.reason and error.retry_after is None
        if unnamed and not self.fits_stream:
            # gRPC's own bound on messages. Of a smaller event it is a gateway's word, which may mean: not now.
            violations: tuple[Violation, ...] = (Violation("json", "is larger than the service takes"),)
        elif error.code == "INVALID_ARGUMENT":
            violations = error.violations or (Violation("json", error.message),)
        else:
            raise error
        return self._set_aside(violations)

    def faulted(self, error: ExtauditError, tries: int) -> Acknowledgement:
        """Say that this message's single event failed where others didn't, which sets it aside as if it were refused.

        That may be the service's doing or that of a gateway before it, which the error doesn't always tell.
        """
        text = f"it failed {tries} times, and an event after it was taken each time: {error.message}"
        return self._set_aside((Violation("json", text),))

    def _set_aside(self, violations: tuple[Violation, ...]) -> Acknowledgement:
        refusal = Refusal(self.first_index, violations)
        return Acknowledgement(self.first_index, 1, "", "", (), {}, (refusal,), (), ())


def check_sizes(batch_size: int, window: int) -> None:
    """Refuse sizes that no stream can have.

    Raises:
        ValueError: they are too small or too large.
    """
    if not 1 <= batch_size <= MAX_BATCH or window < 1:
        raise ValueError(f"batch_size must be 1 to {MAX_BATCH}, and window at least 1")


def messages(events: Iterable[bytes], batch_size: int) -> Iterator[Message]:
    """Cut events into messages of at most `batch_size` events and about MESSAGE_BYTES; a larger event goes alone.

    Each has a uid set where it has none, so that sending a message again never stores its events twice.
    """
    cutter = Cutter(batch_size)
    for event in events:
        yield from cutter.add(event)
    yield from cutter.rest()


class Cutter:
    """Cuts events into messages as they come."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._number, self._index, self._bytes = 1, 0, 0
        self._events: list[bytes] = []
        self._set_uids: dict[int, str] = {}

    def add(self, event: bytes) -> Iterator[Message]:
        """Take an event; gives the messages that are full now."""
        uid, ready = with_uid(event)
        if self._events and self._bytes + len(ready) > MESSAGE_BYTES:
            yield self._close()
        if ready is not event:
            self._set_uids[len(self._events)] = uid
        self._events.append(ready)
        self._bytes += len(ready)
        if len(self._events) == self._batch_size:
            yield self._close()

    def rest(self) -> Iterator[Message]:
        """Give what is left, if anything is."""
        if self._events:
            yield self._close()

    def _close(self) -> Message:
        message = Message(self._number, self._index, tuple(self._events), self._set_uids)
        self._number, self._index = self._number + 1, self._index + len(self._events)
        self._events, self._set_uids, self._bytes = [], {}, 0
        return message

"""Events as answers show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from extaudit.v1 import event_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from extaudit_client.names import IDENTITY_KINDS, name_of


@dataclass(frozen=True, slots=True)
class Position:
    """Where an event was acknowledged: a log's name, and the event's number in it, from 1."""

    log_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Who called. `kind` is component, user or service.

    `trust_anchor` is the signing CA's digest in lower-case hex, or the token's issuer; of `certificate_serial`
    (lower-case hex) and `token_id` one is empty.
    """

    kind: str
    name: str
    trust_anchor: str
    certificate_serial: str
    token_id: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Who emitted an event, from where, when, and where it was put.

    A foreign event has an empty `log_id`, sequence 0, no emitter and the name of its object in `foreign_object`.
    """

    storage: str
    log_id: str
    sequence: int
    emitter: Identity | None
    peer: str
    received_time: datetime | None
    foreign_object: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event. `json` is the stored JSON byte for byte, empty when `payload_omitted`; `payload_size` is in bytes.

    `time` is in UTC, cut to milliseconds; `digest` is the SHA-256 of the stored JSON, lower-case hex.
    """

    json: bytes
    time: datetime
    type: str
    uid: str
    session_id: str
    user: str
    digest: str
    receipts: tuple[Receipt, ...]
    payload_omitted: bool
    payload_size: int


def row_from(message: event_pb2.EventRow) -> EventRow:
    """Read a row of an answer."""
    return EventRow(
        json=message.json,
        time=time_from(message.time),
        type=message.type,
        uid=message.uid,
        session_id=message.session_id,
        user=message.user,
        digest=message.digest,
        receipts=tuple(_receipt(receipt) for receipt in message.receipts),
        payload_omitted=message.payload_omitted,
        payload_size=message.payload_size,
    )


def time_from(message: Timestamp) -> datetime:
    """Read a time, in UTC."""
    return message.ToDatetime(tzinfo=UTC)


def identity_from(who: event_pb2.Identity) -> Identity:
    """Read an identity."""
    return Identity(name_of(who.kind, IDENTITY_KINDS), who.name, who.trust_anchor, who.certificate_serial, who.token_id)


def _receipt(message: event_pb2.Receipt) -> Receipt:
    return Receipt(
        storage=message.storage,
        log_id=message.log_id,
        sequence=message.sequence,
        emitter=identity_from(message.emitter) if message.HasField("emitter") else None,
        peer=message.peer,
        received_time=time_from(message.received_time) if message.HasField("received_time") else None,
        foreign_object=message.foreign_object,
    )

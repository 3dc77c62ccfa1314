"""From the payloads of emit requests to the bytes that the intake takes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from extaudit.v1 import event_pb2

from server.errors import InvalidRequest, Violation
from server.grpc_api import struct_json

_JSON: Final = attrgetter("json")


def payload_bytes(payload: event_pb2.EventPayload) -> bytes:
    """The event's JSON.

    Raises:
        InvalidRequest: neither form is set, or the structure can't be JSON; fields are named relative to the event.
    """
    if data := payload.json:
        return data
    match payload.WhichOneof("payload"):
        case "json":
            return b""
        case "fields":
            return struct_json.encode(payload.fields)
        case _:
            raise InvalidRequest([Violation("payload", "must be set: one of json and fields")])


def batch_bytes(payloads: Sequence[event_pb2.EventPayload]) -> Sequence[bytes | InvalidRequest]:
    """The JSON of each of a message's events, or why it has none."""
    # The hot path: as nearly always all are JSON, one pass in C and one look.
    found = list(map(_JSON, payloads))
    return found if all(found) else [_bytes_or_refusal(payload) for payload in payloads]


def _bytes_or_refusal(payload: event_pb2.EventPayload) -> bytes | InvalidRequest:
    try:
        return payload_bytes(payload)
    except InvalidRequest as refusal:
        return refusal

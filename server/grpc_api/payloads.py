"""From the payloads of emit requests to the bytes that the intake takes."""

from __future__ import annotations

from collections.abc import Iterable

from extaudit.v1 import event_pb2

from server.audit_log.validation import Payloads, joined_payloads
from server.errors import InvalidRequest, Violation
from server.grpc_api import struct_json


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


def _bytes_or_refusal(payload: event_pb2.EventPayload) -> bytes | InvalidRequest:
    try:
        return payload_bytes(payload)
    except InvalidRequest as refusal:
        return refusal


def message_payloads(payloads: Iterable[event_pb2.EventPayload]) -> Payloads:
    """The JSON of each of a message's events, or why it has none."""
    return joined_payloads([_bytes_or_refusal(payload) for payload in payloads])

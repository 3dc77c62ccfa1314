"""Messages of EmitEvents as they are on the wire, without an object for each event.

A message in the usual form (its number, then events that each are JSON and nothing else) is read in place by compiled
code; any other is decoded as every message is.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

import numpy as np
from extaudit.v1 import audit_log_service_pb2 as pb

from server.audit_log.columns.compiling import brief
from server.audit_log.columns.copying import signed
from server.audit_log.columns.layout import Bytes, Table
from server.audit_log.validation import Payloads, UnreadPayloads
from server.grpc_api.payloads import message_payloads

_NUMBER: Final = 1 << 3
"""Tag of EmitEventsRequest.message_number: field 1, a varint."""
_EVENT: Final = 2 << 3 | 2
"""Tag of EmitEventsRequest.events: field 2, with a length."""
_JSON: Final = 1 << 3 | 2
"""Tag of EventPayload.json: field 1, with a length."""
_LENGTH_BYTES: Final = 5
"""Bytes of the longest length that protobuf reads."""
MAX_EVENTS: Final = 1000
"""Events of one message."""
_SMALL_BYTES: Final = 64 * 1024
"""Messages in another form are read at once up to this size: structures of megabytes take a second to be written."""


class EmitBatch(NamedTuple):
    """One message of the stream."""

    number: int
    payloads: Payloads | UnreadPayloads


def decode_batch(message: bytes) -> EmitBatch:
    """The message in these bytes.

    Raises:
        DecodeError: they are no such message.
    """
    data = np.frombuffer(message, np.uint8)
    spans = np.empty((MAX_EVENTS, 2), np.int64)
    events, number, largest = _read(data, spans)
    if events >= 0:
        return EmitBatch(number, Payloads(data, spans[:events], largest))
    decoded = pb.EmitEventsRequest.FromString(message)
    count, read = len(decoded.events), partial(message_payloads, decoded.events)
    # Of too many events nothing is read: of empty ones a message could hold millions.
    later = count > MAX_EVENTS or len(message) > _SMALL_BYTES
    return EmitBatch(decoded.message_number, UnreadPayloads(count, len(message), read) if later else read())


@brief
def _read(data: Bytes, spans: Table) -> tuple[int, int, int]:
    """Where the JSON of each event is; gives the number of events, or -1 for another form, the message's number, and
    bytes of the largest event."""
    at, events, number, largest = 0, 0, 0, 0
    if len(data) and data[0] == _NUMBER:
        number, at = _varint(data, 1, 8)
    while 0 <= at < len(data):
        if data[at] != _EVENT or events == len(spans):
            return -1, 0, 0
        size, at = _varint(data, at + 1, _LENGTH_BYTES)
        end = at + size
        if at < 0 or at >= len(data) or end > len(data) or data[at] != _JSON:
            return -1, 0, 0
        length, at = _varint(data, at + 1, _LENGTH_BYTES)
        if at < 0 or at + length != end or length == 0:
            return -1, 0, 0
        spans[events, 0], spans[events, 1] = at, end
        events += 1
        largest = max(largest, length)
        at = end
    return (events if at == len(data) else -1), number, largest


@brief
def _varint(data: Bytes, at: int, most: int) -> tuple[int, int]:
    """A number of at most `most` bytes, up to 8, and where it ends; (0, -1) for any other."""
    value = 0
    for index in range(most):
        if at + index >= len(data):
            return 0, -1
        byte = data[at + index]
        value |= signed(byte & 127) << 7 * index
        if byte < 128:
            return value, at + index + 1
    return 0, -1

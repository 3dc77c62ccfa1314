"""An event of a recording in JSON, as Teleport writes it.

The keys are the protos' `json_name`. What events share (user, server, connection, …) is nested on the wire and flat in
JSON. Left out when empty are texts, lists, maps and messages, but for `event`, `sid`, `server_id` and `program`;
numbers, truth values and times are always there, but for two.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from extaudit.recording.v1 import recorded_event_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

EARLIEST_SECONDS = -62_135_596_800
"""The first second of year 1, which is also the time of what has none."""
LATEST_SECONDS = 253_402_300_799

_ALWAYS = frozenset({"event", "sid", "server_id", "program"})
_LEFT_OUT_WHEN_ZERO = frozenset({"user_kind", "audit_session_id"})
_NEVER = frozenset({"SessionPrint.data"})
_LARGEST_INTEGER = 2**63
_NO_TIME = "0001-01-01T00:00:00Z"
_EPOCH = datetime.datetime(1970, 1, 1)


_Step = tuple[str, str, Callable[..., Any] | None, bool]
"""Field, key, what makes its value of the field's (None: it is that), and whether it is there even when empty."""


def json_of(event: Any) -> bytes:
    """Write an event's message as compact JSON, keys in the order of their numbers."""
    keys: dict[str, Any] = {}
    _collect(event, keys)
    return orjson.dumps(keys)


def _collect(message: Any, keys: dict[str, Any]) -> None:
    for name, key, shown, always in _STEPS[message.DESCRIPTOR.name]:
        value = getattr(message, name)
        if shown is None:
            if value or always:
                keys[key] = value
        elif shown is _collect:
            _collect(value, keys)
        elif shown is _time:
            keys[key] = _time(value) if message.HasField(name) else _NO_TIME
        else:
            value = shown(value)
            if value or always:
                keys[key] = value


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _time(time: Any) -> str | None:
    """RFC 3339 with as many decimals as there are; None outside the years 1 to 9999."""
    seconds, nanos = time.seconds, time.nanos
    if not (EARLIEST_SECONDS <= seconds <= LATEST_SECONDS and 0 <= nanos < 10**9):
        return None
    text = (_EPOCH + datetime.timedelta(seconds=seconds)).isoformat(timespec="seconds")
    decimals = f".{nanos:09}".rstrip("0") if nanos else ""
    return f"{text}{decimals}Z"


def _map(values: Any) -> dict[str, str]:
    # The stubs give maps in no order.
    return dict(sorted(values.items()))


def _struct(struct: Any) -> dict[str, Any]:
    return {key: _struct_value(value) for key, value in sorted(struct.fields.items())}


def _struct_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _struct(value.struct_value)
    if kind == "list_value":
        return [_struct_value(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < _LARGEST_INTEGER else number
    return None if kind in (None, "null_value") else getattr(value, kind)


def _steps_of(descriptor: Descriptor) -> tuple[_Step, ...]:
    return tuple(_step_of(field) for field in descriptor.fields if f"{descriptor.name}.{field.name}" not in _NEVER)


def _step_of(field: FieldDescriptor) -> _Step:
    name, key, message = field.name, field.json_name, field.message_type
    if message is not None and message.GetOptions().map_entry:
        return name, key, _map, False
    if field.is_repeated:
        return name, key, list, False
    if message is not None:
        shown = {"google.protobuf.Timestamp": _time, "google.protobuf.Struct": _struct}.get(message.full_name, _collect)
        return name, key, shown, False
    if field.type == FieldDescriptor.TYPE_BYTES:
        return name, key, _base64, True
    optional = key in _LEFT_OUT_WHEN_ZERO or (field.type == FieldDescriptor.TYPE_STRING and key not in _ALWAYS)
    return name, key, None, not optional


_STEPS: Mapping[str, tuple[_Step, ...]] = {
    name: _steps_of(descriptor) for name, descriptor in recorded_event_pb2.DESCRIPTOR.message_types_by_name.items()
}

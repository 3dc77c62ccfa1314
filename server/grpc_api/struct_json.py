"""Writes a google.protobuf.Struct as JSON: sorted keys, no spaces, whole numbers without a fraction."""

from __future__ import annotations

import json
import math

from google.protobuf import struct_pb2

from server.errors import InvalidRequest, Violation

MAX_DEPTH = 64
MAX_WHOLE_NUMBER = 2**53
"""Above it a structure can't tell neighbouring whole numbers apart."""

_Json = dict[str, "_Json"] | list["_Json"] | str | int | float | bool | None


def encode(fields: struct_pb2.Struct) -> bytes:
    """The structure as UTF-8 JSON.

    Raises:
        InvalidRequest: something in it can't be JSON, or can't be exact; the violation names the field `fields`.
    """
    text = json.dumps(_object(fields, 1), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _object(fields: struct_pb2.Struct, depth: int) -> _Json:
    if depth > MAX_DEPTH:
        raise _refused(f"must be at most {MAX_DEPTH} levels deep")
    return {name: _value(value, depth + 1) for name, value in fields.fields.items()}


def _value(value: struct_pb2.Value, depth: int) -> _Json:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return _number(value.number_value)
        case "bool_value":
            return value.bool_value
        case "null_value":
            return None
        case "struct_value":
            return _object(value.struct_value, depth)
        case "list_value":
            return _array(value.list_value, depth)
        case _:
            raise _refused("must have a kind set in every value")


def _array(values: struct_pb2.ListValue, depth: int) -> _Json:
    if depth > MAX_DEPTH:
        raise _refused(f"must be at most {MAX_DEPTH} levels deep")
    return [_value(value, depth + 1) for value in values.values]


def _number(number: float) -> int | float:
    if not math.isfinite(number):
        raise _refused("must hold no NaN and no infinity")
    if not number.is_integer():
        return number
    if abs(number) > MAX_WHOLE_NUMBER:
        raise _refused("must hold no whole number beyond 2^53, which a structure can't carry exactly; send bytes")
    return int(number)


def _refused(description: str) -> InvalidRequest:
    return InvalidRequest([Violation("fields", description)])

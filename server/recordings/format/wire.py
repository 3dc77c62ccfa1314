"""Protobuf's wire format, as far as records need it that the stubs can't read."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_MOST_VARINT_BYTES = 10
_MOST_DEPTH = 50


class BadWire(Exception):
    """The bytes are no message."""


def cut_fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Give number, wire type and content of each field of a message. Raises BadWire."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        start = at
        if wire_type == VARINT:
            _, at = _varint(data, at)
        elif wire_type == LENGTH:
            size, start = _varint(data, at)
            at = start + size
        else:
            at += _FIXED.get(wire_type, len(data) + 1)
        if not number or at > len(data):
            raise BadWire
        yield number, wire_type, data[start:at]


def with_valid_text(data: bytes, descriptor: Descriptor, depth: int = 0) -> bytes:
    """Give the message with what is no UTF-8 in its texts replaced: its writer doesn't check texts. Raises BadWire."""
    fields: list[bytes] = []
    for number, wire_type, content in cut_fields(data):
        fields.append(packed_varint(number << 3 | wire_type))
        if wire_type == LENGTH:
            content = _with_valid_text(content, descriptor.fields_by_number.get(number), depth)
            fields.append(packed_varint(len(content)))
        fields.append(content)
    return b"".join(fields)


def _with_valid_text(content: bytes, field: FieldDescriptor | None, depth: int) -> bytes:
    if field is None or depth == _MOST_DEPTH:
        return content
    if field.type == FieldDescriptor.TYPE_STRING:
        return content.decode(errors="replace").encode()
    if field.message_type is not None:
        return with_valid_text(content, field.message_type, depth + 1)
    return content


def packed_varint(value: int) -> bytes:
    """Write a number that isn't negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(_MOST_VARINT_BYTES):
        if at == len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at
    raise BadWire

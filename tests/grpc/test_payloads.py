"""Payloads to bytes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from extaudit.v1.event_pb2 import EventPayload
from google.protobuf.struct_pb2 import Struct, Value

from server.errors import InvalidRequest
from server.grpc_api import struct_json
from server.grpc_api.payloads import message_payloads, payload_bytes


def structure(**fields: Any) -> EventPayload:
    found = Struct()
    found.update(fields)
    return EventPayload(fields=found)


def nested(levels: int, *, lists: bool) -> Struct:
    """Built in place: protobuf itself refuses to decode, and so to copy, a structure as deep as this."""
    found = Struct()
    value = found.fields["a"]
    for _ in range(levels - 1):
        value = value.list_value.values.add() if lists else value.struct_value.fields["a"]
    value.bool_value = True
    return found


def test_json_is_passed_as_it_is() -> None:
    assert payload_bytes(EventPayload(json=b' {"a" :1}\xff')) == b' {"a" :1}\xff'
    assert payload_bytes(EventPayload(json=b"")) == b""


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"b": 1, "a": "x", "B": None, "ab": True}, '{"B":null,"a":"x","ab":true,"b":1}'),
        ({"n": [1.0, -2.0, 1.5, 0.1, -0.0]}, '{"n":[1,-2,1.5,0.1,0]}'),
        ({"n": [2.0**53, -(2.0**53)]}, '{"n":[9007199254740992,-9007199254740992]}'),
        ({"t": 'ü\u2028"\\\n\0😀'}, '{"t":"ü\u2028\\"\\\\\\n\\u0000😀"}'),
        ({"e": {}, "l": [], "n": [{"z": 1, "y": [2]}]}, '{"e":{},"l":[],"n":[{"y":[2],"z":1}]}'),
        ({"tiny": 5e-324}, '{"tiny":5e-324}'),
    ],
)
def test_a_structure_is_compact_json_with_sorted_keys_and_whole_numbers(fields: dict[str, Any], expected: str) -> None:
    assert payload_bytes(structure(**fields)) == expected.encode()


@pytest.mark.parametrize(
    "payload",
    [
        structure(n=2.0**53 + 2),
        structure(n=-(2.0**60)),
        structure(n=1e300),
        structure(n=math.nan),
        structure(n=[math.inf]),
        structure(n=-math.inf),
        EventPayload(fields=Struct(fields={"n": Value()})),
    ],
)
def test_what_a_structure_cannot_carry_is_refused(payload: EventPayload) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        payload_bytes(payload)
    assert [violation.field for violation in refusal.value.violations] == ["fields"]


@pytest.mark.parametrize("lists", [True, False])
def test_structures_of_up_to_sixty_four_levels_are_written(lists: bool) -> None:
    written = struct_json.encode(nested(64, lists=lists))
    assert written.count(b"{") + written.count(b"[") == 64
    with pytest.raises(InvalidRequest, match="64 levels"):
        struct_json.encode(nested(65, lists=lists))


def test_depth_is_refused_before_it_can_exhaust_the_stack() -> None:
    with pytest.raises(InvalidRequest, match="64 levels"):
        struct_json.encode(nested(3000, lists=True))


def test_a_batch_keeps_its_order_and_names_what_has_no_bytes() -> None:
    found = message_payloads([EventPayload(json=b"a"), EventPayload(), structure(a=1), EventPayload(json=b"")])
    assert [found.payload(index) for index in range(4)] == [b"a", b"", b'{"a":1}', b""]
    assert {index: refusal.violations[0].field for index, refusal in found.refused.items()} == {1: "payload"}

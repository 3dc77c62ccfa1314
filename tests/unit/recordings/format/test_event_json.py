"""The JSON of each kind of event, and the numbers that its fields have on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from extaudit.recording.v1 import recorded_event_pb2 as pb
from google.protobuf.message import Message

from server.recordings.format.event_json import json_of

SHARED = {
    "metadata": "ei event ?uid ?code time ?cluster_name",
    "user": "?user ?login ?impersonator ?aws_role_arn ?access_requests ?azure_identity ?gcp_service_account"
    " ?required_private_key_policy ?user_kind ?bot_name ?bot_instance_id",
    "session": "sid ?with_mfa ?private_key_policy",
    "server": "?namespace server_id ?server_hostname ?server_addr ?server_labels ?forwarded_by ?server_sub_kind"
    " ?server_version",
    "connection": "?addr.local ?addr.remote ?proto",
    "client": "?user_agent",
    "kubernetes_cluster": "?kubernetes_cluster ?kubernetes_users ?kubernetes_groups ?kubernetes_labels",
    "kubernetes_pod": "?kubernetes_pod_name ?kubernetes_pod_namespace ?kubernetes_container_name"
    " ?kubernetes_container_image ?kubernetes_node_name",
    "status": "success ?error ?message",
    "resource": "?name expires ?updated_by ?ttl",
    "bpf": "pid cgroup_id program ?audit_session_id",
    "database": "?db_service ?db_protocol ?db_uri ?db_name ?db_user",
}

# Number in OneOf, message, and its fields in the order of their JSON: number, then what is shared, or a key. A key with
# `?` is left out when empty.
KINDS: list[tuple[int, str, str]] = [
    (1, "UserLogin", "1 metadata 2 user 3 status 4 ?method 5 ?attributes 7 client 8 connection 9 ?applied_login_rules"),
    (2, "UserCreate", "1 metadata 2 user 3 resource 4 ?roles 5 ?connector 6 connection"),
    (
        5,
        "SessionStart",
        "1 metadata 2 user 3 session 4 server 5 connection 6 ?size 7 kubernetes_cluster 8 kubernetes_pod"
        " 9 ?initial_command 10 ?session_recording 12 ?invited 13 ?reason",
    ),
    (6, "SessionJoin", "1 metadata 2 user 3 session 4 server 5 connection 6 kubernetes_cluster"),
    (7, "SessionPrint", "1 metadata 2 ci 3 - 4 bytes 5 ms 6 offset"),
    (8, "SessionReject", "1 metadata 2 user 3 server 4 connection 5 ?reason 6 max"),
    (
        9,
        "Resize",
        "1 metadata 2 user 3 session 4 connection 5 server 6 ?size 7 kubernetes_cluster 8 kubernetes_pod",
    ),
    (
        10,
        "SessionEnd",
        "1 metadata 2 user 3 session 4 connection 5 server 6 enhanced_recording 7 interactive 8 ?participants"
        " 9 session_start 10 session_stop 11 kubernetes_cluster 12 kubernetes_pod 13 ?initial_command"
        " 14 ?session_recording",
    ),
    (11, "SessionCommand", "1 metadata 2 user 3 session 4 server 5 bpf 6 ppid 7 ?path 8 ?argv 9 return_code"),
    (12, "SessionDisk", "1 metadata 2 user 3 session 4 server 5 bpf 6 ?path 7 flags 8 return_code"),
    (
        13,
        "SessionNetwork",
        "1 metadata 2 user 3 session 4 server 5 bpf 6 ?src_addr 7 ?dst_addr 8 dst_port 9 version 10 operation"
        " 11 action",
    ),
    (14, "SessionData", "1 metadata 2 user 3 session 4 server 5 connection 6 tx 7 rx"),
    (15, "SessionLeave", "1 metadata 2 user 3 session 4 server 5 connection"),
    (40, "DatabaseSessionStart", "1 metadata 2 user 3 session"),
    (41, "DatabaseSessionEnd", "1 metadata 2 user 3 session"),
    (
        42,
        "DatabaseSessionQuery",
        "1 metadata 2 user 3 session 4 database 5 ?db_query 6 ?db_query_parameters 7 status",
    ),
    (43, "SessionUpload", "1 metadata 2 session 5 ?url"),
    (59, "WindowsDesktopSessionStart", "1 metadata 2 user 3 session"),
    (60, "WindowsDesktopSessionEnd", "1 metadata 2 user 3 session"),
    (67, "SessionConnect", "1 metadata 2 server 3 connection"),
    (69, "DesktopRecording", "1 metadata 2 message 3 ms"),
]
IDS = [kind for _, kind, _ in KINDS]


def keys_of(fields: str) -> list[str]:
    """The keys of an event in order, those that may be left out with their `?`."""
    words = fields.split()[1::2]
    return [key for word in words if word != "-" for key in SHARED.get(word, word).split()]


def fill(message: Any) -> None:
    """Set every field to something that isn't empty."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value["key"] = "value"
        elif field.message_type is not None and field.message_type.name == "Timestamp":
            value.seconds = field.number
        elif field.message_type is not None and field.message_type.name == "Struct":
            value["key"] = "value"
        elif field.message_type is not None:
            fill(value)
        elif field.is_repeated:
            value.append("item")
        else:
            setattr(message, field.name, {str: "text", bytes: b"bytes"}.get(type(value), 1))


def test_every_kind_has_its_number() -> None:
    assert [(field.number, field.message_type.name) for field in pb.OneOf.DESCRIPTOR.fields] == [
        (number, name) for number, name, _ in KINDS
    ]


@pytest.mark.parametrize(("name", "fields"), [kind[1:] for kind in KINDS], ids=IDS)
def test_every_field_has_its_number(name: str, fields: str) -> None:
    words = fields.split()
    numbers = {int(number): word.removeprefix("?") for number, word in zip(words[::2], words[1::2], strict=True)}
    assert {
        field.number: field.name
        if field.name in SHARED and field.message_type
        else field.json_name.replace("data", "-")
        for field in getattr(pb, name).DESCRIPTOR.fields
    } == numbers


@pytest.mark.parametrize(("name", "fields"), [kind[1:] for kind in KINDS], ids=IDS)
def test_a_full_event_has_all_keys_in_order(name: str, fields: str) -> None:
    event: Message = getattr(pb, name)()
    fill(event)
    assert list(json.loads(json_of(event))) == [key.removeprefix("?") for key in keys_of(fields)]


@pytest.mark.parametrize(("name", "fields"), [kind[1:] for kind in KINDS], ids=IDS)
def test_an_empty_event_has_those_that_are_never_left_out(name: str, fields: str) -> None:
    assert list(json.loads(json_of(getattr(pb, name)()))) == [key for key in keys_of(fields) if key[0] != "?"]


def values_of(event: Message) -> dict[str, Any]:
    keys: dict[str, Any] = json.loads(json_of(event))
    return keys


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (0, 0, "1970-01-01T00:00:00Z"),
        (1_794_000_000, 0, "2026-11-06T21:20:00Z"),
        (1_794_000_000, 1, "2026-11-06T21:20:00.000000001Z"),
        (1_794_000_000, 430_000_000, "2026-11-06T21:20:00.43Z"),
        (-1, 500_000_000, "1969-12-31T23:59:59.5Z"),
        (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
        (253_402_300_799, 999_999_999, "9999-12-31T23:59:59.999999999Z"),
        (253_402_300_800, 0, None),
        (0, -1, None),
        (0, 10**9, None),
    ],
)
def test_times_are_rfc_3339_with_the_decimals_there_are(seconds: int, nanos: int, text: str | None) -> None:
    event = pb.SessionEnd()
    event.end_time.seconds = seconds
    event.end_time.nanos = nanos
    assert values_of(event)["session_stop"] == text


def test_a_time_that_is_not_there_is_the_first_of_year_1() -> None:
    assert values_of(pb.SessionEnd())["session_stop"] == "0001-01-01T00:00:00Z"


def test_what_a_terminal_showed_is_never_in_json() -> None:
    assert json_of(pb.SessionPrint(data=b"secret", bytes=6)) == (
        b'{"ei":0,"event":"","time":"0001-01-01T00:00:00Z","ci":0,"bytes":6,"ms":0,"offset":0}'
    )


def test_numbers_keep_all_their_bits() -> None:
    event = pb.SessionData(bytes_transmitted=2**64 - 1, bytes_received=2**53 + 1)
    event.metadata.index = -(2**63)
    values = values_of(event)
    assert (values["ei"], values["tx"], values["rx"]) == (-(2**63), 2**64 - 1, 2**53 + 1)


def test_values_have_the_types_that_teleport_gives_them() -> None:
    login = pb.UserLogin(user=pb.UserMetadata(user_kind=pb.USER_KIND_BOT))
    login.identity_attributes.update({"a": 1653294514, "b": 0.5, "c": [None, True, {"d": "e"}], "f": 2.0**60})
    values = values_of(login)
    assert values["user_kind"] == 2
    assert values["attributes"] == {"a": 1653294514, "b": 0.5, "c": [None, True, {"d": "e"}], "f": 2.0**60}
    assert b'"a":1653294514,' in json_of(login)
    assert values_of(pb.DesktopRecording(message=b"\x00\xff"))["message"] == "AP8="
    start = pb.SessionStart(server=pb.ServerMetadata(server_labels={"env": "prod"}), initial_command=["ls", "-l"])
    assert values_of(start)["server_labels"] == {"env": "prod"}
    assert values_of(start)["initial_command"] == ["ls", "-l"]


def test_a_number_too_large_for_an_integer_stays_what_it_is() -> None:
    login = pb.UserLogin()
    login.identity_attributes.update({"a": 1e19, "b": -(2.0**62)})
    assert json_of(login).endswith(b'"attributes":{"a":1e+19,"b":-4611686018427387904}}')


def test_maps_are_in_order() -> None:
    names = [f"label-{number:02}" for number in range(30)]
    start = pb.SessionStart(server=pb.ServerMetadata(server_labels=dict.fromkeys(names, "")))
    assert list(values_of(start)["server_labels"]) == names
    login = pb.UserLogin()
    login.identity_attributes.update(dict.fromkeys(names, ""))
    assert list(values_of(login)["attributes"]) == names


def test_what_is_no_number_becomes_null() -> None:
    login = pb.UserLogin()
    login.identity_attributes.update({"a": float("nan"), "b": float("inf")})
    assert values_of(login)["attributes"] == {"a": None, "b": None}

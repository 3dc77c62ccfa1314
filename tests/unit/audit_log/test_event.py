"""What is accepted as an event, and the columns taken from its JSON."""

from __future__ import annotations

import itertools
import json
import uuid
from typing import Any

import pytest

from rbac.identities import SERVICE, Identity, IdentityKind
from server.audit_log.event import MAX_TIME_MS, Event, digest_of, parse_event, stored_event
from server.audit_log.timestamps import DAY_MS, format_rfc3339
from server.errors import InvalidRequest

NOW_MS = 1_795_000_000_123
USER = Identity(IdentityKind.USER, "alice", frozenset({"importer"}))
TIME = "2026-11-01T08:00:04.120Z"


def parse(raw: bytes, max_bytes: int = 1 << 20) -> Event:
    return parse_event(raw, USER, now_ms=NOW_MS, max_bytes=max_bytes)


def parse_members(**members: Any) -> Event:
    """An event with `event`, `uid` and `time` unless told otherwise; None stands for null."""
    return parse(json.dumps({"event": "t", "uid": "u-1", "time": TIME} | members).encode())


def violations(raw: bytes, **options: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as refusal:
        parse(raw, **options)
    found = {violation.field: violation.description for violation in refusal.value.violations}
    assert len(found) == len(refusal.value.violations), "one violation for a field"
    return found


def wrong_fields(**members: Any) -> list[str]:
    return list(violations(json.dumps({"event": "t", "uid": "u-1", "time": TIME} | members).encode()))


def test_a_whole_event_is_kept_byte_for_byte() -> None:
    raw = b' { "event":"user.login", "uid":"u-1","time":"2026-11-01T08:00:04.1209Z","sid":"s","user":"bob","n":1.50 }\n'
    event = parse(raw)
    assert event.data == raw
    assert event[:5] == (1_793_520_004_120, "user.login", "u-1", "s", "bob")
    assert not event.uid_assigned


# --- event


@pytest.mark.parametrize("event_type", ["t", "x" * 256, "é" * 128, "😀" * 64, " ", "\u0001", "a/../b"])
def test_a_type_is_any_string_of_1_to_256_bytes(event_type: str) -> None:
    assert parse_members(event=event_type).type == event_type


@pytest.mark.parametrize(
    "event_type", ["", "x" * 257, "é" * 129, "😀" * 65, "a\0b", None, 1, True, ["t"], {"event": "t"}]
)
def test_any_other_type_is_refused(event_type: Any) -> None:
    assert wrong_fields(event=event_type) == ["event"]


def test_an_event_without_a_type_is_refused() -> None:
    assert list(violations(b'{"uid":"u"}')) == ["event"]
    assert list(violations(b"{}")) == ["event"]


# --- uid


@pytest.mark.parametrize(
    "uid", ["u", "!", "~", "!" * 128, "../../etc/passwd", '"\\', "f67a73f9-1da3-4124-974d-72e2bc80841b"]
)
def test_a_uid_is_1_to_128_characters_of_visible_ascii(uid: str) -> None:
    event = parse_members(uid=uid)
    assert (event.uid, event.uid_assigned) == (uid, False)


@pytest.mark.parametrize(
    "uid", ["", "u" * 129, " ", "a b", "a\t", "a\n", "a\0", "\x1f", "\x7f", "\x80", "é", "\uff41", None, 1, [], {}]
)
def test_any_other_uid_is_refused_and_never_replaced(uid: Any) -> None:
    assert wrong_fields(uid=uid) == ["uid"]


# --- time


@pytest.mark.parametrize(
    ("time_ms", "accepted"),
    [(-1, False), (0, True), (NOW_MS, True), (NOW_MS + DAY_MS, True), (NOW_MS + DAY_MS + 1, False)],
)
def test_a_time_is_from_1970_on_and_at_most_24_hours_ahead(time_ms: int, *, accepted: bool) -> None:
    text = format_rfc3339(time_ms)
    if accepted:
        assert parse_members(time=text).time_ms == time_ms
    else:
        assert wrong_fields(time=text) == ["time"]


@pytest.mark.parametrize(
    "time", [None, "", 0, 1_795_000_000, "now", "2026-11-01", "2026-11-01T08:00:04", "2026-11-01T08:00:60Z", []]
)
def test_what_is_no_rfc_3339_time_is_refused_and_never_replaced(time: Any) -> None:
    assert wrong_fields(time=time) == ["time"]


def test_times_of_any_offset_are_the_same_instant_in_the_column() -> None:
    texts = ("2026-11-01T00:00:00Z", "2026-11-01T05:30:00+05:30", "2026-10-31T16:00:00.000999-08:00")
    assert {parse_members(time=text).time_ms for text in texts} == {1_793_491_200_000}
    assert parse_members(time="2016-12-31T23:59:60.5Z").time_ms == 1_483_228_800_500


# --- user and sid


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("bob", "bob"),
        ("", ""),
        ("é" * 5_000, "é" * 5_000),
        ({"user": "bob", "x": 1}, "bob"),
        ({"user": {"user": "bob"}}, ""),
        ({"user": None}, ""),
        ({"USER": "bob"}, ""),
        ({}, ""),
        (["bob"], ""),
        (1, ""),
        (True, ""),
        (None, ""),
    ],
)
def test_the_user_is_a_string_or_its_member_user_or_nothing(user: Any, expected: str) -> None:
    assert parse_members(user=user).user == expected


@pytest.mark.parametrize(
    ("sid", "expected"),
    [
        ("s", "s"),
        ("s" * 256, "s" * 256),
        ("é" * 128, "é" * 128),
        ("../..", "../.."),
        ("s" * 257, ""),
        ("é" * 129, ""),
        ("\0" * 257, ""),
        ("", ""),
        ({"sid": "s"}, ""),
        (["s"], ""),
        (7, ""),
        (None, ""),
    ],
)
def test_the_session_is_a_string_of_at_most_256_bytes_or_nothing(sid: Any, expected: str) -> None:
    event = parse_members(sid=sid)
    assert event.session_id == expected
    assert json.loads(event.data)["sid"] == sid


def test_user_and_session_may_be_missing() -> None:
    assert parse_members()[3:5] == ("", "")


def test_a_nul_is_refused_in_columns_and_kept_elsewhere() -> None:
    assert wrong_fields(user="a\0") == ["user"]
    assert wrong_fields(user={"user": "\0"}) == ["user"]
    assert wrong_fields(sid="\0s") == ["sid"]
    assert b"\\u0000" in parse_members(message="a\0b").data
    assert b"\\u0000" in parse_members(user={"other": "\0"}).data


# --- the document


def test_a_document_that_is_not_strict_is_refused_whatever_it_says() -> None:
    for raw in (
        b"",
        b"[]",
        b'{"event":"t","event":"u"}',
        b'{"event":"t","\\u0065vent":"t"}',
        b'{"event":"t","n":1e999}',
    ):
        assert list(violations(raw)) == ["json"]


def test_an_event_may_be_as_large_as_the_limit_and_no_larger() -> None:
    raw = b'{"event":"t","uid":"u","time":"2026-11-01T08:00:04Z"}'
    assert parse(raw, max_bytes=len(raw)).data == raw
    assert violations(raw, max_bytes=len(raw) - 1) == {"json": f"must be at most {len(raw) - 1} bytes"}


def test_what_is_inserted_does_not_count_against_the_limit() -> None:
    raw = b'{"event":"t"}'
    assert len(parse(raw, max_bytes=len(raw)).data) > len(raw)


def case_variants(key: str) -> set[str]:
    choices = [{c, c.upper()} | ({"\u017f"} if c == "s" else set()) for c in key]
    return {"".join(letters) for letters in itertools.product(*choices)} - {key}


@pytest.mark.parametrize(("key", "number"), [("event", 31), ("time", 15), ("uid", 7), ("sid", 11), ("user", 23)])
def test_a_key_that_differs_only_in_case_from_a_columns_is_refused(key: str, number: int) -> None:
    variants = case_variants(key)
    assert len(variants) == number
    for variant in variants:
        assert violations(json.dumps({"event": "t", variant: "x"}, ensure_ascii=False).encode()) == {
            "json": f"has a key that differs only in case from {key!r}"
        }
        assert list(violations(json.dumps({"event": "t", variant: "x"}, ensure_ascii=True).encode())) == ["json"]
    assert parse_members(nested=dict.fromkeys(variants, 1)).type == "t"


def test_keys_that_no_reader_takes_for_a_columns_are_kept() -> None:
    others = {"events": 1, "event ": 1, "e\u00advent": 1, "\uff45vent": 1, "t\u0131me": 1, "u\u0130d": 1, "": 1}
    assert parse_members(**others).type == "t"


def test_every_wrong_field_has_its_violation() -> None:
    raw = b'{"event":7,"uid":"","time":"x","user":"\\u0000","sid":"\\u0000","Time":1,"UID":2}'
    assert sorted(violations(raw)) == ["event", "json", "sid", "time", "uid", "user"]


# --- what is inserted


@pytest.mark.parametrize(
    "raw",
    [
        b'{"event":"t"}',
        b'{"event":"t"} \r\n\t',
        b'{"event":"t" }',
        b'{"event":"}"}',
        b'{"event":"t","a":"{}}"}\n',
        b'{"event":"t","a":{"uid":"inner","time":"inner"}}',
        b'{"a":[{}],"event":"t","b":{"c":{}}}',
        b'{"event":"t","a":"\\"}"}',
        '{"event":"t","a":"\u2028}"}'.encode(),
    ],
)
def test_a_missing_uid_and_time_are_inserted_before_the_closing_brace(raw: bytes) -> None:
    event = parse(raw)
    brace = raw.rindex(b"}")
    inserted = f',"uid":"{event.uid}","time":"{format_rfc3339(NOW_MS)}"'.encode()
    assert event.data == raw[:brace] + inserted + raw[brace:]
    assert json.loads(event.data) == json.loads(raw) | {"uid": event.uid, "time": format_rfc3339(NOW_MS)}
    assert event.time_ms == NOW_MS
    assert event.uid_assigned
    assert uuid.UUID(event.uid).version == 4


def test_only_what_is_missing_is_inserted() -> None:
    assert (
        parse(b'{"event":"t","uid":"u"}').data
        == b'{"event":"t","uid":"u","time":"%b"}' % format_rfc3339(NOW_MS).encode()
    )
    event = parse(b'{"event":"t","time":"2026-11-01T08:00:04Z"}')
    assert event.data == b'{"event":"t","time":"2026-11-01T08:00:04Z","uid":"%b"}' % event.uid.encode()


def test_every_event_without_a_uid_gets_its_own() -> None:
    assert len({parse(b'{"event":"t"}').uid for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "raw",
    [b'{"event":"t"}', b'{"event":"t","user":{"user":"b"},"sid":"s","uid":"u"} ', b'{"\\u0075id":"u","event":"t"}'],
)
def test_a_stored_event_is_read_back_as_it_was_accepted(raw: bytes) -> None:
    accepted = parse(raw)
    assert stored_event(accepted.data) == accepted._replace(uid_assigned=False)


def test_a_stored_event_is_read_back_whatever_the_clock_says_by_then() -> None:
    raw = b'{"event":"t","uid":"u","time":"9999-12-31T23:59:59.999Z"}'
    accepted = parse_event(raw, USER, now_ms=MAX_TIME_MS - DAY_MS, max_bytes=100)
    assert stored_event(accepted.data) == accepted


def test_the_digest_is_of_the_stored_bytes() -> None:
    assert digest_of(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_only_the_service_itself_may_emit_what_looks_like_its_trace() -> None:
    """Else any emitter could write who searched for what."""
    raw = b'{"event":"extaudit.events.get","user":"admin"}'
    with pytest.raises(InvalidRequest, match="must not begin with"):
        parse_event(raw, USER, now_ms=NOW_MS, max_bytes=1000)
    assert parse_event(raw, SERVICE, now_ms=NOW_MS, max_bytes=1000).type == "extaudit.events.get"

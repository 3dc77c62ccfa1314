"""A uid is inserted as the service would do it, and the rest stays byte for byte."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime

import pytest
from extaudit_client import InvalidRequest
from extaudit_client.event_uid import prepared, with_uid

from rbac.identities import Identity, IdentityKind
from server.audit_log.event import parse_event

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
EMITTER = Identity(IdentityKind.USER, "alice", frozenset())


@pytest.mark.parametrize(
    "event",
    [
        b'{"event":"e"}',
        b'{"event":"e", "nested":{"uid":"x","time":1}} \r\n',
        '{"event":"é\\u00e9","n":12345678901234567890.10}'.encode(),
        b' { "event" : "e" , "list":[{"a":"}"}] } ',
    ],
)
def test_what_is_missing_is_inserted_before_the_closing_brace(event: bytes) -> None:
    uid, ready = prepared(event, lambda: NOW)
    assert str(uuid.UUID(uid)) == uid
    inserted = b',"uid":"%b","time":"2026-01-02T03:04:05.678Z"' % uid.encode()
    at = event.rindex(b"}")
    assert ready == event[:at] + inserted + event[at:]
    assert json.loads(ready)["uid"] == uid


@pytest.mark.parametrize(
    "event", [b'{"event":"e","uid":"u-1","time":"t"}', b'{"event":"e","uid":"u-1","time":"2026-01-01T00:00:00Z"}\n']
)
def test_an_event_that_has_both_stays_as_it_is(event: bytes) -> None:
    assert prepared(event) == ("u-1", event)
    assert with_uid(event) == ("u-1", event)


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"uid":"u"}',
        b'{"event":"e"',
        b"\xff",
        b'{"event":NaN}',
        b'{"event":"e","uid":1}',
        b'{"event":"e","uid":null}',
        b'{"event":"e","uid":""}',
        b'{"event":"e","uid":"a b"}',
        b'{"event":"e","uid":"%b"}' % (b"u" * 129),
        '{"event":"é"}'.encode("utf-16"),
        b'{"event":' + b"[" * 100_000,
    ],
)
def test_what_can_have_no_uid_is_refused_at_once_and_left_alone_where_it_is_only_sent(event: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        prepared(event)
    assert caught.value.violations
    assert with_uid(event)[1] == event


@pytest.mark.parametrize("seed", range(20))
def test_the_service_takes_what_was_prepared_and_finds_the_same_uid(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(50):
        members = {"event": "e"} | {f"k{n}": dice.choice([1, 1.5, "ü}", None, [], {"uid": 1}]) for n in range(3)}
        if dice.random() < 0.3:
            members["uid"] = f"u{dice.random()}"
        event = json.dumps(members, ensure_ascii=dice.random() < 0.5, indent=dice.choice([None, 1])).encode()
        uid, ready = prepared(event)
        found = parse_event(ready, EMITTER, now_ms=int(NOW.timestamp() * 1000) + 10**11, max_bytes=1 << 20)
        assert (found.uid, found.data, found.uid_assigned) == (uid, ready, False)

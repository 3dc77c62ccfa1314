"""The sample that `extaudit events emit --sample` sends shows every oddity that real events have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from rbac.identities import Identity, IdentityKind
from server.audit_log.event import parse_event
from tests.shape.repository import ROOT

LINES = (ROOT / "clients/cli/extaudit_cli/sample-events.jsonl").read_bytes().splitlines()
EVENTS: list[dict[str, Any]] = [json.loads(line) for line in LINES]
EMITTER = Identity(IdentityKind.USER, "admin", frozenset({"importer"}))
NOW_MS = 1_795_392_000_000  # 2026-11-23
UUID_LENGTH = 36

ODDITIES: list[tuple[str, int, Callable[[dict[str, Any]], bool]]] = [
    ("no uid", 6, lambda event: "uid" not in event),
    ("a uid that is no UUID", 3, lambda event: len(event.get("uid", "-" * UUID_LENGTH)) != UUID_LENGTH),
    ("an object as user", 2, lambda event: isinstance(event.get("user"), dict)),
    ("no user", 2, lambda event: "user" not in event),
    ("a sid that is no UUID", 2, lambda event: "sid" in event and len(str(event["sid"])) != UUID_LENGTH),
    ("a sid that is no string", 1, lambda event: not isinstance(event.get("sid", ""), str)),
    ("text beyond ASCII", 1, lambda event: not json.dumps(event, ensure_ascii=False).isascii()),
    ("an integer beyond 2^53", 1, lambda event: any(type(v) is int and v > 2**53 for v in event.values())),
    ("JSON inside a string", 1, lambda event: any(str(value).startswith('{"') for value in event.values())),
    ("a dot in a key", 5, lambda event: "addr.local" in event),
]


def test_the_sample_has_60_to_80_events_of_at_least_45_types() -> None:
    assert 60 <= len(EVENTS) <= 80
    assert len({event["event"] for event in EVENTS}) >= 45


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(LINES.index(line) + 1))
def test_the_service_takes_every_line(line: bytes) -> None:
    event = parse_event(line, EMITTER, now_ms=NOW_MS, max_bytes=2**21)
    assert event.data.startswith(line[:-1])


@pytest.mark.parametrize(("oddity", "least", "has"), ODDITIES, ids=[oddity for oddity, _, _ in ODDITIES])
def test_the_sample_has_the_oddity(oddity: str, least: int, has: Callable[[dict[str, Any]], bool]) -> None:
    assert sum(map(has, EVENTS)) >= least


def test_times_lie_in_the_first_twenty_days_of_november_2026() -> None:
    assert {event["time"][:8] for event in EVENTS} == {"2026-11-"}
    assert {1, 20} <= {int(event["time"][8:10]) for event in EVENTS} <= set(range(1, 21))


def test_uids_are_given_once() -> None:
    assert [uid for uid, times in Counter(e["uid"] for e in EVENTS if "uid" in e).items() if times > 1] == []


def test_one_session_is_there_from_start_to_end() -> None:
    start = next(event for event in EVENTS if event["event"] == "session.start")
    session = [event for event in EVENTS if event.get("sid") == start["sid"]]
    assert [session[0]["event"], session[-1]["event"]] == ["session.start", "session.recording.access"]
    assert "session.end" in {event["event"] for event in session}
    assert [event["time"] for event in session] == sorted(event["time"] for event in session)
    assert len({event["user"] for event in session if "user" in event}) >= 2

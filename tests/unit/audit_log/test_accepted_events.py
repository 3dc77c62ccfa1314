"""Whatever is accepted, a strict reader of another make accepts as well and sees the same."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from server.audit_log.event import Event, stored_event
from server.audit_log.timestamps import parse_rfc3339
from server.errors import InvalidRequest
from tests.shape.repository import ROOT
from tests.unit.audit_log.emitters import NOW_MS, parsed

SAMPLE = ROOT / "clients/cli/extaudit_cli/sample-events.jsonl"
FILES = [SAMPLE, *(Path(name) for name in [os.environ.get("EXTAUDIT_EVENTS_FILE", "")] if name)]
ROUNDS = 6_000
LATER_MS = NOW_MS + 30 * 86_400_000


def strictly(data: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), "a key twice"
        return dict(pairs)

    def constant(text: str) -> None:
        raise AssertionError(text)

    members = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    assert isinstance(members, dict)
    return members


def check(raw: bytes, event: Event) -> None:
    given, members = strictly(raw), strictly(event.data)
    assert {name: members[name] for name in given} == given
    assert set(members) == {*given, "uid", "time"}
    assert (members["event"], members["uid"]) == (event.type, event.uid)
    assert parse_rfc3339(members["time"]) == event.time_ms
    user = members.get("user")
    user = user.get("user") if isinstance(user, dict) else user
    assert event.user == (user if isinstance(user, str) else "")
    sid = members.get("sid")
    assert event.session_id == (sid if isinstance(sid, str) and len(sid.encode()) <= 256 else "")
    assert stored_event(event.data) == event._replace(uid_assigned=False)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_events_are_all_accepted(path: Path) -> None:
    lines = path.read_bytes().splitlines()
    assert len(lines) > 50
    for line in lines:
        check(line, parsed(line, now_ms=LATER_MS))


ATOMS = [
    "1", "-0", "1.50", "1e3", "1e999", "01", "NaN", "true", "null", '""', '"a"', '"\\u0061"', '"\\ud83d\\ude00"',
    '"\\ud83d"', '"\\u0000"', '"\\/"', '"é"', '"2026-11-18T00:00:00Z"', '"2026-11-18T00:00:00.5+14:00"',
    '"2016-12-31T23:59:60Z"',
    '"u-1"', '"u 1"', "[]", "{}", '{"user":"x"}', '{"user":"x","user":"y"}', '{"a":1,"\\u0061":2}', "[1,[2,{}]]",
    "18446744073709551616", "0." + "3" * 396, "0." + "3" * 400,
]  # fmt: skip
KEYS = [
    '"event"', '"time"', '"uid"', '"sid"', '"user"', '"x"', '"y"', '"\\u0078"', '"\\u0065vent"', '"Event"',
    '"u\u017fer"', '""', '"a}b"', '"\\""',
]  # fmt: skip
SPACES = ["", "", "", " ", "\n", "\t ", "\ufeff", "\u00a0"]


def document(chance: random.Random) -> bytes:
    members = []
    for _ in range(chance.randint(0, 6)):
        key, value = chance.choice(KEYS), chance.choice(ATOMS)
        members.append(f"{chance.choice(SPACES[:6])}{key}:{chance.choice(SPACES[:6])}{value}")
    if chance.random() < 0.8:
        members.insert(chance.randint(0, len(members)), '"event":"a"')
    text = chance.choice(SPACES) + "{" + ",".join(members) + "}" + chance.choice(SPACES)
    data = bytearray(text.encode())
    if chance.random() < 0.15:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def test_whatever_is_accepted_reads_the_same_elsewhere() -> None:
    chance = random.Random(20_261_118)
    accepted = 0
    for _ in range(ROUNDS):
        raw = document(chance)
        try:
            event = parsed(raw, now_ms=NOW_MS)
        except InvalidRequest:
            continue
        accepted += 1
        try:
            check(raw, event)
        except Exception as error:
            raise AssertionError(repr(raw)) from error
    assert ROUNDS // 20 < accepted < ROUNDS

"""Histories of sessions at random, and what an index of them has to show, worked out event by event."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rbac.identities import Identity
from server.audit_log.timestamps import format_rfc3339, parse_rfc3339
from server.recordings.sessions.session import SessionKind
from tests.contract.session_rig import AUTH, MALLORY, NODE, OTHER_NODE, PROXY, new_id, session_event

NAMES = ["alice", "Bob", "carol%", "dave_", "Zoë"]
SERVERS = ["node-1", "node-2"]
TARGETS = ["db-Main", "web", "100%", "under_score"]
_BEGIN = 1_795_000_000_000
_PREFIXES = {
    "session": SessionKind.SSH,
    "db.session": SessionKind.DATABASE,
    "app.session": SessionKind.APPLICATION,
    "windows.desktop.session": SessionKind.DESKTOP,
}
_TARGET_KEYS = {
    "session": "server_hostname",
    "db.session": "db_service",
    "app.session": "app_name",
    "windows.desktop.session": "desktop_name",
}


class Emitted(NamedTuple):
    """An event, and who emitted it."""

    data: bytes
    by: Identity

    @property
    def members(self) -> dict[str, Any]:
        """Its JSON."""
        parsed: dict[str, Any] = json.loads(self.data)
        return parsed


def history(randomness: random.Random, sessions: int) -> list[Emitted]:
    """The events of so many sessions, and of others, in any order."""
    events = [event for _ in range(sessions) for event in _of_one(randomness)]
    events += [Emitted(session_event("user.create", new_id()), NODE) for _ in range(sessions)]
    randomness.shuffle(events)
    return events


def _of_one(randomness: random.Random) -> list[Emitted]:
    session_id, prefix = new_id(), randomness.choice(list(_PREFIXES))
    # Few times, so that many are equal.
    start = _BEGIN + randomness.randrange(5) * 1_000
    host = randomness.choice([NODE, OTHER_NODE])
    events = []
    for _ in range(randomness.choice([1, 2, 2, 3, 5])):
        by = randomness.choice([host, host, host, PROXY, AUTH, MALLORY])
        suffix = randomness.choice(["start", "end", "end", *(["join", "leave"] if prefix == "session" else [])])
        suffix = "chunk" if prefix == "app.session" and randomness.random() < 0.3 else suffix
        time_ms = start + randomness.randrange(4) * 500
        members: dict[str, object] = {"user": randomness.choice(NAMES)}
        if by in (NODE, OTHER_NODE, MALLORY) and randomness.random() < 0.7:
            key = "windows_desktop_service" if prefix.startswith("windows") else "server_id"
            members[key] = by.name if by is not MALLORY else randomness.choice(SERVERS)
        if randomness.random() < 0.7:
            members[_TARGET_KEYS[prefix]] = randomness.choice(TARGETS)
        if suffix == "end":
            members["participants"] = randomness.sample(NAMES, randomness.randrange(3))
            if randomness.random() < 0.5:
                members |= {"session_start": format_rfc3339(start), "session_stop": format_rfc3339(time_ms)}
        events.append(Emitted(session_event(f"{prefix}.{suffix}", session_id, time_ms, **members), by))
    return events


@dataclass(frozen=True, slots=True)
class Expected:
    """What the index has to show of a session."""

    session_id: str
    kind: SessionKind
    user: str
    participants: tuple[str, ...]
    server_id: str
    target: str
    started_ms: int | None
    ended_ms: int | None
    begun_ms: int


def expected(events: Sequence[Emitted], uploaders: dict[str, Identity] | None = None) -> dict[str, Expected]:
    """What an index of these events has to show, by session id."""
    of_sessions: dict[str, list[Emitted]] = {}
    for event in events:
        if event.members["event"] != "user.create":
            of_sessions.setdefault(event.members["sid"], []).append(event)
    return {
        session_id: _expected(session_id, of_one, (uploaders or {}).get(session_id))
        for session_id, of_one in of_sessions.items()
    }


def _expected(session_id: str, events: Sequence[Emitted], uploader: Identity | None) -> Expected:
    counting = [event for event in events if _weight(event, uploader) > 0] or list(events)
    by_weight = [[event.members for event in counting if _weight(event, uploader) == weight] for weight in (3, 2, 1, 0)]

    def first(value_of: Any) -> Any:
        """What those say who count most, among those that say anything."""
        return next((value for events in by_weight if (value := value_of(events)) not in (None, "", ())), None)

    started, ended = first(_started), first(_ended)
    seen = min(parse_rfc3339(event.members["time"]) for event in counting)
    return Expected(
        session_id,
        first(lambda events: _best(events, _kind)) or SessionKind.UNKNOWN,
        first(lambda events: _best(events, lambda event: event["user"], alone=False)) or "",
        first(_participants) or (),
        first(lambda events: _best(events, _server)) or "",
        first(lambda events: _best(events, _target)) or "",
        started,
        ended,
        next(time for time in (started, ended, seen) if time is not None),
    )


def _weight(event: Emitted, uploader: Identity | None) -> int:
    if event.by in (PROXY, AUTH):
        return 3
    if event.by is MALLORY:
        return 0
    return 2 if event.by == uploader else 1


def _best(events: Sequence[dict[str, Any]], value_of: Any, *, alone: bool = True) -> Any:
    """What the event says that knows best: an end, a start, a chunk; then the earliest; then the first in order."""
    ranks = {"end": 0, "start": 1, "chunk": 2} | ({"join": 3, "leave": 3} if alone else {})
    said = [
        (ranks[suffix], event["time"], getattr(value, "value", value), value)
        for event in events
        if (suffix := event["event"].rpartition(".")[2]) in ranks and (value := value_of(event))
    ]
    return min(said, key=lambda item: item[:3])[3] if said else None


def _kind(event: dict[str, Any]) -> SessionKind | None:
    prefix, _, suffix = event["event"].rpartition(".")
    return None if suffix in ("join", "leave") else _PREFIXES[prefix]


def _server(event: dict[str, Any]) -> str:
    return event.get("windows_desktop_service") or event.get("server_id", "")


def _target(event: dict[str, Any]) -> str:
    return str(event.get(_TARGET_KEYS[event["event"].rpartition(".")[0]], ""))


def _participants(events: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted({name for event in events for name in [event["user"], *event.get("participants", ())]}))


def _started(events: Sequence[dict[str, Any]]) -> int | None:
    starts = [event["time"] for event in events if event["event"].endswith(".start")]
    starts = starts or [event["session_start"] for event in events if "session_start" in event]
    return min(map(parse_rfc3339, starts), default=None)


def _ended(events: Sequence[dict[str, Any]]) -> int | None:
    ends = [event.get("session_stop", event["time"]) for event in events if event["event"].endswith(".end")]
    return max(map(parse_rfc3339, ends), default=None)

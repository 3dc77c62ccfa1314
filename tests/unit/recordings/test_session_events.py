"""What each type of event says of its session, and that nothing in its JSON makes it say what isn't there."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from server.audit_log.receipts import Emitter
from server.recordings.sessions.session_events import END_TYPES, SESSION_TYPES, SessionEvent, claim_of, speaker_of
from server.state.session_claims import MAX_NAMES, MAX_TEXT, NOBODY, Claim

TIME = 1_000_000_000_000
NODE = Emitter("component", "node-1", "anchor", "5e")


def event(type_: str, /, user: str = "", **members: Any) -> SessionEvent:
    data = json.dumps({"event": type_, **members}).encode()
    return SessionEvent("log", 1, NODE, type_, TIME, "session", user, data)


def told(claim: Claim) -> dict[str, Any]:
    """What a claim says, without how well it knows it."""
    said = {name: getattr(claim, name) for name in ("kind", "user", "server_id", "target")}
    return {
        **{name: value[2] for name, value in said.items() if value is not None},
        **({} if claim.started is None else {"started": claim.started[1]}),
        **({} if claim.ended_ms is None else {"ended": claim.ended_ms}),
        **({"participants": sorted(claim.participants)} if claim.participants else {}),
        **({"servers": sorted(claim.servers)} if claim.servers else {}),
    }


CASES: list[tuple[SessionEvent, dict[str, Any]]] = [
    (
        event("session.start", "ann", server_id="s", server_hostname="web", server_addr="10.0.0.1:22"),
        {"kind": "ssh", "user": "ann", "server_id": "s", "target": "web", "started": TIME,
         "participants": ["ann"], "servers": ["s"]},
    ),
    (
        event("session.end", "ann", server_id="s", server_addr="10.0.0.1:22", participants=["bob", "ann"],
              session_start="2001-09-09T01:40:00.123456Z", session_stop="2001-09-09T01:45:00Z"),
        {"kind": "ssh", "user": "ann", "server_id": "s", "target": "10.0.0.1:22", "started": 999_999_600_123,
         "ended": 999_999_900_000, "participants": ["ann", "bob"], "servers": ["s"]},
    ),
    (
        event("session.end", "ann", session_start="0001-01-01T00:00:00Z", session_stop="yesterday", participants=None),
        {"kind": "ssh", "user": "ann", "ended": TIME, "participants": ["ann"]},
    ),
    (
        event("session.start", "ann", server_id="s", kubernetes_cluster="k", kubernetes_pod_name="pod"),
        {"kind": "kubernetes", "user": "ann", "server_id": "s", "target": "pod", "started": TIME,
         "participants": ["ann"], "servers": ["s"]},
    ),
    (event("session.join", "bob", server_id="s"), {"server_id": "s", "participants": ["bob"]}),
    (
        event("session.join", "bob", kubernetes_cluster="k"),
        {"kind": "kubernetes", "target": "k", "participants": ["bob"]},
    ),
    (event("session.leave", "bob"), {"participants": ["bob"]}),
    (
        event("db.session.start", "ann", server_id="d", db_service="ledger", db_name="postgres"),
        {"kind": "database", "user": "ann", "server_id": "d", "target": "ledger", "started": TIME,
         "participants": ["ann"], "servers": ["d"]},
    ),
    (event("db.session.end", "ann", db_name="postgres"),
     {"kind": "database", "user": "ann", "target": "postgres", "ended": TIME, "participants": ["ann"]}),
    (
        event("windows.desktop.session.end", "joe", windows_desktop_service="node-1", desktop_addr="10.0.0.2:3389"),
        {"kind": "desktop", "user": "joe", "server_id": "node-1", "target": "10.0.0.2:3389", "ended": TIME,
         "participants": ["joe"], "servers": ["node-1"]},
    ),
    (
        event("app.session.start", "kim", server_id="a", app_name="grafana", public_addr="grafana.test"),
        {"kind": "application", "user": "kim", "server_id": "a", "target": "grafana", "started": TIME,
         "participants": ["kim"], "servers": ["a"]},
    ),
    (
        event("app.session.chunk", "kim", server_id="a", app_name="grafana"),
        {"kind": "application", "user": "kim", "server_id": "a", "target": "grafana", "participants": ["kim"]},
    ),
    (event("app.session.end", "kim"), {"kind": "application", "user": "kim", "ended": TIME, "participants": ["kim"]}),
    (event("session.end", participants="ann"), {"kind": "ssh", "ended": TIME, "participants": ["ann"]}),
    (
        event("session.end", server_id=7, server_hostname=["x"], participants=["ann", 7, None], session_stop=12),
        {"kind": "ssh", "ended": TIME, "participants": ["ann"]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("said", "expected"), CASES, ids=[f"{n}-{case[0].type}" for n, case in enumerate(CASES)])
def test_an_event_says_of_its_session_what_it_holds_and_nothing_else(
    said: SessionEvent, expected: dict[str, Any]
) -> None:
    assert told(claim_of(said)) == expected


def test_a_component_names_no_other_desktop_service_than_itself_but_for_a_proxy() -> None:
    said = event("windows.desktop.session.start", windows_desktop_service="another", server_id="node-1")
    proxy = Emitter("component", "proxy-1", "anchor", "5e", roles=("Proxy",))
    emitters = NODE, proxy, NODE._replace(kind="user"), None
    servers = [claim_of(said._replace(emitter=emitter)).servers for emitter in emitters]
    assert servers == [{"node-1"}, {"another"}, {"another"}, {"another"}]


def test_the_ends_are_of_the_types_that_are_followed() -> None:
    assert END_TYPES < SESSION_TYPES
    assert {type_.rpartition(".")[2] for type_ in END_TYPES} == {"end"}
    assert "session.upload" not in SESSION_TYPES


@pytest.mark.parametrize("seed", range(50))
def test_no_json_stops_the_index(seed: int) -> None:
    randomness = random.Random(seed)
    values = [None, True, 7, 1.5, "", "x", "\0", "é" * 1000, [], ["x", 1], {}, {"x": "y"}, "2001-09-09T01:46:40Z"]
    keys = [
        "server_id",
        "participants",
        "session_start",
        "session_stop",
        "kubernetes_cluster",
        "db_service",
        "app_name",
    ]
    for type_ in sorted(SESSION_TYPES):
        claim = claim_of(event(type_, **{key: randomness.choice(values) for key in keys}))
        assert Claim.decode(claim.encode()) == claim


def test_of_long_texts_and_lists_the_beginning_is_kept_and_no_nul() -> None:
    names = [f"{number:05}" for number in range(MAX_NAMES + 5)]
    claim = claim_of(event("session.end", "u" * (MAX_TEXT + 1), server_hostname="a\0b", participants=names))
    assert claim.user is not None
    assert claim.target is not None
    assert (len(claim.user[2]), claim.target[2]) == (MAX_TEXT, "ab")
    assert claim.participants == frozenset(names[:MAX_NAMES])


@pytest.mark.parametrize(
    ("emitter", "is_component", "vouches"),
    [
        (NODE, True, False),
        (NODE._replace(roles=("Proxy",)), True, True),
        (NODE._replace(roles=("Auth", "Proxy")), True, True),
        (Emitter("user", "ann", "anchor", "5e"), False, False),
        (Emitter("user", "ann", "anchor", "5e", "", ("Proxy",)), False, False),
        (Emitter("service", "extaudit", "", ""), False, False),
    ],
)
def test_proxy_and_auth_components_vouch_and_nobody_else(emitter: Emitter, is_component: bool, vouches: bool) -> None:
    speaker = speaker_of(emitter)
    assert (speaker.is_component, speaker.vouches) == (is_component, vouches)


def test_nobody_is_known_of_a_foreign_event() -> None:
    assert speaker_of(None) == NOBODY

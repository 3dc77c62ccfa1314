"""For whom a component may speak: for itself, and as a Proxy for the one it says it forwards."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from rbac.identities import SERVICE, Identity, IdentityKind
from server.errors import InvalidRequest, PermissionDenied
from tests.unit.audit_log.emitters import NODE, PROXY, USER, parsed

NODE_AND_PROXY = Identity(IdentityKind.COMPONENT, "both-1", frozenset({"Node", "Proxy"}), "anchor", "04")
USER_NAMED_PROXY = Identity(IdentityKind.USER, "proxy-1", frozenset({"Proxy"}), "anchor", "05")


def raw(**members: Any) -> bytes:
    return json.dumps({"event": "session.start", "uid": "u"} | members, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("emitter", "members"),
    [
        (NODE, {}),
        (NODE, {"server_id": "node-1"}),
        (NODE, {"server_id": ""}),
        (NODE, {"server_id": "node-1", "forwarded_by": ""}),
        (NODE, {"nested": {"server_id": "node-2", "Server_ID": "node-2"}}),
        (NODE, {"server_ids": ["node-2"], "server": "node-2"}),
        (PROXY, {"server_id": "proxy-1"}),
        (PROXY, {"server_id": "node-2", "forwarded_by": "proxy-1"}),
        (PROXY, {"server_id": "", "forwarded_by": "proxy-1"}),
        (NODE_AND_PROXY, {"server_id": "node-2", "forwarded_by": "both-1"}),
        (USER, {"server_id": "node-2"}),
        (USER, {"server_id": "node-2", "forwarded_by": "proxy-1", "Server_id": "x"}),
        (SERVICE, {"server_id": "node-2"}),
    ],
)
def test_an_emitter_may_speak_for_itself_and_a_proxy_for_whom_it_forwards(
    emitter: Identity, members: dict[str, Any]
) -> None:
    assert parsed(raw(**members), emitter).uid == "u"


@pytest.mark.parametrize(
    ("emitter", "members"),
    [
        (NODE, {"server_id": "node-2"}),
        (NODE, {"server_id": "NODE-1"}),
        (NODE, {"server_id": "node-1 "}),
        (NODE, {"server_id": "node-1.cluster"}),
        (NODE, {"server_id": None}),
        (NODE, {"server_id": ["node-1"]}),
        (NODE, {"server_id": {"server_id": "node-1"}}),
        (NODE, {"server_id": 0}),
        (NODE, {"server_id": False}),
        (NODE, {"server_id": "node-1", "forwarded_by": None}),
        (NODE, {"server_id": "node-1", "forwarded_by": "proxy-1"}),
        (NODE, {"server_id": "node-2", "forwarded_by": "node-1"}),
        (NODE, {"forwarded_by": "node-1"}),
        (PROXY, {"server_id": "node-2"}),
        (PROXY, {"server_id": "node-2", "forwarded_by": ""}),
        (PROXY, {"server_id": "node-2", "forwarded_by": "proxy-2"}),
        (PROXY, {"server_id": "proxy-1", "forwarded_by": "proxy-2"}),
        (PROXY, {"server_id": None, "forwarded_by": "proxy-1"}),
        (PROXY, {"server_id": ["node-2"], "forwarded_by": "proxy-1"}),
        (PROXY, {"server_id": "node-2", "forwarded_by": ["proxy-1"]}),
    ],
)
def test_a_component_that_speaks_for_another_is_refused(emitter: Identity, members: dict[str, Any]) -> None:
    with pytest.raises(PermissionDenied) as refusal:
        parsed(raw(**members), emitter)
    assert "node" not in refusal.value.message
    assert refusal.value.metadata == {"kind": "event", "verb": "create"}


def test_an_escaped_spelling_of_the_key_is_the_key() -> None:
    with pytest.raises(PermissionDenied):
        parsed(b'{"event":"t","server\\u005fid":"node-2"}', NODE)
    with pytest.raises(InvalidRequest):
        parsed(b'{"event":"t","server_id":"node-1","server\\u005fid":"node-2"}', NODE)


@pytest.mark.parametrize(("key", "number"), [("server_id", 383), ("forwarded_by", 2047)])
def test_no_other_case_of_the_keys_slips_by(key: str, number: int) -> None:
    letters = [{c, c.upper()} | ({"\u017f"} if c == "s" else set()) for c in key]
    variants = {"".join(word) for word in itertools.product(*letters)} - {key}
    assert len(variants) == number
    for variant in variants:
        for value in ("node-2", "node-1"):
            with pytest.raises(PermissionDenied):
                parsed(raw(server_id="node-1", **{variant: value}), NODE)


def test_the_name_of_a_role_in_a_user_certificate_gives_no_identity_of_a_component() -> None:
    """Users import what others said; who they are is in the receipt, which no event can change."""
    data = b'{"event":"t","uid":"u","time":"2026-11-01T00:00:00Z","server_id":"node-2","forwarded_by":"proxy-2"}'
    assert parsed(data, USER_NAMED_PROXY).data == data
    with pytest.raises(PermissionDenied):
        parsed(data, PROXY)


def test_who_may_not_speak_learns_nothing_of_what_else_is_wrong() -> None:
    with pytest.raises(PermissionDenied):
        parsed(b'{"event":7,"uid":"","server_id":"node-2"}', NODE)

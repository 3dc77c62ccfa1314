"""What a call keeps of its caller."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rbac.formulas import ALWAYS, NEVER
from rbac.identities import Identity, IdentityKind
from server.grpc_api.call import Call

ALICE = Identity(IdentityKind.USER, "alice", frozenset({"auditor"}))


class Context:
    """The one thing of grpc's context that a new call asks for."""

    def peer(self) -> str:
        return "ipv4:1.2.3.4:5"


def test_use_cases_are_given_the_identity_of_the_last_check() -> None:
    call = Call("/x.Y/Z", b"", Context())
    call.identity = ALICE
    first = call.access
    assert call.access is first
    call.identity = replace(ALICE, roles=frozenset())
    assert call.access.identity == call.identity
    assert (first.identity, first.peer) == (ALICE, "ipv4:1.2.3.4:5")


def test_use_cases_are_given_the_condition_of_the_last_check() -> None:
    call = Call("/x.Y/Z", b"", Context())
    call.identity = ALICE
    assert call.access.condition == ALWAYS
    call.condition = NEVER
    assert call.access.condition == NEVER


def test_a_call_without_a_caller_gives_no_access() -> None:
    with pytest.raises(RuntimeError):
        _ = Call("/x.Y/Z", b"", Context()).access

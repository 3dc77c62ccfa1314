"""What is remembered of decisions: never longer than the policy and the identity they are about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rbac.identities import Identity, IdentityKind
from rbac.permissions import Permission
from rbac.policy import Grant
from server.errors import PermissionDenied
from server.grpc_api.call import Call, Check
from server.grpc_api.interceptors.authorisation import MAX_REMEMBERED, authorisation
from tests.grpc.test_call import Context

EMIT = ("event", ("create",))
ALICE = Identity(IdentityKind.USER, "alice", frozenset({"importer"}))
BOB = replace(ALICE, name="bob")


@dataclass
class Names:
    """A policy that lets these names call."""

    names: set[str]
    asked: list[str] = field(default_factory=list)

    def permits(self, identity: Identity | None, permission: Permission | None) -> Grant | None:
        name = identity.name if identity else ""
        self.asked.append(name)
        return Grant((EMIT,)) if name in self.names else None

    def refusal(self, identity: Identity | None, permission: Permission | None) -> str:
        return "rules"


@dataclass
class Held:
    current: Names

    @property
    def check(self) -> Check:
        return authorisation(self, Permission((EMIT,)))


def allows(check: Check, identity: Identity | None) -> bool:
    call = Call("/x.Y/Z", b"", Context())
    call.identity = identity
    try:
        check(call)
    except PermissionDenied:
        return False
    return call.granted == (EMIT,)


def test_a_decision_is_asked_for_once_for_each_caller() -> None:
    policy = Names({"alice"})
    check = Held(policy).check
    assert [allows(check, identity) for identity in (ALICE, BOB, ALICE, BOB)] == [True, False, True, False]
    assert policy.asked == ["alice", "bob"]


def test_another_policy_is_heard_at_once() -> None:
    held = Held(Names({"alice"}))
    check = held.check
    assert allows(check, ALICE)
    held.current = Names({"bob"})
    assert [allows(check, identity) for identity in (ALICE, BOB)] == [False, True]


def test_no_caller_is_taken_for_one_that_is_gone() -> None:
    check = Held(Names({"alice"})).check
    for _ in range(1000):  # each may come to stand where the one before was
        assert allows(check, replace(ALICE))
        assert not allows(check, replace(BOB))


def test_a_call_without_a_caller_is_asked_about_every_time() -> None:
    policy = Names({""})
    check = Held(policy).check
    assert allows(check, None)
    policy.names.clear()
    assert not allows(check, None)


def test_what_is_remembered_is_bounded() -> None:
    policy = Names({"alice"})
    check = Held(policy).check
    callers = [replace(ALICE) for _ in range(MAX_REMEMBERED + 1)]
    assert all(allows(check, caller) for caller in (*callers, callers[0]))
    assert len(policy.asked) == MAX_REMEMBERED + 2

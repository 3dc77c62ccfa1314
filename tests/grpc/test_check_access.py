"""ListRoles and CheckAccess: what roles say, and which rules say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import access_service_pb2 as pb
from extaudit.v1.access_service_pb2_grpc import AccessServiceStub
from extaudit.v1.event_pb2 import (
    IDENTITY_KIND_COMPONENT,
    IDENTITY_KIND_SERVICE,
    IDENTITY_KIND_USER,
)
from extaudit.v1.lock_pb2 import LockTarget

from rbac.identities import IdentityKind
from rbac.role_files import read_presets
from tests.grpc.failures import failing
from tests.grpc.rig import serving
from tests.loops import in_loop
from tests.unit.rbac.test_presets import ALLOWED, KINDS, VERBS

KIND_VALUES = {IdentityKind.USER: IDENTITY_KIND_USER, IdentityKind.COMPONENT: IDENTITY_KIND_COMPONENT}
ROLES = """
kind: role
version: v7
metadata: {name: contractor}
spec:
  allow:
    rules:
      - {resources: [event], verbs: [list]}
      - {resources: ["*"], verbs: ["*"]}
      - {resources: [session], verbs: [list], where: 'equals(user.metadata.name, "carol")'}
  deny:
    rules:
      - {resources: [lock], verbs: ["*"]}
      - {resources: [token], verbs: [read], where: 'contains(user.spec.roles, "contractor")'}
"""


def asked(
    kind: str, verb: str, *roles: str, name: str = "carol", of: Any = IDENTITY_KIND_USER
) -> pb.CheckAccessRequest:
    identity = pb.HypotheticalIdentity(kind=of, name=name, roles=roles)
    return pb.CheckAccessRequest(identity=identity, kind=kind, verb=verb)


def told(response: pb.CheckAccessResponse) -> tuple[str, str, list[tuple[str, str, int]]]:
    rules = [(rule.role, "deny" if rule.deny else "allow", rule.index) for rule in response.rules]
    decision = pb.AccessDecision.Name(response.decision).removeprefix("ACCESS_DECISION_")
    return decision, pb.AccessBasis.Name(response.basis).removeprefix("ACCESS_BASIS_"), rules


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    (tmp_path / "contractor.yaml").write_text(ROLES)
    return tmp_path


@in_loop
async def test_it_says_of_presets_what_is_written_out_by_hand() -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin:
        check = AccessServiceStub(admin).CheckAccess
        for of, names, allowed in ALLOWED:
            decisions = {
                (kind, verb): (await check(asked(kind, verb, *names, of=KIND_VALUES[of]))).decision
                for kind in KINDS
                for verb in VERBS
            }
            allow = {pair for pair, decision in decisions.items() if decision == pb.ACCESS_DECISION_ALLOW}
            allow_if = {pair for pair, decision in decisions.items() if decision == pb.ACCESS_DECISION_ALLOW_IF}
            assert allow == {(kind, verb) for kind, verbs in allowed.items() for verb in verbs}, names
            assert allow_if == ({("session", "list"), ("session", "read")} if names == ("access",) else set())


ANSWERS: dict[str, tuple[pb.CheckAccessRequest, tuple[str, str, list[tuple[str, str, int]]]]] = {
    "rules that allow": (
        asked("event", "list", "contractor", "auditor"),
        ("ALLOW", "RULES", [("auditor", "allow", 0), ("contractor", "allow", 0), ("contractor", "allow", 1)]),
    ),
    "a rule that denies": (
        asked("lock", "list", "contractor", "editor"),
        ("DENY", "RULES", [("contractor", "deny", 0)]),
    ),
    "wildcards don't let users forge": (asked("event", "create", "contractor"), ("DENY", "NO_RULE", [])),
    "a condition that the user meets": (
        asked("session", "list", "contractor"),
        ("ALLOW", "RULES", [("contractor", "allow", 1), ("contractor", "allow", 2)]),
    ),
    "a condition that the user does not meet": (
        asked("session", "list", "contractor", name="dave"),
        ("ALLOW", "RULES", [("contractor", "allow", 1)]),
    ),
    "a deny whose condition the user meets": (
        asked("token", "read", "contractor"),
        ("DENY", "RULES", [("contractor", "deny", 1)]),
    ),
    "a condition on the resource": (
        asked("session", "read", "access"),
        ("ALLOW_IF", "RULES", [("access", "allow", 1)]),
    ),
    "no rule": (asked("integration", "read", "auditor"), ("DENY", "NO_RULE", [])),
    "no role": (asked("event", "list"), ("DENY", "NO_ROLE", [])),
    "a role that is not loaded": (asked("event", "list", "auditor", "gone"), ("DENY", "UNKNOWN_ROLE", [])),
    "a component's role": (asked("event", "create", "Node"), ("DENY", "ROLE_OF_OTHER_KIND", [])),
    "a user's role": (
        asked("event", "list", "auditor", of=IDENTITY_KIND_COMPONENT),
        ("DENY", "ROLE_OF_OTHER_KIND", []),
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
@in_loop
async def test_it_names_what_decides(case: str, roles: Path) -> None:
    request, answer = ANSWERS[case]
    async with serving(roles=roles) as rig, rig.user("editor", name="root") as admin:
        response = await AccessServiceStub(admin).CheckAccess(request)
    assert told(response) == answer
    assert response.policy_digest == rig.policy.current.digest


@in_loop
async def test_the_text_of_a_condition_is_shown() -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin:
        response = await AccessServiceStub(admin).CheckAccess(asked("session", "read", "access"))
    assert response.rules[0].rule.condition == "contains(session.participants, user.metadata.name)"


@in_loop
async def test_without_an_identity_it_is_about_the_caller() -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin:
        stub = AccessServiceStub(admin)
        yes = await stub.CheckAccess(pb.CheckAccessRequest(kind="lock", verb="create"))
        no = await stub.CheckAccess(pb.CheckAccessRequest(kind="event", verb="list"))
    assert told(yes) == ("ALLOW", "RULES", [("editor", "allow", 1)])
    assert told(no) == ("DENY", "NO_RULE", [])


@in_loop
async def test_who_is_locked_may_nothing() -> None:
    async with serving() as rig, rig.user("editor", name="root") as admin:
        stub = AccessServiceStub(admin)
        await stub.CreateLock(pb.CreateLockRequest(target=LockTarget(user="carol"), reason="left"))
        assert told(await stub.CheckAccess(asked("event", "list", "auditor"))) == ("DENY", "LOCK", [])
        assert told(await stub.CheckAccess(asked("event", "list", "auditor", name="dave")))[0] == "ALLOW"


WRONG = {
    "nothing": (pb.CheckAccessRequest(), ["kind", "verb"]),
    "wildcards": (pb.CheckAccessRequest(kind="*", verb="*"), ["kind", "verb"]),
    "the service": (asked("event", "list", of=IDENTITY_KIND_SERVICE), ["identity.kind"]),
    "no name": (asked("event", "list", name=""), ["identity.name"]),
    "traits": (
        pb.CheckAccessRequest(
            identity=pb.HypotheticalIdentity(
                kind=IDENTITY_KIND_USER, name="a", traits=[pb.Trait(name="t"), pb.Trait(name="t"), pb.Trait()]
            ),
            kind="event",
            verb="list",
        ),
        ["identity.traits[2].name", "identity.traits"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
@in_loop
async def test_a_wrong_question_is_refused_with_every_wrong_field(case: str) -> None:
    request, fields = WRONG[case]
    async with serving() as rig, rig.user("editor", name="root") as admin:
        failure = await failing(AccessServiceStub(admin).CheckAccess(request))
    assert (failure.code, failure.violations) == (grpc.StatusCode.INVALID_ARGUMENT, fields)


@in_loop
async def test_roles_are_listed_by_name_in_pages(roles: Path) -> None:
    async with serving(roles=roles) as rig, rig.user("editor", name="root") as admin:
        found, token, pages = [], "", 0
        while pages == 0 or token:
            page = await AccessServiceStub(admin).ListRoles(pb.ListRolesRequest(page_size=4, page_token=token))
            found, token, pages = [*found, *page.roles], page.next_page_token, pages + 1
            assert len(page.roles) <= 4
            assert page.policy_digest == rig.policy.current.digest
    presets = {role.name for role in read_presets()}
    assert [role.name for role in found] == sorted({*presets, "contractor"})
    assert {role.name for role in found if role.preset} == presets
    (contractor,) = (role for role in found if role.name == "contractor")
    assert [list(rule.kinds) for rule in contractor.allow] == [["event"], ["*"], ["session"]]
    assert [rule.condition for rule in contractor.deny] == ["", 'contains(user.spec.roles, "contractor")']

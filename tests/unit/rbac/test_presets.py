"""What each preset allows, written out by hand; everything else it must refuse."""

import pytest

from rbac.formulas import NEVER, Operator, Test
from rbac.identities import COMPONENT_ROLES, Identity, IdentityKind
from rbac.policy import load_policy_folder

KINDS = (
    "integration", "external_audit_storage", "event", "session", "session_tracker", "cluster_alert",
    "cluster_audit_config", "session_recording_config", "role", "user", "token", "lock", "no_such_kind",
)  # fmt: skip
VERBS = ("list", "create", "read", "update", "delete", "use", "rotate", "no_such_verb")

READ_WRITE = {"list", "create", "read", "update", "delete"}
READ_ONLY = {"list", "read"}
READS_AND_RECORDS = {"list", "read", "create"}
RECORDS = {"event": {"create"}, "session": {"create"}}

EDITOR = {
    "integration": READ_WRITE | {"use"},
    "external_audit_storage": READ_WRITE,
    "cluster_audit_config": READ_WRITE,
    "session_recording_config": READ_WRITE,
    "cluster_alert": READ_WRITE,
    "role": READ_WRITE,
    "user": READ_WRITE,
    "token": READ_WRITE,
    "lock": READ_WRITE,
}
AUDITOR = {"session": READ_ONLY, "event": READ_ONLY, "session_tracker": READ_ONLY, "cluster_alert": READ_ONLY}

COMPONENTS = ("Auth", "Proxy", "Node", "App", "Db", "Kube", "WindowsDesktop", "Discovery", "Okta", "Instance")

ALLOWED = [
    (IdentityKind.USER, ("editor",), EDITOR),
    (IdentityKind.USER, ("auditor",), AUDITOR),
    (IdentityKind.USER, ("importer",), RECORDS),
    (IdentityKind.USER, ("access",), {"event": READ_ONLY}),
    (IdentityKind.USER, ("local-administrator",), {"session": {"update"}}),
    (IdentityKind.USER, ("auditor", "importer"), {**AUDITOR, "event": READS_AND_RECORDS, "session": READS_AND_RECORDS}),
    *((IdentityKind.COMPONENT, (name,), RECORDS) for name in COMPONENTS),
    (IdentityKind.COMPONENT, ("Node", "Instance"), RECORDS),
]  # fmt: skip


@pytest.fixture(scope="module")
def policy():
    return load_policy_folder(None)


@pytest.mark.parametrize(("kind", "roles", "allowed"), ALLOWED, ids=lambda value: str(value)[:40])
def test_a_preset_allows_what_is_listed_here_and_nothing_else(policy, kind, roles, allowed):
    identity = Identity(kind, "someone", frozenset(roles))
    given = {(k, v) for k in KINDS for v in VERBS if policy.decide(identity, k, (v,))}
    assert {(k, v) for k, verbs in allowed.items() for v in verbs} == given


@pytest.mark.parametrize("verb", VERBS)
def test_access_allows_the_sessions_in_which_the_user_took_part(policy, verb):
    took_part = Test(("participants",), Operator.HAS_ANY, ("someone",), holds=True)
    identity = Identity(IdentityKind.USER, "someone", frozenset({"access"}))
    assert policy.admits(identity, "session", (verb,)) == (took_part if verb in READ_ONLY else NEVER)


def test_the_presets_are_five_for_users_and_one_for_each_kind_of_component(policy):
    assert {"editor", "auditor", "importer", "access", "local-administrator", *COMPONENTS} == policy.roles
    assert set(COMPONENTS) == COMPONENT_ROLES

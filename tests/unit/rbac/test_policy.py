"""How roles decide."""

import logging
import threading

import pytest

from rbac.casbin_policy import CasbinPolicy
from rbac.identities import SERVICE, Identity, IdentityKind
from rbac.policy import Policy, load_policy
from rbac.roles import Role, Rule

DOCUMENTED = """\
kind: role
version: v7
metadata:
  name: example
spec:
  allow:
    rules:
    - resources:
      - integration
      - external_audit_storage
      verbs:
      - create
      - update
      - list
      - read
"""
"""The role of Teleport's page about the feature."""

DENIES = """\
kind: role
version: v5
metadata: {name: no-search}
spec:
  deny:
    rules: [{resources: [event], verbs: [list]}]
---
kind: role
version: v5
metadata: {name: no-reading}
spec:
  deny:
    rules: [{resources: ['*'], verbs: [read]}]
---
kind: role
version: v5
metadata: {name: no-events}
spec:
  deny:
    rules: [{resources: [event], verbs: ['*']}]
---
kind: role
version: v5
metadata: {name: nothing}
spec:
  deny:
    rules: [{resources: ['*'], verbs: ['*']}]
"""

WILDCARDS = """\
kind: role
version: v5
metadata: {name: all}
spec:
  allow:
    rules: [{resources: ['*'], verbs: ['*']}]
---
kind: role
version: v5
metadata: {name: all-events}
spec:
  allow:
    rules: [{resources: [event, session], verbs: ['*']}]
---
kind: role
version: v5
metadata: {name: create-all}
spec:
  allow:
    rules: [{resources: ['*'], verbs: [create]}]
---
kind: role
version: v5
metadata: {name: written-out}
spec:
  allow:
    rules: [{resources: ['*', event], verbs: ['*', create]}]
---
kind: role
version: v5
metadata: {name: split}
spec:
  allow:
    rules:
    - {resources: [event], verbs: ['*']}
    - {resources: ['*'], verbs: [create]}
---
kind: role
version: v5
metadata: {name: empty}
spec: {}
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roles")
    files = []
    for name, text in {"a.yaml": DOCUMENTED, "b.yaml": DENIES, "c.yaml": WILDCARDS}.items():
        (folder / name).write_text(text)
        files.append(folder / name)
    return load_policy(files)


def user(*roles):
    return Identity(IdentityKind.USER, "alice", frozenset(roles))


def component(*roles):
    return Identity(IdentityKind.COMPONENT, "node-1", frozenset(roles))


def role(name, allow=(), deny=()):
    def rules(pairs):
        return tuple(Rule(frozenset(kinds.split()), frozenset(verbs.split())) for kinds, verbs in pairs)

    return Role(name, rules(allow), rules(deny), 1)


DECISIONS = [
    # the documented example
    ("example", "external_audit_storage", "create", True),
    ("example", "external_audit_storage", "update", True),
    ("example", "integration", "list", True),
    ("example", "integration", "read", True),
    ("example", "integration", "delete", False),
    ("example", "integration", "use", False),
    ("example", "event", "list", False),
    # a role without rules
    ("empty", "event", "list", False),
    # a wildcard stands for every kind or verb, but a user's right to record
    ("all", "event", "list", True),
    ("all", "session", "read", True),
    ("all", "anything", "whatever", True),
    ("all", "event", "create", False),
    ("all", "session", "create", False),
    ("all", "integration", "create", True),
    ("all-events", "event", "list", True),
    ("all-events", "event", "create", False),
    ("all-events", "session", "create", False),
    ("all-events", "integration", "list", False),
    ("create-all", "integration", "create", True),
    ("create-all", "integration", "list", False),
    ("create-all", "event", "create", False),
    ("create-all", "session", "create", False),
    ("written-out", "event", "create", True),
    ("written-out", "session", "create", False),
    ("split", "event", "create", False),
    ("all create-all all-events split", "event", "create", False),
    # a wildcard is no question
    ("all", "*", "list", False),
    ("all", "event", "*", False),
    # rights of several roles add up
    ("auditor example", "event", "list", True),
    ("auditor example", "integration", "create", True),
    # deny beats allow, whichever role has it
    ("auditor no-search", "event", "list", False),
    ("auditor no-search", "event", "read", True),
    ("auditor no-search", "session", "list", True),
    ("auditor no-reading", "event", "read", False),
    ("auditor no-reading", "session", "read", False),
    ("auditor no-reading", "session", "list", True),
    ("importer auditor no-events", "event", "create", False),
    ("importer auditor no-events", "event", "read", False),
    ("importer auditor no-events", "session", "create", True),
    ("all no-events", "event", "list", False),
    ("all nothing", "integration", "read", False),
    ("importer nothing", "event", "create", False),
    ("importer nothing", "session", "create", False),
    # a role that isn't loaded spoils the rest
    ("auditor gone", "event", "list", False),
    ("auditor gone", "session", "read", False),
    ("gone", "event", "list", False),
    ("Auditor", "event", "list", False),
    ("auditor *", "event", "list", False),
    ("auditor  ", "event", "list", True),
    # a user carries no component's role, however loaded
    ("Node", "event", "create", False),
    ("importer Node", "event", "create", False),
    ("auditor Auth", "event", "list", False),
]


@pytest.mark.parametrize(("roles", "kind", "verb", "allowed"), DECISIONS)
def test_a_user_may(policy, roles, kind, verb, allowed):
    assert policy.decide(user(*roles.split()), kind, (verb,)) is allowed


def test_no_role_allows_nothing(policy):
    assert not policy.decide(user(), "event", ("list",))
    assert not policy.decide(component(), "event", ("create",))


@pytest.mark.parametrize(
    ("roles", "allowed"),
    [
        ("Node", True),
        ("Node Instance", True),
        ("Admin", False),
        ("Bot", False),
        ("Node Bot", False),
        ("node", False),
        ("importer", False),
        ("Node importer", False),
        ("Node auditor", False),
        ("Node nothing", False),
        ("Node gone", False),
    ],
)
def test_a_component_may_record_with_component_roles_alone(policy, roles, allowed):
    assert policy.decide(component(*roles.split()), "event", ("create",)) is allowed


def test_a_component_gets_nothing_from_a_users_role(policy):
    assert not policy.decide(component("Node", "auditor"), "event", ("list",))
    assert not policy.decide(component("auditor"), "event", ("list",))


@pytest.mark.parametrize("roles", [(), ("Auth",), ("importer",), ("all",)])
def test_the_service_calls_no_one(policy, roles):
    assert not policy.decide(SERVICE, "event", ("create",))
    assert not policy.decide(Identity(IdentityKind.SERVICE, "extaudit", frozenset(roles)), "event", ("create",))


def test_every_verb_is_needed(policy):
    assert policy.decide(user("auditor"), "session", ("list", "read"))
    assert not policy.decide(user("auditor"), "session", ("list", "create"))
    assert not policy.decide(user("auditor"), "session", ("create", "list"))


def test_no_verb_is_no_right(policy):
    assert not policy.decide(user("all"), "session", ())


@pytest.mark.parametrize(
    ("namespaces", "applies"),
    [("[default]", True), ("['*']", True), ("[a, default]", True), ("", True), ("[a]", False)],
)
@pytest.mark.parametrize("side", ["allow", "deny"])
def test_rules_apply_in_the_default_namespace_alone(tmp_path, side, namespaces, applies):
    rules = "rules: [{resources: [event], verbs: [read]}]"
    text = "kind: role\nversion: v6\nmetadata: {name: x}\nspec:\n"
    (tmp_path / "a.yaml").write_text(f"{text}  {side}:\n    namespaces: {namespaces}\n    {rules}\n")
    policy = load_policy([tmp_path / "a.yaml"])
    if side == "allow":
        assert policy.decide(user("x"), "event", ("read",)) is applies
    else:
        assert policy.decide(user("x", "auditor"), "event", ("read",)) is not applies


def test_the_digest_tells_rules_apart_and_no_order_or_file():
    one, two = role("one", [("a b", "x"), ("c", "y")]), role("two", deny=[("*", "z")])
    digest = Policy.of([one, two]).digest
    assert len(digest) == 64
    assert digest == Policy.of([two, role("one", [("c", "y"), ("b a", "x"), ("c", "y")])]).digest
    others = [
        [one],
        [one, role("three", deny=[("*", "z")])],
        [one, role("two", allow=[("*", "z")])],
        [one, role("two", deny=[("*", "y")])],
        [one, role("two", deny=[("a", "z")])],
        [one, role("two", deny=[("*", "z"), ("a", "z")])],
        [one, two, role("empty")],
        [role("one", [("a b", "x y"), ("c", "y")]), two],
    ]
    assert len({digest, *(Policy.of(roles).digest for roles in others)}) == 1 + len(others)


def test_a_name_that_looks_like_policy_text_is_only_a_name():
    policy = Policy.of([role("a,b", [("k, x", "v")]), role("p, a", [("k", 'v"')])])
    assert not policy.decide(user("a"), "x", ("v",))
    assert policy.decide(user("a,b"), "k,", ("v",))
    assert policy.decide(user("p, a"), "k", ('v"',))


def test_a_policy_can_not_be_changed(policy):
    with pytest.raises(AttributeError):
        policy.roles = frozenset()
    with pytest.raises(AttributeError):
        policy.digest = ""


def wake_casbins_loggers():
    """What logging.config.dictConfig does to every logger it isn't told of."""
    for name in ("casbin", "casbin.enforcer", "casbin.policy", "casbin.role"):
        logging.getLogger(name).disabled = False


def test_casbin_writes_no_log_even_when_logging_is_configured_anew(caplog):
    caplog.set_level(logging.DEBUG)
    wake_casbins_loggers()
    policy = Policy.of([role("secret-role", [("k", "v")])])
    wake_casbins_loggers()
    assert policy.decide(user("secret-role"), "k", ("v",))
    assert not policy.decide(user("secret-role"), "k", ("w",))
    assert not [each for each in caplog.records if each.name.startswith("casbin") or "secret-role" in each.getMessage()]


def test_many_threads_get_the_right_answers():
    policy = Policy.of([role(f"r{n}", [(f"k{n}", "v")]) for n in range(40)])
    wrong = []

    def ask():
        questions = [(n, m) for n in range(40) for m in (n, (n + 1) % 40)]
        wrong.extend((n, m) for n, m in questions if policy.decide(user(f"r{n}"), f"k{m}", ("v",)) is not (n == m))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_casbin_itself_denies_first():
    casbin = CasbinPolicy([role("a", [("k", "v")]), role("b", deny=[("k", "v")])])
    assert casbin.enforce(frozenset({"a"}), True, "k", "v")
    assert not casbin.enforce(frozenset({"a", "b"}), True, "k", "v")
    assert not casbin.enforce(frozenset({"b"}), True, "k", "v")

"""What conditions do to decisions."""

import pytest

from rbac.casbin_policy import CasbinPolicy
from rbac.condition_grammar import parse_condition
from rbac.formulas import ALWAYS, NEVER, AllOf, AnyOf, Operator, Test
from rbac.identities import Identity, IdentityKind
from rbac.permissions import Permission
from rbac.policy import Policy
from rbac.roles import Role, Rule
from rbac.verdicts import MAX_CONDITIONS

TRAITS = (("empty", ()), ("team", ("red", "blue")), ("zone", ("a.eu", "b.eu")))


def rule(where="", kinds="event", verbs="list"):
    return Rule(frozenset(kinds.split()), frozenset(verbs.split()), parse_condition(where) if where else None)


def policy(**roles):
    """A policy from role names to (allow rules, deny rules)."""
    return Policy.of([Role(name, tuple(allow), tuple(deny), 1) for name, (allow, deny) in roles.items()])


def alice(*roles):
    return Identity(IdentityKind.USER, "alice", frozenset(roles), traits=TRAITS)


def one_of(key, *values, holds=True):
    return Test((key,), Operator.ONE_OF, values, holds)


USER_CONDITIONS = [
    ("user.metadata.name == 'alice'", True),
    ("user.metadata.name == 'Alice'", False),
    ("'alice' == user.metadata.name", True),
    ("user.metadata.name != 'bob'", True),
    ("contains(user.spec.roles, 'r')", True),
    ("contains(user.spec.roles, 'x')", False),
    ("equals(user.spec.roles, set('r'))", True),
    ("equals(user.spec.roles, 'r')", True),
    ("equals(user.spec.traits.team, set('blue', 'red'))", True),
    ("equals(user.spec.traits.team, set('red'))", False),
    ("contains_any(user.spec.traits.team, set('x', 'red'))", True),
    ("contains_any(user.spec.traits.team, set('x'))", False),
    ("contains_all(user.spec.traits.team, set('blue', 'red'))", True),
    ("contains_all(user.spec.traits.team, set('blue', 'x'))", False),
    ("all_equal(user.spec.roles, 'r')", True),
    ("all_equal(user.spec.traits.team, 'red')", False),
    ("all_end_with(user.spec.traits.zone, '.eu')", True),
    ("all_end_with(user.spec.traits.zone, 'a.eu')", False),
    ("has_prefix(user.metadata.name, 'al')", True),
    ("has_prefix(user.metadata.name, 'lice')", False),
    ("is_subset(user.spec.traits.team, set('red', 'blue', 'x'))", True),
    ("is_subset(user.spec.traits.team, 'red')", False),
    ("is_subset(user.spec.roles, 'q', 'r')", True),
    ("!contains(user.spec.roles, 'x') && user.metadata.name == 'alice'", True),
    ("contains(user.spec.roles, 'x') || user.metadata.name == 'alice'", True),
]
MISSING = ["user.spec.traits.gone", "user.spec.traits.empty"]
ABOUT_MISSING = [
    "contains({}, 'x')", "!contains({}, 'x')", "{} == 'x'", "{} != 'x'", "all_equal({}, 'x')", "!all_equal({}, 'x')",
    "is_subset({}, 'x')", "!is_subset({}, 'x')", "!(contains({}, 'x') || contains({}, 'y'))",
    "contains({}, 'x') && user.metadata.name == 'alice'", "contains({}, 'x') || user.metadata.name == 'bob'",
    "contains_any(user.spec.roles, {})", "!contains_any(user.spec.roles, {})", "event.a == {}", "event.a != {}",
]  # fmt: skip


@pytest.mark.parametrize(("where", "true"), USER_CONDITIONS)
def test_a_condition_on_the_user_is_decided_at_once(where, true):
    rules = policy(r=([rule(where)], []), d=([rule()], [rule(where)]))
    assert rules.decide(alice("r"), "event", ("list",)) is true
    assert rules.admits(alice("r"), "event", ("list",)) == (ALWAYS if true else NEVER)
    denied = policy(r=([rule()], [rule(where)]))
    assert denied.decide(alice("r"), "event", ("list",)) is not true
    assert denied.admits(alice("r"), "event", ("list",)) == (NEVER if true else ALWAYS)


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("where", ABOUT_MISSING)
def test_a_trait_that_is_not_there_makes_an_allow_false_and_a_deny_true(where, missing):
    where = where.replace("{}", missing)
    assert policy(r=([rule(where)], [])).admits(alice("r"), "event", ("list",)) == NEVER
    assert policy(r=([rule()], [rule(where)])).admits(alice("r"), "event", ("list",)) == NEVER


def test_what_a_missing_value_does_not_decide_is_decided_by_the_rest():
    for where in ("contains(user.spec.traits.gone, 'x') || user.metadata.name == 'alice'",):
        assert policy(r=([rule(where)], [])).decide(alice("r"), "event", ("list",))
    spared = "contains(user.spec.traits.gone, 'x') && user.metadata.name == 'bob'"
    assert policy(r=([rule()], [rule(spared)])).decide(alice("r"), "event", ("list",))


A, B = one_of("a", "x"), one_of("b", "y")
NOT_A, NOT_B = one_of("a", "x", holds=False), one_of("b", "y", holds=False)

FORMULAS = [
    # any matching allow
    ([rule("event.a == 'x'")], [], A),
    ([rule("event.a == 'x'"), rule("event.b == 'y'")], [], AnyOf((A, B))),
    ([rule("event.a == 'x'"), rule()], [], ALWAYS),
    ([rule("event.a == 'x'"), rule("user.metadata.name == 'alice'")], [], ALWAYS),
    ([rule("event.a == 'x'", verbs="read")], [], NEVER),
    ([rule("event.a == 'x'", kinds="session")], [], NEVER),
    ([rule("event.a == 'x'", kinds="*", verbs="*")], [], A),
    # no matching deny
    ([rule()], [rule("event.a == 'x'")], NOT_A),
    ([rule()], [rule("event.a != 'x'")], A),
    ([rule()], [rule("event.a == 'x'"), rule("event.b == 'y'")], AllOf((NOT_A, NOT_B))),
    ([rule()], [rule("event.a == 'x' && event.b == 'y'")], AnyOf((NOT_A, NOT_B))),
    ([rule()], [rule("event.a == 'x' || event.b == 'y'")], AllOf((NOT_A, NOT_B))),
    ([rule()], [rule("event.a == 'x'", verbs="read")], ALWAYS),
    ([rule()], [rule("event.a == 'x'", kinds="*", verbs="*")], NOT_A),
    ([rule("event.a == 'x'")], [rule("event.b == 'y'")], AllOf((A, NOT_B))),
    ([rule("event.a == 'x'")], [rule("event.a == 'x'")], AllOf((A, NOT_A))),
    ([rule()], [rule()], NEVER),
    ([rule("event.a == 'x'")], [rule()], NEVER),
    ([rule()], [rule("user.metadata.name == 'alice'"), rule("event.a == 'x'")], NEVER),
    # another kind's object isn't there
    ([rule("session.a == 'x'")], [], NEVER),
    ([rule()], [rule("session.a == 'x'")], NEVER),
    ([rule("session.a == 'x' || event.a == 'x'")], [], A),
    # negations
    ([rule("!(event.a == 'x' && event.b == 'y')")], [], AnyOf((NOT_A, NOT_B))),
    ([rule("!!(event.a == 'x')")], [], A),
    # true and 1 are not the same
    ([rule("event.a == true || event.a == 1")], [], AnyOf((one_of("a", True), one_of("a", 1)))),
]


@pytest.mark.parametrize(("allow", "deny", "formula"), FORMULAS)
def test_what_is_left_is_about_the_object(allow, deny, formula):
    assert repr(policy(r=(allow, deny)).admits(alice("r"), "event", ("list",))) == repr(formula)


@pytest.mark.parametrize(("allow", "deny", "formula"), FORMULAS)
def test_without_an_object_only_what_needs_none_is_allowed(allow, deny, formula):
    assert policy(r=(allow, deny)).decide(alice("r"), "event", ("list",)) is (formula == ALWAYS)


def test_conditions_of_several_roles_come_together():
    rules = policy(
        one=([rule("event.a == 'x'")], []), two=([rule("event.b == 'y'")], []), no=([], [rule("event.c == 'z'")])
    )
    assert rules.admits(alice("one"), "event", ("list",)) == A
    assert rules.admits(alice("one", "two"), "event", ("list",)) == AnyOf((A, B))
    assert rules.admits(alice("one", "no"), "event", ("list",)) == AllOf((A, one_of("c", "z", holds=False)))
    assert rules.admits(alice("no"), "event", ("list",)) == NEVER
    assert rules.admits(alice("one", "gone"), "event", ("list",)) == NEVER


def test_every_verb_must_be_admitted():
    rules = policy(r=([rule("event.a == 'x'"), rule("event.b == 'y'", verbs="read")], []))
    assert rules.admits(alice("r"), "event", ("list", "read")) == AllOf((A, B))
    assert rules.admits(alice("r"), "event", ("list", "use")) == NEVER
    assert rules.admits(alice("r"), "event", ()) == NEVER


TESTS = [
    ("equals(event.v, user.spec.roles)", [(Operator.ALL_IN, ("r",)), (Operator.HAS_ALL, ("r",))]),
    ("equals(set('b', 'a'), event.v)", [(Operator.ALL_IN, ("a", "b")), (Operator.HAS_ALL, ("a", "b"))]),
    ("event.v == user.metadata.name", [(Operator.ONE_OF, ("alice",))]),
    ("contains(event.v, 'x')", [(Operator.HAS_ANY, ("x",))]),
    ("contains(set('b', 'a'), event.v)", [(Operator.ONE_OF, ("a", "b"))]),
    ("contains(user.spec.traits.team, event.v)", [(Operator.ONE_OF, ("blue", "red"))]),
    ("contains_any(event.v, set('b', 'a'))", [(Operator.HAS_ANY, ("a", "b"))]),
    ("contains_any(set('b', 'a'), event.v)", [(Operator.HAS_ANY, ("a", "b"))]),
    ("contains_all(event.v, set('b', 'a'))", [(Operator.HAS_ALL, ("a", "b"))]),
    ("contains_all(set('b', 'a'), event.v)", [(Operator.ALL_IN, ("a", "b"))]),
    ("all_equal(event.v, 'x')", [(Operator.ALL_IN, ("x",))]),
    ("all_equal(user.spec.roles, event.v)", [(Operator.ONE_OF, ("r",))]),
    ("all_equal(user.spec.traits.team, event.v)", [(Operator.ONE_OF, ())]),
    ("all_end_with(event.v, 'x')", [(Operator.ALL_END, ("x",))]),
    ("has_prefix(event.v, 'x')", [(Operator.PREFIX, ("x",))]),
    ("is_subset(event.v, 'b', 'a')", [(Operator.ALL_IN, ("a", "b"))]),
    ("is_subset(user.spec.traits.team, event.v)", [(Operator.HAS_ALL, ("blue", "red"))]),
]


@pytest.mark.parametrize(("where", "asked"), TESTS)
def test_each_function_asks_the_object(where, asked):
    for holds, text in ((True, where), (False, f"!({where})")):
        tests = tuple(Test(("v",), *each, holds=holds) for each in asked)
        joined = tests[0] if len(tests) == 1 else AllOf(tests) if holds else AnyOf(tests)
        assert policy(r=([rule(text)], [])).admits(alice("r"), "event", ("list",)) == joined


class CountingCasbin(CasbinPolicy):
    asked: list

    def enforce(self, *question):
        self.asked.append(question)
        return super().enforce(*question)


def test_casbin_is_asked_once_for_each_condition(monkeypatch):
    monkeypatch.setattr("rbac.policy.CasbinPolicy", CountingCasbin)
    CountingCasbin.asked = []
    elsewhere = [rule(f"event.a == '{n}'", kinds="session") for n in range(20)]
    allow = [rule("event.a == 'x'"), rule("event.b == 'y'"), rule("event.a == 'x'", kinds="*"), *elsewhere]
    rules = policy(r=(allow, [rule("event.c == 'z'")]), other=([rule("event.d == 'q'")], []))
    for _ in range(3):
        rules.admits(alice("r"), "event", ("list",))
        rules.decide(alice("r"), "event", ("list",))
    assert len(CountingCasbin.asked) == 1 + 3
    rules.decide(alice("other"), "session", ("read",))
    assert len(CountingCasbin.asked) == 1 + 3 + 1


def test_what_depends_on_too_many_conditions_is_refused():
    many = [rule(f"event.a == '{n}'") for n in range(MAX_CONDITIONS + 1)]
    assert policy(r=(many[1:], [])).admits(alice("r"), "event", ("list",)) != NEVER
    assert policy(r=(many, [])).admits(alice("r"), "event", ("list",)) == NEVER


def test_a_formula_that_is_too_large_is_refused():
    names = ", ".join(f"'{n}'" for n in range(400))
    big = rule(f"contains_any(event.a, set({names}))")
    other = rule(f"contains_any(event.b, set({names}))")
    assert policy(r=([big], [])).admits(alice("r"), "event", ("list",)) != NEVER
    assert policy(r=([big, other], [])).admits(alice("r"), "event", ("list",)) == NEVER


def test_the_digest_covers_conditions():
    digests = {policy(r=([rule(where)], [])).digest for where in ("", "event.a == 'x'", "event.a == 'y'")}
    assert len(digests) == 3


def test_a_method_that_heeds_no_condition_on_objects_is_refused_to_who_has_only_those():
    rules = policy(r=([rule("event.a == 'x'")], []), user=([rule("user.metadata.name == 'alice'")], []))
    needs = (("event", ("list",)),)
    assert rules.permits(alice("r"), Permission(needs)) is None
    assert rules.permits(alice("user"), Permission(needs)).condition == ALWAYS
    grant = rules.permits(alice("r"), Permission(needs, by_object=True))
    assert (grant.alternatives, grant.condition) == (needs, A)
    assert rules.permits(alice("r"), Permission((("event", ("read",)),), by_object=True)) is None


def test_recording_is_denied_by_a_wildcard_deny_whose_condition_is_about_the_object():
    rules = policy(importer=([rule(verbs="create")], []), no=([], [rule("event.a == 'x'", kinds="*", verbs="*")]))
    assert rules.decide(alice("importer"), "event", ("create",))
    assert not rules.decide(alice("importer", "no"), "event", ("create",))
    assert rules.admits(alice("importer", "no"), "event", ("create",)) == NEVER
    assert rules.admits(alice("importer"), "event", ("create",)) == ALWAYS


def test_recording_may_depend_on_the_user():
    rules = policy(r=([rule("contains(user.spec.traits.team, 'red')", verbs="create")], []))
    assert rules.decide(alice("r"), "event", ("create",))
    assert not rules.decide(Identity(IdentityKind.USER, "bob", frozenset({"r"})), "event", ("create",))


def test_a_wildcard_with_a_condition_gives_a_user_no_recording_either():
    rules = policy(r=([rule("user.metadata.name == 'alice'", kinds="*", verbs="*")], []))
    assert rules.decide(alice("r"), "event", ("list",))
    assert not rules.decide(alice("r"), "event", ("create",))

"""What a condition may say, and where it is refused."""

import pytest

from rbac.condition_grammar import parse_condition
from rbac.condition_tokens import ConditionError
from rbac.conditions import (
    And,
    Call,
    Listing,
    Literal,
    Not,
    ObjectValue,
    Or,
    Relation,
    Root,
    UserName,
    UserRoles,
    UserTrait,
    roots_of,
)


def value(*path, root=Root.EVENT):
    return ObjectValue(root, path)


def equal(left, right):
    return Call(Relation.EQUALS, left, right)


A, B, C = (equal(value(name), Literal("x")) for name in "abc")

TREES = [
    ("event.a == 'x'", A),
    (" event . a\n==\t'x' ", A),
    ("equals(event.a, 'x')", A),
    ("event['a'] == `x`", A),
    ('event["a"] != "x"', Not(A)),
    ("!(event.a == 'x')", Not(A)),
    ("!!equals(event.a, 'x')", Not(Not(A))),
    ("event.a == 'x' && event.b == 'x' && event.c == 'x'", And((A, B, C))),
    ("event.a == 'x' || event.b == 'x' && event.c == 'x'", Or((A, And((B, C))))),
    ("(event.a == 'x' || event.b == 'x') && event.c == 'x'", And((Or((A, B)), C))),
    ("!equals(event.a, 'x') && event.b == 'x'", And((Not(A), B))),
    ("contains(session.participants, user.metadata.name)",
     Call(Relation.CONTAINS, value("participants", root=Root.SESSION), UserName())),
    ("contains_any(user.spec.traits['a b'], set('x', user.metadata.name))",
     Call(Relation.CONTAINS_ANY, UserTrait("a b"), Listing((Literal("x"), UserName())))),
    ("contains_all(user.spec.roles, user.spec.traits.x)", Call(Relation.CONTAINS_ALL, UserRoles(), UserTrait("x"))),
    ("all_equal(user.spec.roles, event.role)", Call(Relation.ALL_EQUAL, UserRoles(), value("role"))),
    ("all_end_with(user.spec.roles, '-ro')", Call(Relation.ALL_END_WITH, UserRoles(), Literal("-ro"))),
    ("has_prefix(event.a, 'x')", Call(Relation.HAS_PREFIX, value("a"), Literal("x"))),
    ("is_subset(event.a, user.spec.roles)", Call(Relation.IS_SUBSET, value("a"), UserRoles())),
    ("is_subset(event.a, 'x', 'y')", Call(Relation.IS_SUBSET, value("a"), Listing((Literal("x"), Literal("y"))))),
    ("is_subset(event.a, 'x')", Call(Relation.IS_SUBSET, value("a"), Literal("x"))),
    ("resource.metadata.name == 'x'", equal(value("metadata", "name", root=Root.RESOURCE), Literal("x"))),
    ("resource.metadata.labels['env'] == 'x'",
     equal(value("metadata", "labels", "env", root=Root.RESOURCE), Literal("x"))),
    ("event['addr.remote'].b['c-d'] == 'x'", equal(value("addr.remote", "b", "c-d"), Literal("x"))),
    ("event.set == 'x'", equal(value("set"), Literal("x"))),
    ("event.n == -7", equal(value("n"), Literal(-7))),
    ("true == event.a", equal(Literal(True), value("a"))),
    (r"""event.a == "q\"b\\'" """, equal(value("a"), Literal("q\"b\\'"))),
    ("event.a == 'é'", equal(value("a"), Literal("é"))),
    (r"event.a == `\d`", equal(value("a"), Literal(r"\d"))),
    ("set('x') == user.spec.roles", equal(Listing((Literal("x"),)), UserRoles())),
]  # fmt: skip


@pytest.mark.parametrize(("text", "tree"), TREES, ids=[case[0] for case in TREES])
def test_a_condition_is_read_as(text, tree):
    condition = parse_condition(text)
    assert condition.tree == tree
    assert condition.text == text.strip()


REFUSED = [
    ("", 0, "ends too early"),
    ("event.a ==", 10, "ends too early"),
    ("event.a", 0, "compare it"),
    ("'x'", 0, "compare it"),
    ("true", 0, "compare it"),
    ("set('x')", 0, "compare it"),
    ("event.a == 'x' event.b == 'y'", 15, "isn't expected"),
    ("event.a == 'x' == 'x'", 15, "isn't expected"),
    ("(event.a == 'x'", 15, "')' is missing"),
    ("event.a == 'x')", 14, "isn't expected"),
    ("&& event.a == 'x'", 0, "isn't expected"),
    ("event.a == 'x' & event.b == 'x'", 15, "has no meaning"),
    ("event.a = 'x'", 8, "has no meaning"),
    ("event.a < 1", 8, "has no meaning"),
    ("event.a == 'x", 11, "isn't closed"),
    (r"event.a == 'x\n'", 11, "isn't closed, or has an escape"),
    ("event.a == 'x\x00'", 11, "isn't closed"),
    ("event.a == 1.5", 11, "whole number"),
    ("event.a == 1234567890123456789", 11, "whole number"),
    ("event.a == 1x", 11, "whole number"),
    ("event.a == -", 11, "whole number"),
    ("!event.a == 'x'", 1, "after !"),
    ("!set('x') == user.spec.roles", 1, "after !"),
    ("eval('x')", 0, "no function 'eval'"),
    ("__import__('os')", 0, "no function '__import__'"),
    ("system.catype() == 'x'", 0, "no identifier 'system.catype'"),
    ("can_view()", 0, "no function 'can_view'"),
    ("Equals(event.a, 'x')", 0, "no function"),
    ("event == 'x'", 0, "no identifier 'event'"),
    ("event. == 'x'", 7, "a name is missing"),
    ("event[a] == 'x'", 6, "a text is missing"),
    ("event['a' == 'x'", 10, "']' is missing"),
    ("user == 'x'", 0, "no identifier 'user'"),
    ("user.metadata.labels == 'x'", 0, "no identifier"),
    ("user.metadata.name.x == 'x'", 0, "no identifier"),
    ("user.spec.traits == 'x'", 0, "no identifier"),
    ("user.spec.traits.a.b == 'x'", 0, "no identifier"),
    ("user.spec.logins == 'x'", 0, "no identifier"),
    ("resource.spec.x == 'x'", 0, "no identifier"),
    ("resource.metadata.labels == 'x'", 0, "no identifier"),
    ("ssh_session.participants == 'x'", 0, "no identifier"),
    ("name == 'x'", 0, "no identifier 'name'"),
    ("event['0'] == 'x'", 0, "not of digits alone"),
    ("event['+1'] == 'x'", 0, "not of digits alone"),
    ("event[''] == 'x'", 0, "1 to 128"),
    ("event['é'] == 'x'", 0, "printable ASCII"),
    ("event[\"a'b\"] == 'x'", 0, "without quotes"),
    (r"event['a\\b'] == 'x'", 0, "backslashes"),
    (f"event['{'k' * 129}'] == 'x'", 0, "1 to 128"),
    (f"event{'.k' * 17} == 'x'", 0, "at most 16 keys"),
    ("equals(event.a)", 0, "takes two values, and has 1"),
    ("equals()", 0, "takes two values, and has 0"),
    ("contains(event.a, 'x', 'y')", 0, "takes two values, and has 3"),
    ("equals(event.a, event.b)", 16, "can't be compared with each other"),
    ("event.a == session.b", 8 + 3, "can't be compared with each other"),
    ("equals('x', 1)", 12, "only a value of the object"),
    ("user.metadata.name == true", 22, "only a value of the object"),
    ("contains(event.a, 1)", 18, "only with =="),
    ("has_prefix(event.a, 1)", 20, "only with =="),
    ("equals(event.a, set(1))", 16, "set takes texts"),
    ("equals(event.a, set())", 16, "set takes texts, at least one"),
    ("equals(event.a, set(user.spec.roles))", 16, "set takes texts"),
    ("equals(event.a, set(event.b))", 16, "set takes texts"),
    ("is_subset(event.a, 'x', user.spec.roles)", 24, "one list, or texts"),
    ("contains(event.a, user.spec.roles)", 18, "one text as its second"),
    ("contains(event.a, set('x'))", 18, "one text as its second"),
    ("all_equal(event.a, user.spec.traits.x)", 19, "one text as its second"),
    ("has_prefix(user.spec.roles, 'x')", 11, "one text as its first"),
    ("has_prefix('x', event.a)", 16, "no value of the object"),
    ("all_end_with(user.spec.roles, event.a)", 30, "no value of the object"),
    ("(" * 17 + "event.a == 'x'" + ")" * 17, 16, "deeper than 16"),
    ("!" * 100 + "equals(event.a, 'x')", 16, "deeper than 16"),
]


@pytest.mark.parametrize(("text", "offset", "reason"), REFUSED, ids=[repr(case[0][:40]) for case in REFUSED])
def test_a_condition_is_refused_at(text, offset, reason):
    with pytest.raises(ConditionError) as caught:
        parse_condition(text)
    assert reason in caught.value.reason
    assert caught.value.offset == offset


def test_length_and_depth_are_bounded_just_so():
    parse_condition("(" * 16 + "event.a == 'x'" + ")" * 16)
    parse_condition("event.a == 'x'".ljust(4096))
    with pytest.raises(ConditionError, match="more than 4096 characters"):
        parse_condition("event.a == 'x'".ljust(4097))


def test_a_condition_of_many_parts_is_no_deeper_than_one():
    tree = parse_condition(" || ".join(["event.a=='x'"] * 250)).tree
    assert isinstance(tree, Or)
    assert len(tree.operands) == 250


def test_only_values_of_the_kinds_at_hand_may_be_asked_for():
    text = "session.a == 'x' || event.b == 'x'"
    assert roots_of(parse_condition(text, frozenset({Root.EVENT, Root.SESSION})).tree) == {Root.EVENT, Root.SESSION}
    with pytest.raises(ConditionError, match="no kind that has a 'session'"):
        parse_condition(text, frozenset({Root.EVENT}))

"""Roles as Teleport writes them, versions v3 to v8: what this service takes from a role's document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rbac.condition_grammar import parse_condition
from rbac.condition_tokens import ConditionError
from rbac.conditions import Condition, Root, roots_of
from rbac.errors import Refusal
from rbac.kinds import KINDS, RECORDED, root_of
from rbac.safe_yaml import Field, ListNode, MapNode, Node, ScalarNode

WILDCARD: Final = "*"
VERSIONS: Final = frozenset({"v3", "v4", "v5", "v6", "v7", "v8"})

_NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,128}")
_WORD: Final = re.compile(r"\*|[A-Za-z0-9_./:-]{1,64}")
_ROLE_FIELDS: Final = frozenset({"kind", "sub_kind", "version", "metadata", "spec"})
_RULE_FIELDS: Final = frozenset({"resources", "verbs", "where", "actions"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Kinds and verbs, each a set of names that may hold `*`, and the condition on which it applies, if any."""

    kinds: frozenset[str]
    verbs: frozenset[str]
    where: Condition | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """A role: its rules, the line its document begins on, and whether it comes with the service."""

    name: str
    allow: tuple[Rule, ...]
    deny: tuple[Rule, ...]
    line: int
    preset: bool = False


def role_from(document: Node) -> Role:
    """Read one role.

    A name is 1 to 128 characters of `A-Z a-z 0-9 . _ @ -`. Fields that this service has no use for are accepted
    inside `metadata` and `spec`, since real roles have many, but not beside them and not in a rule.

    Raises:
        Refusal: it isn't a role, or says something that would otherwise be left out in silence.
    """
    role = _map(document, "a document")
    _refuse_unknown(role, _ROLE_FIELDS, "a role")
    kind = _text(role, "kind")
    if kind != "role":
        raise Refusal(_field(role, "kind").line, "kind must be role")
    if _text(role, "version") not in VERSIONS:
        raise Refusal(_field(role, "version").line, "version must be v3 to v8")
    name = _name(_map(_field(role, "metadata").value, "metadata", _field(role, "metadata").line))
    spec = _map(_field(role, "spec").value, "spec", _field(role, "spec").line)
    return Role(name, _section(spec, "allow"), _section(spec, "deny"), role.line)


def _name(metadata: MapNode) -> str:
    name = _text(metadata, "name")
    if not _NAME.fullmatch(name):
        raise Refusal(_field(metadata, "name").line, "metadata.name must be 1 to 128 characters of A-Z a-z 0-9 . _ @ -")
    expires = metadata.fields.get("expires")
    if expires and not _is_empty(expires.value):
        raise Refusal(expires.line, "metadata.expires isn't supported: a role doesn't expire here")
    return name


def _section(spec: MapNode, side: str) -> tuple[Rule, ...]:
    """The rules of `allow` or `deny`; none where its namespaces leave this service's out."""
    found = spec.fields.get(side)
    if found is None or _is_null(found.value):
        return ()
    section = _map(found.value, f"spec.{side}", found.line)
    rules = section.fields.get("rules")
    read = tuple(_rule(item) for item in _list(rules, f"spec.{side}.rules")) if rules else ()
    return read if _in_default_namespace(section, side) else ()


def _in_default_namespace(section: MapNode, side: str) -> bool:
    namespaces = section.fields.get("namespaces")
    if namespaces is None or _is_null(namespaces.value):
        return True
    names = _words(namespaces, f"spec.{side}.namespaces")
    return "default" in names or WILDCARD in names


def _rule(node: Node) -> Rule:
    rule = _map(node, "a rule")
    _refuse_unknown(rule, _RULE_FIELDS, "a rule")
    actions = rule.fields.get("actions")
    if actions and _list(actions, "actions"):
        raise Refusal(actions.line, "actions isn't supported: only an empty list can be loaded")
    kinds, verbs = _words(_field(rule, "resources"), "resources"), _words(_field(rule, "verbs"), "verbs")
    where = rule.fields.get("where")
    if where is None or _is_empty(where.value):
        return Rule(kinds, verbs)
    return Rule(kinds, verbs, _condition(where, kinds, verbs))


def _condition(field: Field, kinds: frozenset[str], verbs: frozenset[str]) -> Condition:
    node = field.value
    if not isinstance(node, ScalarNode) or not node.is_text:
        raise Refusal(field.line, "where must be text")
    if kinds.isdisjoint({*KINDS, WILDCARD}):
        return Condition(node.text, None)
    roots = frozenset(Root) if WILDCARD in kinds else frozenset(root_of(kind) for kind in kinds)
    try:
        condition = parse_condition(node.text, roots)
    except ConditionError as error:
        line, column = _place(node, error.offset)
        raise Refusal(line, f"where can't be used: {error.reason} (column {column})") from None
    if "create" in verbs and not kinds.isdisjoint(RECORDED) and condition.tree and roots_of(condition.tree):
        reason = "create of event or session is decided before there is an object: only the user can be asked about"
        line, column = _place(node, 0)
        raise Refusal(line, f"where can't be used: {reason} (column {column})")
    return condition


def _place(node: ScalarNode, offset: int) -> tuple[int, int]:
    """Line and column of a character of a text; the column is that of the text where the file holds it otherwise."""
    before = node.text[:offset].rpartition("\n")
    if node.is_block:
        return node.line + 1 + node.text.count("\n", 0, offset), len(before[2]) + 1
    return node.line, (node.column or 1) + offset


def _words(field: Field, what: str) -> frozenset[str]:
    words: set[str] = set()
    for item in _list(field, what):
        if not isinstance(item, ScalarNode) or not item.is_text:
            raise Refusal(item.line, f"{what} must hold text only")
        if not _WORD.fullmatch(item.text):
            raise Refusal(item.line, f"{what} has {item.text[:64]!r}: neither a name nor * alone")
        words.add(item.text)
    if not words:
        raise Refusal(field.line, f"{what} must not be empty")
    return frozenset(words)


def _field(node: MapNode, name: str) -> Field:
    if name not in node.fields:
        raise Refusal(node.line, f"{name} is missing")
    return node.fields[name]


def _text(node: MapNode, name: str) -> str:
    field = _field(node, name)
    if not isinstance(field.value, ScalarNode) or not field.value.is_text:
        raise Refusal(field.line, f"{name} must be text (in quotes where YAML would take it as something else)")
    return field.value.text


def _map(node: Node, what: str, line: int | None = None) -> MapNode:
    if not isinstance(node, MapNode):
        raise Refusal(line or node.line, f"{what} must be a map")
    return node


def _list(field: Field, what: str) -> tuple[Node, ...]:
    if _is_null(field.value):
        return ()
    if not isinstance(field.value, ListNode):
        raise Refusal(field.line, f"{what} must be a list")
    return field.value.items


def _refuse_unknown(node: MapNode, known: frozenset[str], what: str) -> None:
    for name, field in node.fields.items():
        if name not in known:
            raise Refusal(field.line, f"{what} has no field {name[:64]!r}")


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.is_null


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and (node.is_null or node.text == "")

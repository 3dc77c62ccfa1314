"""Roles as Teleport writes them, versions v3 to v8: what this service takes from a role's document."""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from rbac.condition_grammar import parse_condition
from rbac.condition_tokens import ConditionError
from rbac.conditions import Condition, Root, roots_of
from rbac.errors import Refusal
from rbac.kinds import KINDS, RECORDED, VERBS, root_of
from rbac.misspellings import meant_by
from rbac.safe_yaml import Field, ListNode, MapNode, Node, ScalarNode

WILDCARD: Final = "*"
VERSIONS: Final = frozenset({"v3", "v4", "v5", "v6", "v7", "v8"})

_NAMESPACE: Final = "default"
_NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,128}")
_WORD: Final = re.compile(r"\*|[A-Za-z0-9_./:-]{1,64}")
_ROLE_FIELDS: Final = frozenset({"kind", "sub_kind", "version", "metadata", "spec"})
_METADATA_FIELDS: Final = frozenset({"name", "expires"})
_SPEC_FIELDS: Final = frozenset({"allow", "deny"})
_SECTION_FIELDS: Final = frozenset({"rules", "namespaces"})
_RULE_FIELDS: Final = frozenset({"resources", "verbs", "where", "actions"})

Read = TypeVar("Read")
Wrong = Callable[[str], str]
"""What is wrong with a word; '' where nothing is."""


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

    Raises:
        Refusal: it isn't a role, or says something that would otherwise be left out in silence.
    """
    problems: list[Refusal] = []
    role = read_role(document, problems)
    if role is None:
        raise problems[0]
    return role


def read_role(document: Node, problems: list[Refusal]) -> Role | None:
    """Read one role; None where anything is wrong with it, all of which is added to the problems.

    A name is 1 to 128 characters of `A-Z a-z 0-9 . _ @ -`. Fields that this service has no use for are accepted
    inside `metadata` and `spec`, since real roles have many, but not beside them and not in a rule. What looks like a
    field or kind of ours and isn't one is refused: a deny that nobody reads would allow.
    """
    before = len(problems)
    name, allow, deny = _Reader(problems).role(document)
    if len(problems) > before or name is None:
        return None
    return Role(name, allow, deny, document.line)


class _Reader:
    """Reads the parts of a role; what is wrong with one never hides what is wrong with another."""

    def __init__(self, problems: list[Refusal]) -> None:
        self._problems = problems

    def role(self, document: Node) -> tuple[str | None, tuple[Rule, ...], tuple[Rule, ...]]:
        """Name, allow rules and deny rules."""
        role = self._kept(lambda: _map(document, "a document"))
        if role is None:
            return None, (), ()
        self._refuse_unknown(role, _ROLE_FIELDS, "a role")
        self._kept(lambda: _must_be(role, "kind", frozenset({"role"}), "role"))
        self._kept(lambda: _must_be(role, "version", VERSIONS, "v3 to v8"))
        metadata = self._kept(lambda: _submap(role, "metadata"))
        name = self._name(metadata) if metadata else None
        spec = self._kept(lambda: _submap(role, "spec"))
        if spec is None:
            return name, (), ()
        self._refuse_misspelt(spec, _SPEC_FIELDS, "spec")
        return name, self._section(spec, "allow"), self._section(spec, "deny")

    def _name(self, metadata: MapNode) -> str | None:
        self._refuse_misspelt(metadata, _METADATA_FIELDS, "metadata")
        expires = metadata.fields.get("expires")
        name = self._kept(lambda: _name(metadata))
        if expires and not _is_empty(expires.value):
            self._add(expires, "metadata.expires isn't supported: a role doesn't expire here")
        return name

    def _section(self, spec: MapNode, side: str) -> tuple[Rule, ...]:
        """The rules of `allow` or `deny`; none where its namespaces leave this service's out."""
        found = spec.fields.get(side)
        if found is None or _is_null(found.value):
            return ()
        section = self._kept(lambda: _map(found.value, f"spec.{side}", found))
        if section is None:
            return ()
        self._refuse_misspelt(section, _SECTION_FIELDS, f"spec.{side}")
        rules = section.fields.get("rules")
        items = self._kept(lambda: _list(rules, f"spec.{side}.rules")) if rules else ()
        read = [self._rule(item) for item in items or ()]
        return tuple(rule for rule in read if rule) if self._in_default_namespace(section, side) else ()

    def _in_default_namespace(self, section: MapNode, side: str) -> bool:
        namespaces = section.fields.get("namespaces")
        if namespaces is None or _is_null(namespaces.value):
            return True
        names = self._words(namespaces, f"spec.{side}.namespaces", partial(_misspelt, {_NAMESPACE}))
        return _NAMESPACE in names or WILDCARD in names

    def _rule(self, node: Node) -> Rule | None:
        rule = self._kept(lambda: _map(node, "a rule"))
        if rule is None:
            return None
        self._refuse_unknown(rule, _RULE_FIELDS, "a rule")
        actions = rule.fields.get("actions")
        if actions and self._kept(lambda: _list(actions, "actions")):
            self._add(actions, "actions isn't supported: only an empty list can be loaded")
        before = len(self._problems)
        kinds = self._words_of(rule, "resources", partial(_misspelt, KINDS))
        verbs = self._words_of(rule, "verbs", _nothing if kinds.isdisjoint({*KINDS, WILDCARD}) else _no_verb)
        where = rule.fields.get("where")
        if where is None or _is_empty(where.value):
            return Rule(kinds, verbs)
        # Of kinds that couldn't be read it isn't known what a condition may ask about.
        asked = kinds if len(self._problems) == before else frozenset({WILDCARD})
        return Rule(kinds, verbs, self._kept(lambda: _condition(where, asked, verbs)))

    def _words_of(self, rule: MapNode, name: str, wrong: Wrong) -> frozenset[str]:
        field = self._kept(lambda: _field(rule, name))
        return self._words(field, name, wrong) if field else frozenset()

    def _words(self, field: Field, what: str, wrong: Wrong) -> frozenset[str]:
        items = self._kept(lambda: _list(field, what))
        if items is None:
            return frozenset()
        if not items:
            self._add(field, f"{what} must not be empty")
        words = [self._kept(partial(_word, item, what, wrong)) for item in items]
        return frozenset(word for word in words if word)

    def _refuse_unknown(self, node: MapNode, known: frozenset[str], what: str) -> None:
        for name, field in node.fields.items():
            if name not in known:
                self._add(field, f"{what} has no field {name[:64]!r}{_misspelt(known, name)}")

    def _refuse_misspelt(self, node: MapNode, known: frozenset[str], what: str) -> None:
        """Refuse fields that look like those that are known, which aren't all that it may have."""
        for name, field in node.fields.items():
            if meant := _misspelt(known, name):
                self._add(field, f"{what} has no field {name[:64]!r}{meant}")

    def _add(self, place: Node | Field, reason: str) -> None:
        self._problems.append(_refusal(place, reason))

    def _kept(self, read: Callable[[], Read]) -> Read | None:
        """What is read; None where it is refused, and the refusal is kept."""
        try:
            return read()
        except Refusal as refusal:
            self._problems.append(refusal)
            return None


def _refusal(place: Node | Field, reason: str) -> Refusal:
    return Refusal(place.line, reason, place.column)


def _must_be(role: MapNode, name: str, allowed: frozenset[str], text: str) -> None:
    if _text(role, name) not in allowed:
        raise _refusal(_field(role, name), f"{name} must be {text}")


def _submap(role: MapNode, name: str) -> MapNode:
    field = _field(role, name)
    return _map(field.value, name, field)


def _name(metadata: MapNode) -> str:
    name = _text(metadata, "name")
    if not _NAME.fullmatch(name):
        raise _refusal(_field(metadata, "name"), "metadata.name must be 1 to 128 characters of A-Z a-z 0-9 . _ @ -")
    return name


def _condition(field: Field, kinds: frozenset[str], verbs: frozenset[str]) -> Condition:
    node = field.value
    if not isinstance(node, ScalarNode) or not node.is_text:
        raise _refusal(field, "where must be text")
    if kinds.isdisjoint({*KINDS, WILDCARD}):
        return Condition(node.text, None)
    roots = frozenset(Root) if WILDCARD in kinds else frozenset(root_of(kind) for kind in kinds)
    try:
        condition = parse_condition(node.text, roots)
    except ConditionError as error:
        line, column = _place(node, error.offset)
        raise Refusal(line, f"where can't be used: {error.reason}", column) from None
    if "create" in verbs and not kinds.isdisjoint(RECORDED) and condition.tree and roots_of(condition.tree):
        reason = "create of event or session is decided before there is an object: only the user can be asked about"
        line, column = _place(node, 0)
        raise Refusal(line, f"where can't be used: {reason}", column)
    return condition


def _place(node: ScalarNode, offset: int) -> tuple[int, int]:
    """Line and column of a character of a text; the column is that of the text where the file holds it otherwise."""
    before = node.text[:offset].rpartition("\n")
    if node.is_block:
        return node.line + 1 + node.text.count("\n", 0, offset), len(before[2]) + 1
    return node.line, (node.text_column or 1) + offset


def _misspelt(known: Set[str], word: str) -> str:
    meant = meant_by(word, known)
    return f"; did you mean {meant!r}?" if meant else ""


def _no_verb(word: str) -> str:
    return "" if word in {*VERBS, WILDCARD} else _misspelt(VERBS, word) or ", which is no verb"


def _nothing(_word: str) -> str:
    return ""


def _word(item: Node, what: str, wrong: Wrong) -> str:
    if not isinstance(item, ScalarNode) or not item.is_text:
        raise _refusal(item, f"{what} must hold text only")
    if not _WORD.fullmatch(item.text):
        raise _refusal(item, f"{what} has {item.text[:64]!r}: neither a name nor * alone")
    if reason := wrong(item.text):
        raise _refusal(item, f"{what} has {item.text!r}{reason}")
    return item.text


def _field(node: MapNode, name: str) -> Field:
    if name not in node.fields:
        raise _refusal(node, f"{name} is missing")
    return node.fields[name]


def _text(node: MapNode, name: str) -> str:
    field = _field(node, name)
    if not isinstance(field.value, ScalarNode) or not field.value.is_text:
        raise _refusal(field, f"{name} must be text (in quotes where YAML would take it as something else)")
    return field.value.text


def _map(node: Node, what: str, place: Field | None = None) -> MapNode:
    if not isinstance(node, MapNode):
        raise _refusal(place or node, f"{what} must be a map")
    return node


def _list(field: Field, what: str) -> tuple[Node, ...]:
    if _is_null(field.value):
        return ()
    if not isinstance(field.value, ListNode):
        raise _refusal(field, f"{what} must be a list")
    return field.value.items


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.is_null


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and (node.is_null or node.text == "")

"""Conditions of rules, the `where` of a role file, as small trees in which the user is not yet known."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Root(enum.Enum):
    """What a value of an object belongs to: each kind of thing has one of them."""

    EVENT = "event"
    SESSION = "session"
    RESOURCE = "resource"


class Relation(enum.Enum):
    """The functions of the language, by name; `==` is `equals`, and `!=` its negation."""

    EQUALS = "equals"
    CONTAINS = "contains"
    CONTAINS_ANY = "contains_any"
    CONTAINS_ALL = "contains_all"
    ALL_EQUAL = "all_equal"
    ALL_END_WITH = "all_end_with"
    HAS_PREFIX = "has_prefix"
    IS_SUBSET = "is_subset"


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written. A bool or an int is compared with a value of an object and nothing else."""

    value: str | int | bool


@dataclass(frozen=True, slots=True)
class UserName:
    """`user.metadata.name`."""


@dataclass(frozen=True, slots=True)
class UserRoles:
    """`user.spec.roles`."""


@dataclass(frozen=True, slots=True)
class UserTrait:
    """`user.spec.traits["name"]`."""

    name: str


@dataclass(frozen=True, slots=True)
class Listing:
    """`set(...)`: texts, at least one."""

    items: tuple[Literal | UserName, ...]


@dataclass(frozen=True, slots=True)
class ObjectValue:
    """A value of the object, at a path of keys of its JSON."""

    root: Root
    path: tuple[str, ...]


Term = Literal | UserName | UserRoles | UserTrait | Listing | ObjectValue


@dataclass(frozen=True, slots=True)
class Call:
    """A function of two terms, of which at most one belongs to the object."""

    relation: Relation
    left: Term
    right: Term


@dataclass(frozen=True, slots=True)
class Not:
    """Negation."""

    operand: Tree


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    operands: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    operands: tuple[Tree, ...]


Tree = Call | Not | And | Or


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition. Two of the same text are the same."""

    text: str
    tree: Tree | None
    """None where nothing is known of it, as in rules that this service never asks: allows nothing, denies always."""


def roots_of(tree: Tree) -> frozenset[Root]:
    """What the objects' values in a tree belong to."""
    match tree:
        case Call(left=left, right=right):
            return frozenset(term.root for term in (left, right) if isinstance(term, ObjectValue))
        case Not(operand=operand):
            return roots_of(operand)
        case And(operands=operands) | Or(operands=operands):
            return frozenset().union(*(roots_of(operand) for operand in operands))

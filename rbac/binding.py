"""A condition with the user put in: what is left is a formula about the object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rbac.conditions import (
    And,
    Call,
    Condition,
    Listing,
    Literal,
    Not,
    ObjectValue,
    Or,
    Relation,
    Root,
    Term,
    Tree,
    UserName,
    UserRoles,
    UserTrait,
)
from rbac.formulas import ALWAYS, NEVER, Formula, Operator, Test, Value, all_of, any_of
from rbac.identities import Identity


@dataclass(frozen=True, slots=True)
class Known:
    """A value that is known before the object is; never empty."""

    values: frozenset[Value]
    is_list: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """Who the user is, and what the objects are: values of others aren't there."""

    identity: Identity
    root: Root

    def certainly(self, condition: Condition) -> Formula:
        """What an object must be like for the condition to be true of it."""
        return NEVER if condition.tree is None else self._tree(condition.tree, holds=True)

    def certainly_not(self, condition: Condition) -> Formula:
        """What an object must be like for the condition to be false of it, which is more than not to be true."""
        return NEVER if condition.tree is None else self._tree(condition.tree, holds=False)

    def _tree(self, tree: Tree, *, holds: bool) -> Formula:
        match tree:
            case Call():
                return self._call(tree, holds=holds)
            case Not(operand=operand):
                return self._tree(operand, holds=not holds)
            case And(operands=operands):
                parts = (self._tree(operand, holds=holds) for operand in operands)
                return all_of(parts) if holds else any_of(parts)
            case Or(operands=operands):
                parts = (self._tree(operand, holds=holds) for operand in operands)
                return any_of(parts) if holds else all_of(parts)

    def _call(self, call: Call, *, holds: bool) -> Formula:
        left, right = self._resolve(call.left), self._resolve(call.right)
        if isinstance(left, Known) and isinstance(right, Known):
            return ALWAYS if _relates(call.relation, left.values, right.values) is holds else NEVER
        if isinstance(left, ObjectValue) and isinstance(right, Known):
            return _join((Test(left.path, *asked, holds) for asked in _asked_of_left(call.relation, right)), holds)
        if isinstance(left, Known) and isinstance(right, ObjectValue):
            return _join((Test(right.path, *asked, holds) for asked in _asked_of_right(call.relation, left)), holds)
        return NEVER

    def _resolve(self, term: Term) -> Known | ObjectValue | None:
        """The value of a term, the object's as such; None where it isn't there."""
        match term:
            case Literal(value=value):
                return Known(frozenset({value}), is_list=False)
            case UserName():
                return Known(frozenset({self.identity.name}), is_list=False)
            case UserRoles():
                return _known_list(self.identity.roles)
            case UserTrait(name=name):
                return _known_list(value for trait, values in self.identity.traits if trait == name for value in values)
            case Listing(items=items):
                found = [self._resolve(item) for item in items]
                return _known_list(value for item in found if isinstance(item, Known) for value in item.values)
            case ObjectValue(root=root):
                return term if root is self.root else None


def _known_list(values: Iterable[Value]) -> Known | None:
    found = frozenset(values)
    return Known(found, is_list=True) if found else None


def _join(tests: Iterable[Test], holds: bool) -> Formula:
    return all_of(tests) if holds else any_of(tests)


_Asked = tuple[Operator, tuple[Value, ...]]


def _asked_of_left(relation: Relation, known: Known) -> list[_Asked]:
    """What the object's value, as a function's first one, is asked; all of it for the function to be true."""
    values = tuple(sorted(known.values))
    match relation:
        case Relation.EQUALS:
            return _equal(known)
        case Relation.CONTAINS | Relation.CONTAINS_ANY:
            return [(Operator.HAS_ANY, values)]
        case Relation.CONTAINS_ALL:
            return [(Operator.HAS_ALL, values)]
        case Relation.ALL_EQUAL | Relation.IS_SUBSET:
            return [(Operator.ALL_IN, values)]
        case Relation.ALL_END_WITH:
            return [(Operator.ALL_END, values)]
        case Relation.HAS_PREFIX:
            return [(Operator.PREFIX, values)]


def _asked_of_right(relation: Relation, known: Known) -> list[_Asked]:
    """What the object's value, as a function's second one, is asked; all of it for the function to be true."""
    values = tuple(sorted(known.values))
    match relation:
        case Relation.EQUALS:
            return _equal(known)
        case Relation.CONTAINS:
            return [(Operator.ONE_OF, values)]
        case Relation.CONTAINS_ANY:
            return [(Operator.HAS_ANY, values)]
        case Relation.CONTAINS_ALL:
            return [(Operator.ALL_IN, values)]
        case Relation.ALL_EQUAL:
            return [(Operator.ONE_OF, values if len(values) == 1 else ())]
        case Relation.IS_SUBSET:
            return [(Operator.HAS_ALL, values)]
        case Relation.ALL_END_WITH | Relation.HAS_PREFIX:
            raise ValueError(f"{relation.value} can't be asked of its second value")


def _equal(known: Known) -> list[_Asked]:
    values = tuple(sorted(known.values))
    if not known.is_list:
        return [(Operator.ONE_OF, values)]
    return [(Operator.ALL_IN, values), (Operator.HAS_ALL, values)]


def _relates(relation: Relation, left: frozenset[Value], right: frozenset[Value]) -> bool:
    """A function of two known values, both as sets of texts."""
    texts = [str(value) for value in left]
    match relation:
        case Relation.EQUALS | Relation.ALL_EQUAL:
            return left == right
        case Relation.CONTAINS | Relation.CONTAINS_ALL:
            return right <= left
        case Relation.CONTAINS_ANY:
            return not left.isdisjoint(right)
        case Relation.IS_SUBSET:
            return left <= right
        case Relation.ALL_END_WITH:
            return all(text.endswith(str(end)) for text in texts for end in right)
        case Relation.HAS_PREFIX:
            return all(text.startswith(str(start)) for text in texts for start in right)

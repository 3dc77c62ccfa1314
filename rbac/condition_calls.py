"""What each function of conditions may be given."""

from __future__ import annotations

from typing import Final, NamedTuple

from rbac.condition_tokens import ConditionError
from rbac.conditions import Call, Listing, Literal, ObjectValue, Relation, Term, UserName, UserRoles, UserTrait


class Placed(NamedTuple):
    """A term, and where in the condition's text it begins."""

    term: Term
    offset: int


_ONE_TEXT: Final = frozenset({Relation.CONTAINS, Relation.ALL_EQUAL, Relation.ALL_END_WITH, Relation.HAS_PREFIX})
"""Their second term is one text."""
_KNOWN_BEFORE: Final = frozenset({Relation.ALL_END_WITH, Relation.HAS_PREFIX})
"""Their second term can't be a value of the object: an engine would have to compare two of its values."""


def call_of(relation: Relation, arguments: list[Placed], offset: int) -> Call:
    """The call of a function with these arguments.

    Raises:
        ConditionError: it doesn't take them.
    """
    if relation is Relation.IS_SUBSET and len(arguments) > 2:
        arguments = [arguments[0], _gathered(arguments[1:])]
    if len(arguments) != 2:
        raise ConditionError(offset, f"{relation.value} takes two values, and has {len(arguments)}")
    left, right = arguments
    if isinstance(left.term, ObjectValue) and isinstance(right.term, ObjectValue):
        raise ConditionError(right.offset, "two values of the object can't be compared with each other")
    _check_numbers(relation, left, right)
    if relation in _ONE_TEXT and isinstance(right.term, UserRoles | UserTrait | Listing):
        raise ConditionError(right.offset, f"{relation.value} takes one text as its second value, and this is a list")
    if relation in _KNOWN_BEFORE and isinstance(right.term, ObjectValue):
        raise ConditionError(right.offset, f"{relation.value} takes no value of the object as its second value")
    if relation is Relation.HAS_PREFIX and isinstance(left.term, UserRoles | UserTrait | Listing):
        raise ConditionError(left.offset, "has_prefix takes one text as its first value, and this is a list")
    return Call(relation, left.term, right.term)


def _gathered(arguments: list[Placed]) -> Placed:
    """The rest of the arguments of is_subset as one list."""
    items: list[Literal | UserName] = []
    for argument in arguments:
        if not isinstance(argument.term, Literal | UserName):
            raise ConditionError(argument.offset, "is_subset takes one list, or texts, after its first value")
        items.append(argument.term)
    return Placed(Listing(tuple(items)), arguments[0].offset)


def _check_numbers(relation: Relation, left: Placed, right: Placed) -> None:
    """Refuse a number or true or false, alone or in a list, but in a comparison with a value of the object."""
    for one, other in ((left, right), (right, left)):
        items = one.term.items if isinstance(one.term, Listing) else (one.term,)
        if all(not isinstance(item, Literal) or isinstance(item.value, str) for item in items):
            continue
        if relation is not Relation.EQUALS or not isinstance(other.term, ObjectValue):
            raise ConditionError(
                one.offset, "only a value of the object can be equal to this, and only with == or equals"
            )

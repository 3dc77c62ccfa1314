"""From the text of a condition to its tree. Written by hand, bounded in length and depth; nothing is ever executed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from rbac.condition_calls import Placed, call_of
from rbac.condition_tokens import ConditionError, Token, tokens_of
from rbac.conditions import (
    And,
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

MAX_DEPTH: Final = 16
"""Parentheses and negations inside one another."""
MAX_KEYS: Final = 16
MAX_KEY_CHARACTERS: Final = 128

_FUNCTIONS: Final = frozenset(relation.value for relation in Relation)
# Engines agree on keys of these characters. One of digits is left out: some take it for an index of an array.
_KEY: Final = re.compile(r"(?![+-]?[0-9]+$)[ !#-&(-\[\]-~]+")


def parse_condition(text: str, roots: frozenset[Root] = frozenset(Root)) -> Condition:
    """Read a condition on objects whose values belong to `roots`.

    Raises:
        ConditionError: it isn't one, or names something that isn't known here.
    """
    return Condition(text.strip(), _Parser(tokens_of(text), roots).whole())


class _Parser:
    def __init__(self, tokens: list[Token], roots: frozenset[Root]) -> None:
        self._tokens = tokens
        self._roots = roots
        self._index = 0
        self._depth = 0

    def whole(self) -> Tree:
        tree = self._either()
        if self._next.kind != "end":
            raise ConditionError(self._next.offset, f"{self._next.text!r} isn't expected here")
        return tree

    @property
    def _next(self) -> Token:
        return self._tokens[self._index]

    def _take(self) -> Token:
        token = self._next
        if token.kind == "end":
            raise ConditionError(token.offset, "the condition ends too early")
        self._index += 1
        return token

    def _took(self, *signs: str) -> str:
        """The sign that comes next if it is one of these, which is then past; '' if not."""
        token = self._next
        if token.kind != "sign" or token.text not in signs:
            return ""
        self._index += 1
        return token.text

    def _expect(self, sign: str) -> None:
        token = self._next
        if not self._took(sign):
            raise ConditionError(token.offset, f"{sign!r} is missing here")

    def _either(self) -> Tree:
        operands = self._joined("||", self._both)
        return operands[0] if len(operands) == 1 else Or(operands)

    def _both(self) -> Tree:
        operands = self._joined("&&", self._single)
        return operands[0] if len(operands) == 1 else And(operands)

    def _joined(self, sign: str, part: Callable[[], Tree]) -> tuple[Tree, ...]:
        found = [part()]
        while self._took(sign):
            found.append(part())
        return tuple(found)

    def _single(self) -> Tree:
        start = self._next
        if start.kind == "sign" and start.text in ("!", "("):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise ConditionError(start.offset, f"the condition is nested deeper than {MAX_DEPTH} levels")
            self._take()
            if start.text == "!":
                inner: Tree = Not(self._negated())
            else:
                inner = self._either()
                self._expect(")")
            self._depth -= 1
            return inner
        return self._call() if self._at_call() else self._comparison()

    def _negated(self) -> Tree:
        if self._next.text not in ("!", "(") and not self._at_call():
            # `!a == b` would be another thing in the language that conditions come from.
            raise ConditionError(self._next.offset, "after ! only a function or parentheses can come")
        return self._single()

    def _at_call(self) -> bool:
        token = self._next
        return token.kind == "name" and token.text != "set" and self._tokens[self._index + 1].text == "("

    def _call(self) -> Tree:
        name = self._take()
        if name.text not in _FUNCTIONS:
            raise ConditionError(name.offset, f"there is no function {name.text[:64]!r}")
        return call_of(Relation(name.text), self._arguments(), name.offset)

    def _comparison(self) -> Tree:
        left = self._term()
        sign = self._next
        if not self._took("==", "!="):
            raise ConditionError(left.offset, "a value alone is no condition; compare it, or give it to a function")
        equal = call_of(Relation.EQUALS, [left, self._term()], sign.offset)
        return equal if sign.text == "==" else Not(equal)

    def _arguments(self) -> list[Placed]:
        self._expect("(")
        if self._took(")"):
            return []
        found = [self._term()]
        while self._took(","):
            found.append(self._term())
        self._expect(")")
        return found

    def _term(self) -> Placed:
        token = self._take()
        if token.kind == "string":
            return Placed(Literal(token.text), token.offset)
        if token.kind == "number":
            return Placed(Literal(int(token.text)), token.offset)
        if token.kind != "name":
            raise ConditionError(token.offset, f"{token.text!r} isn't expected here")
        if token.text in ("true", "false"):
            return Placed(Literal(token.text == "true"), token.offset)
        if token.text == "set":
            return Placed(_listing(self._arguments(), token.offset), token.offset)
        return Placed(self._identifier(token), token.offset)

    def _identifier(self, first: Token) -> Term:
        path = [first.text]
        while sign := self._took(".", "["):
            token = self._take()
            if token.kind != ("name" if sign == "." else "string"):
                raise ConditionError(
                    token.offset, "a name is missing here" if sign == "." else "a text is missing here"
                )
            path.append(token.text)
            if sign == "[":
                self._expect("]")
        term = _known(tuple(path))
        if term is None:
            raise ConditionError(first.offset, f"there is no identifier {'.'.join(path)[:64]!r}")
        if isinstance(term, ObjectValue) and term.root not in self._roots:
            raise ConditionError(first.offset, f"the rule is for no kind that has a {term.root.value!r}")
        if isinstance(term, ObjectValue) and not _reachable(term.path):
            raise ConditionError(
                first.offset,
                f"a path has at most {MAX_KEYS} keys, each of 1 to {MAX_KEY_CHARACTERS} printable ASCII characters "
                "without quotes and backslashes, and not of digits alone",
            )
        return term


def _listing(arguments: list[Placed], offset: int) -> Listing:
    items = tuple(
        argument.term
        for argument in arguments
        if isinstance(argument.term, UserName)
        or (isinstance(argument.term, Literal) and isinstance(argument.term.value, str))
    )
    if not arguments or len(items) < len(arguments):
        raise ConditionError(offset, "set takes texts, at least one")
    return Listing(items)


def _known(path: tuple[str, ...]) -> Term | None:
    match path:
        case ("user", "metadata", "name"):
            return UserName()
        case ("user", "spec", "roles"):
            return UserRoles()
        case ("user", "spec", "traits", name):
            return UserTrait(name)
        case ("resource", "metadata", "name") | ("resource", "metadata", "labels", _):
            return ObjectValue(Root.RESOURCE, path[1:])
        case ("event" | "session" as root, _, *_):
            return ObjectValue(Root(root), path[1:])
    return None


def _reachable(path: tuple[str, ...]) -> bool:
    return len(path) <= MAX_KEYS and all(len(key) <= MAX_KEY_CHARACTERS and _KEY.fullmatch(key) for key in path)

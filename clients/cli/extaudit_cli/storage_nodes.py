"""Reading a YAML or JSON document field by field, with the place of everything that is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from rbac.errors import Refusal
from rbac.safe_yaml import Field, ListNode, MapNode, Node, ScalarNode, read_documents

_WHOLE: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
MAX_DEPTH: Final = 32


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong; line and column count from 1 and are 0 where they aren't known."""

    text: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = ":".join(str(number) for number in (self.line, self.column) if number)
        return f"{place}: {self.text}" if place else self.text


def parse_document(data: bytes, problems: list[Problem]) -> Node | None:
    """The one document of a file; None where it can't be read, which `problems` then tells."""
    try:
        documents = _json(data) if data.lstrip()[:1] == b"{" else read_documents(data)
    except Refusal as refusal:
        problems.append(Problem(refusal.reason, refusal.line, refusal.column))
        return None
    if len(documents) != 1:
        problems.append(Problem("must have exactly one document"))
        return None
    return documents[0]


class Reader:
    """Reads one map; what is wrong is added to `problems`, and what can't be read is '' or 0."""

    def __init__(self, node: Node | None, path: str, problems: list[Problem]) -> None:
        self._fields = node.fields if isinstance(node, MapNode) else {}
        self._readable = isinstance(node, MapNode)
        self._path = path
        self._problems = problems
        if node is not None and not self._readable:
            self._wrong(f"{path.removesuffix('.') or 'the document'} must be a map", node)

    def has(self, name: str) -> bool:
        """Whether there is such a field."""
        return name in self._fields

    def only(self, names: Sequence[str]) -> None:
        """Refuse all fields but these."""
        for name, field in self._fields.items():
            if name not in names:
                self._wrong(f"there is no field {self._path}{name[:64]}", field)

    def absent(self, name: str, text: str) -> None:
        """Refuse a field that says something."""
        field = self._fields.get(name)
        if field is not None and not _is_empty(field.value):
            self._wrong(f"{self._path}{name} {text}", field)

    def text(self, name: str, *, needed: bool = False) -> str:
        """A text; '' where there is none."""
        field = self._fields.get(name)
        if field is None or _is_empty(field.value):
            if needed and self._readable:
                self._problems.append(Problem(f"{self._path}{name} must be given"))
            return ""
        value = field.value
        if not isinstance(value, ScalarNode) or not value.is_text:
            self._wrong(f"{self._path}{name} must be a text; put it in quotes", value)
            return ""
        return value.text

    def exactly(
        self, name: str, allowed: Sequence[str], text: str = "", *, needed: bool = False, folded: bool = False
    ) -> str:
        """A text that is one of these; `folded` whatever its case."""
        value = self.text(name, needed=needed)
        value = value.lower() if folded else value
        if value and value not in allowed:
            words = text or f"must be {' or '.join(filter(None, allowed))}"
            self._wrong(f"{self._path}{name} {words}", self._fields[name])
            return ""
        return value

    def number(self, name: str) -> int:
        """A whole number; 0 where there is none."""
        field = self._fields.get(name)
        if field is None or _is_empty(field.value):
            return 0
        value = field.value
        if not isinstance(value, ScalarNode) or value.is_text or not _WHOLE.fullmatch(value.text):
            self._wrong(f"{self._path}{name} must be a whole number", value)
            return 0
        return int(value.text)

    def map(self, name: str, *, needed: bool = False) -> Reader:
        """A map; an empty one where there is none."""
        field = self._fields.get(name)
        if field is None or _is_null(field.value):
            if needed and self._readable:
                self._problems.append(Problem(f"{self._path}{name} must be given"))
            return Reader(None, f"{self._path}{name}.", self._problems)
        return Reader(field.value, f"{self._path}{name}.", self._problems)

    def _wrong(self, text: str, place: Node | Field) -> None:
        self._problems.append(Problem(text, place.line, place.column))


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.is_null


def _is_empty(node: Node) -> bool:
    """Whether a field says nothing: null, '' or a map or list of nothing."""
    if isinstance(node, MapNode):
        return not node.fields
    if isinstance(node, ListNode):
        return not node.items
    return node.is_null or not node.text


def _json(data: bytes) -> tuple[Node, ...]:
    """JSON as nodes without places: what is JSON needn't be YAML."""
    try:
        # A number may have more digits than can be worked with, so none is made of them.
        return (_node(json.loads(data, object_pairs_hook=_pairs, parse_int=_Number, parse_float=_Number)),)
    except json.JSONDecodeError as error:
        raise Refusal(error.lineno, "is not valid JSON", error.colno) from None
    except UnicodeDecodeError:
        raise Refusal(0, "is not UTF-8") from None
    except RecursionError:
        raise Refusal(0, f"is nested deeper than {MAX_DEPTH} levels") from None


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Refusal(0, f"has the key {name[:64]!r} twice in one map")
        found[name] = value
    return found


def _node(value: Any, depth: int = 0) -> Node:
    if depth > MAX_DEPTH:
        raise Refusal(0, f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        fields = {name: Field(0, 0, _node(each, depth + 1)) for name, each in value.items()}
        return MapNode(0, 0, MappingProxyType(fields))
    if isinstance(value, list):
        return ListNode(0, 0, tuple(_node(each, depth + 1) for each in value))
    if value is None:
        return ScalarNode(0, 0, "null", is_text=False, is_null=True)
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise Refusal(0, "has half of a character: a surrogate that is alone")
        return ScalarNode(0, 0, str(value), is_text=not isinstance(value, _Number), is_null=False)
    return ScalarNode(0, 0, json.dumps(value), is_text=False, is_null=False)

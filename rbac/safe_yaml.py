"""YAML reduced to text, lists and maps that know their places: no alias, no tag, no duplicate key, bounded depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import yaml
from yaml.resolver import Resolver

from rbac.errors import Refusal

MAX_DOCUMENTS: Final = 1_000
MAX_DEPTH: Final = 32
"""Maps and lists inside one another. A real role is about eight deep."""

_TEXT: Final = "tag:yaml.org,2002:str"
_NULL: Final = "tag:yaml.org,2002:null"
_MERGE: Final = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """A scalar as written. `is_text` is false for what YAML 1.1 takes as null, boolean, number or date."""

    line: int
    column: int
    text: str
    is_text: bool
    is_null: bool
    text_column: int = 0
    """Where the text begins in its line, from 1; 0 where the file doesn't hold it in one line just as it is."""
    is_block: bool = False
    """Whether the text is that of the lines below `line`, line for line."""


@dataclass(frozen=True, slots=True)
class ListNode:
    """A sequence."""

    line: int
    column: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of a map: the place of its key, and its value."""

    line: int
    column: int
    value: Node


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping from keys, as written, to fields."""

    line: int
    column: int
    fields: Mapping[str, Field]


Node = ScalarNode | ListNode | MapNode


def read_documents(data: bytes) -> tuple[Node, ...]:
    """Read the documents of one file; empty ones are left out.

    Raises:
        Refusal: it isn't UTF-8 or YAML, or holds something that isn't allowed here.
    """
    return tuple(documents_in(data))


def documents_in(data: bytes) -> Iterator[Node]:
    """Read one document after the other, up to the first that can't be read; see `read_documents`."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(_line_at(data, error.start), "is not UTF-8") from None
    try:
        yield from (node for node in _Documents(data) if not (isinstance(node, ScalarNode) and node.is_null))
    except yaml.reader.ReaderError as error:
        raise Refusal(_line_at(data, error.position), "has a character that YAML doesn't allow") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise Refusal(line, "is not valid YAML", column) from None
    except yaml.YAMLError:
        raise Refusal(0, "is not valid YAML") from None


def _line_at(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


class _Documents:
    """Builds nodes from the parser's events, which come lazily: a bound stops the parser too."""

    def __init__(self, data: bytes) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(data, Loader=yaml.CSafeLoader)
        self._resolver = Resolver()

    def __iter__(self) -> Iterator[Node]:
        count = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                count += 1
                if count > MAX_DOCUMENTS:
                    raise _refusal(event, f"has more than {MAX_DOCUMENTS} documents")
                yield self._node(next(self._events), depth=0)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        _refuse_references_and_tags(event)
        if isinstance(event, yaml.ScalarEvent):
            tag = self._tag(event)
            return ScalarNode(
                *_place(event), event.value, tag == _TEXT, tag == _NULL, _text_column(event), event.style == "|"
            )
        if depth == MAX_DEPTH:
            raise _refusal(event, f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(event, depth + 1)
        return self._map(event, depth + 1)

    def _list(self, start: yaml.Event, depth: int) -> ListNode:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth))
        return ListNode(*_place(start), tuple(items))

    def _map(self, start: yaml.Event, depth: int) -> MapNode:
        fields: dict[str, Field] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            if key in fields:
                raise _refusal(event, f"has the key {key[:64]!r} twice in one map")
            fields[key] = Field(*_place(event), self._node(next(self._events), depth))
        return MapNode(*_place(start), MappingProxyType(fields))

    def _key(self, event: yaml.Event) -> str:
        _refuse_references_and_tags(event)
        if not isinstance(event, yaml.ScalarEvent):
            raise _refusal(event, "has a key that isn't plain text")
        if self._tag(event) == _MERGE:
            raise _refusal(event, "has a merge key")
        return event.value

    def _tag(self, event: yaml.ScalarEvent) -> str:
        return str(self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit))  # type: ignore[no-untyped-call]


def _place(event: yaml.Event) -> tuple[int, int]:
    """Line and column that an event starts at, from 1."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _refusal(event: yaml.Event, reason: str) -> Refusal:
    line, column = _place(event)
    return Refusal(line, reason, column)


def _text_column(scalar: yaml.ScalarEvent) -> int:
    start, end = scalar.start_mark, scalar.end_mark
    quotes = 1 if scalar.style in ("'", '"') else 0
    if scalar.style in ("|", ">") or start is None or end is None or start.line != end.line:
        return 0
    # Of another length the text has escapes, or quotes given twice.
    return start.column + 1 + quotes if end.column - start.column == len(scalar.value) + 2 * quotes else 0


def _refuse_references_and_tags(event: yaml.Event) -> None:
    if isinstance(event, yaml.AliasEvent):
        raise _refusal(event, "has an alias")
    if getattr(event, "anchor", None) is not None:
        raise _refusal(event, "has an anchor")
    if getattr(event, "tag", None) is not None:
        raise _refusal(event, "has an explicit tag")

"""Writes blocks as HCL 2, laid out as `terraform fmt` does, in ASCII: no value can end its string or be computed."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from extaudit_cli.terraform.syntax import Block, Json, Reference, Value, is_name

_WIDTH: Final = 100
_INDENT: Final = "  "
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# `$` and `%` begin what Terraform computes where a brace follows. People know them doubled; where that isn't as plain
# as `$${name}`, parsers differ in how they read it, so they are written as numbers.
_SPECIAL: Final = re.compile(r'(?<![$%])(?P<plain>[$%])(?=\{[A-Za-z0-9_.]+\})|[$%](?=\{)|["\\]|[^ -~]')


def terraform_text(blocks: Sequence[Block], comment: str = "") -> str:
    """The text of a file; the same blocks always give the same text. `comment` stands at its head.

    Raises:
        ValueError: a string isn't Unicode: it has a lone surrogate.
    """
    parts = [_block_lines(block) for block in blocks]
    if comment:
        parts.insert(0, _comment_lines(comment))
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def quoted(text: str) -> str:
    """A string as a literal that has exactly this value.

    Raises:
        ValueError: it has a lone surrogate, which no string of Terraform has.
    """
    return '"' + _SPECIAL.sub(_escaped, text) + '"'


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if match["plain"]:
        return character * 2
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise ValueError("a string with a lone surrogate can't be written")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _block_lines(block: Block) -> list[str]:
    opening = " ".join([block.type, *map(quoted, block.labels), "{"])
    parts = [_attribute_lines(block.attributes)] if block.attributes else []
    parts += [_block_lines(inner) for inner in block.blocks]
    comment = _comment_lines(block.comment) if block.comment else []
    if not parts:
        return [*comment, opening + "}"]
    body = parts[0]
    for part in parts[1:]:
        body = [*body, "", *part]
    return [*comment, opening, *_indented(body), "}"]


def _comment_lines(comment: str) -> list[str]:
    """Lines of `# …`; the text's own ends of lines stay, and each character is shown as a string would have it."""
    lines = []
    for line in comment.split("\n"):
        plain = re.sub(r"[^ -~]", lambda match: match[0].encode("unicode_escape").decode(), line)
        lines += textwrap.wrap(plain, _WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"# {line}".rstrip() for line in lines]


def _attribute_lines(attributes: Mapping[str, Value]) -> list[str]:
    return _assigned([(name, _value_lines(value)) for name, value in attributes.items()])


def _value_lines(value: Value) -> list[str]:
    """The lines of an expression, the first without what is assigned to it."""
    match value:
        case bool():
            return ["true" if value else "false"]
        case str():
            return [quoted(value)]
        case int():
            return [str(value)]
        case Reference():
            return [value.path]
        case Json():
            inner = _value_lines(value.value)
            inner[0] = "jsonencode(" + inner[0]
            inner[-1] += ")"
            return inner
        case Mapping():
            entries = [(_key(name), _value_lines(item)) for name, item in value.items()]
            return _bracketed("{", _assigned(entries), "}")
        case _:
            return _list_lines([_value_lines(item) for item in value])


def _key(name: str) -> str:
    # `{ for …` begins an expression that computes a map.
    return name if is_name(name) and name != "for" else quoted(name)


def _list_lines(items: list[list[str]]) -> list[str]:
    if len(items) == 1 and len(items[0]) == 1:
        return [f"[{items[0][0]}]"]
    return _bracketed("[", [line for item in items for line in [*item[:-1], item[-1] + ","]], "]")


def _bracketed(opening: str, lines: list[str], closing: str) -> list[str]:
    return [opening, *_indented(lines), closing] if lines else [opening + closing]


def _assigned(items: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Lines of `name = expression`; the signs of neighbours that take one line each stand below each other."""
    lines: list[str] = []
    for alone, group in groupby(items, key=lambda item: len(item[1]) > 1):
        members = list(group)
        columns = 0 if alone else max(len(name) for name, _ in members)
        for name, expression in members:
            lines += [f"{name:{columns}} = {expression[0]}", *expression[1:]]
    return lines


def _indented(lines: list[str]) -> list[str]:
    return [_INDENT + line if line else "" for line in lines]

"""Reads files for Terraform back, with a parser of others: what a test wants is the values, not the text."""

from __future__ import annotations

import re
from typing import Any

import hcl2
from extaudit_cli.terraform.syntax import Json, Reference

_PIECE = re.compile(r'\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\([nrt"\\])|\$(\$)(?=\{)|%(%)(?=\{)|([^"\\])', re.DOTALL)
_MARKS = ("__is_block__", "__comments__", "__inline_comments__")
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}


def read(text: str) -> dict[str, Any]:
    """The blocks by type, then by each label, then what is in them; blocks of one place are in a list.

    Strings have the value that Terraform gives them. A reference is a Reference, `jsonencode(…)` a Json.
    """
    found: dict[str, Any] = _value(hcl2.loads(text))
    return found


def literal(text: str) -> str:
    """The value of a string as it stands in a file, quotes included; fails where anything would be computed."""
    assert text[0] == text[-1] == '"'
    value, at, inner = [], 0, text[1:-1]
    while at < len(inner):
        assert not inner.startswith(("${", "%{"), at), f"computed: {text}"
        piece = _PIECE.match(inner, at)
        assert piece is not None, f"no literal: {text}"
        assert piece[6] != "\n", f"ends within: {text}"
        code = piece[1] or piece[2]
        value.append(chr(int(code, 16)) if code else _CONTROLS.get(piece[3], piece[3]) if piece[3] else piece[0][:1])
        at = piece.end()
    return "".join(value)


def _plain(name: str) -> str:
    return literal(name) if name.startswith('"') else name


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(name): _value(item) for name, item in value.items() if name not in _MARKS}
    if isinstance(value, list):
        return [_value(item) for item in value]
    if not isinstance(value, str):
        return value
    if value.startswith('"'):
        return literal(value)
    expression = value[2:-1] if value.startswith("${") else value
    if re.fullmatch("-[0-9]+", expression):
        return int(expression)
    if expression.startswith("jsonencode("):
        return Json(_value(hcl2.loads(f"x = {expression[len('jsonencode(') : -1]}\n")["x"]))
    return Reference(expression)

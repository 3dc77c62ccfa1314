"""Values of a plan, as people read them: on one line where that can be, else as JSON."""

from __future__ import annotations

import json
from difflib import ndiff
from typing import Final

from extaudit_cli.bootstrap.rows import Value

_LONGEST: Final = 100
"""Characters of what still stands on the line of its name."""


def is_long(value: Value) -> bool:
    """Whether it needs lines of its own."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return any(isinstance(part, dict | list) for part in parts) or len(short(value)) > _LONGEST
    return False


def short(value: Value) -> str:
    """A value on one line."""
    if value is None or value in ([], {}):
        return "nothing"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return ", ".join(f"{name} {short(part)}" for name, part in value.items())
    return ", ".join(short(part) for part in value) if isinstance(value, list) else str(value)


def planned_lines(value: Value) -> list[str]:
    """A long value, line by line."""
    return [f"+ {line}" for line in _lines(value)]


def differing(found: Value, planned: Value) -> list[str]:
    """Two values line by line, without the lines of `ndiff` that only point at letters."""
    return [line.rstrip() for line in ndiff(_lines(found), _lines(planned)) if not line.startswith("?")]


def _lines(value: Value) -> list[str]:
    if value is None or value in ([], {}):
        return []
    return json.dumps(value, indent=2, sort_keys=True).splitlines()

"""Answers, compared with what was sent: byte for byte, each once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.demo.story import Otherwise


def compare(given: bytes, expected: Iterable[bytes], what: str) -> None:
    """Lines of JSON must be those that were sent, each once and no other."""
    if more := beside(given, expected, what):
        raise Otherwise(f"{what} has what wasn't sent: {more[0].decode()}")


def beside(given: bytes, expected: Iterable[bytes], what: str) -> list[bytes]:
    """The lines that weren't sent. Those that were must be there, byte for byte, each once; what came without time or
    uid has it before its closing brace now."""
    left = given.splitlines()
    for line in sorted(expected, key=len, reverse=True):
        fitting = [each for each in left if each == line or each.startswith(line[:-1] + b",")]
        if not fitting:
            raise Otherwise(f"{what} lacks {line.decode()}")
        left.remove(fitting[0])
    return left


def same(expected: dict[str, Any], given: dict[str, Any], what: str) -> None:
    """Each of these members must be so."""
    for name, value in expected.items():
        if given.get(name) != value:
            raise Otherwise(f"of {what}, {name} is {given.get(name)!r}, and not {value!r}")

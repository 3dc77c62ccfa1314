"""Parsing of event JSON, stricter than the standard where two readers could see two different events."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

MAX_DEPTH = 64
MAX_NUMBER_LENGTH = 400


class NotStrict(ValueError):
    """The document isn't acceptable JSON; the text says why."""


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`.

    A document whose compact re-serialisation is byte-identical has no duplicate key, no odd number and no odd escape;
    only the others need the exact and slower parser.

    Raises:
        NotStrict: it isn't one JSON object in valid UTF-8, has duplicate keys, NaN or infinities, lone surrogates,
            a number of over 400 characters, or more than 64 levels.
    """
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise NotStrict(_reason(str(error))) from None
    if type(parsed) is not dict:
        raise NotStrict("must be a JSON object")
    # With few opening brackets there is no need to walk the document; split finds them faster than count does.
    brackets = len(raw.split(b"{", MAX_DEPTH)) + len(raw.split(b"[", MAX_DEPTH)) - 2
    if brackets >= MAX_DEPTH and _depth(parsed) > MAX_DEPTH:
        raise NotStrict(f"is more than {MAX_DEPTH} levels deep")
    if orjson.dumps(parsed) != raw:
        _parse_exactly(raw)
    return parsed


_REASONS = (
    ("UTF-8", "is not valid UTF-8 without a byte order mark"),
    ("surrogate", "has a lone surrogate"),
    ("infinity", "has a number beyond the range of a double"),
    ("depth limit", f"is more than {MAX_DEPTH} levels deep"),
)


def _reason(library_text: str) -> str:
    """Our own words for the parser's complaint: its text may quote the document."""
    return next((ours for theirs, ours in _REASONS if theirs in library_text), "is not valid JSON")


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion."""
    deepest = 0
    pending = [(value, 1)]
    while pending:
        item, level = pending.pop()
        if isinstance(item, dict):
            pending.extend((child, level + 1) for child in item.values())
        elif isinstance(item, list):
            pending.extend((child, level + 1) for child in item)
        else:
            continue
        deepest = max(deepest, level)
    return deepest


def _parse_exactly(raw: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise NotStrict("has duplicate keys")
        return members

    def number(text: str) -> int:
        if len(text) > MAX_NUMBER_LENGTH:
            raise NotStrict(f"has a number of over {MAX_NUMBER_LENGTH} characters")
        return 0

    def constant(_: str) -> NoReturn:
        raise NotStrict("has NaN or an infinity")

    try:
        text = raw.decode("utf-8")
        json.loads(text, object_pairs_hook=unique, parse_int=number, parse_float=number, parse_constant=constant)
    except NotStrict:
        raise
    except ValueError:
        raise NotStrict("is not valid JSON") from None

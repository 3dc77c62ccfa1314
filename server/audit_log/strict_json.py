"""Parsing of event JSON, stricter than the standard where two readers could see two different events."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import numpy as np
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
    # With few opening brackets no depth need be measured; split finds them faster than count does.
    brackets = len(raw.split(b"{", MAX_DEPTH)) + len(raw.split(b"[", MAX_DEPTH)) - 2
    if brackets >= MAX_DEPTH and _is_deeper(raw, MAX_DEPTH):
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


_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"{}[]", b"\x01\xff\x01\xff")
"""What each bracket does to the depth, as a signed byte."""


def _is_deeper(raw: bytes, most: int) -> bool:
    """Whether a valid document has more than `most` levels. It may be megabytes of brackets, so all is done in C."""
    steps = np.frombuffer(_STRING.sub(b"", raw).translate(_STEPS, _NOT_BRACKETS), np.int8)
    return int(np.cumsum(steps, dtype=np.int64).max(initial=0)) > most


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

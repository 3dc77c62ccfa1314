"""The forms in which a text that people search for may stand in JSON."""

from __future__ import annotations

import json

import orjson

# Go's encoder writes these as \u escapes even where it keeps other characters as they are.
_GO_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def needle_forms(text: str) -> tuple[str, ...]:
    """Every form of `text` to look for, without repeats and with A-Z as a-z, which is how haystacks are to be folded.

    The forms are the text itself, the text as a JSON string holds it with other than ASCII characters kept and as
    `\\u` escapes, and each of these as Go writes it.
    """
    kept = orjson.dumps(text).decode()[1:-1]
    forms = [text, kept, json.dumps(text)[1:-1]]
    every = [*forms, *(form.translate(_GO_ESCAPES) for form in forms)]
    return tuple(dict.fromkeys(fold(form) for form in every))


def fold(text: str) -> str:
    """A-Z as a-z, and nothing else, unlike `str.lower`."""
    return text.encode().lower().decode()

"""Text for a terminal: nothing in it can move the cursor, change direction or hide."""

from __future__ import annotations

import unicodedata

# Controls, format characters (all bidi and zero-width ones among them), line and paragraph separators, lone surrogates.
_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})


def visible(text: str) -> str:
    """Write characters that a terminal wouldn't show as they are as `\\x1b`, `\\u202e` or `\\U000e0001`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def json_visible(text: str) -> str:
    """Write them as JSON escapes; the JSON stays the same. Of its own white space only carriage returns, by which a
    terminal would write over what it shows, become spaces."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r", " ")
    return "".join(_json_escape(c) if c not in "\t\n" and unicodedata.category(c) in _HIDDEN else c for c in text)


def width(text: str) -> int:
    """Columns that visible text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def fit(text: str, columns: int) -> str:
    """Cut or pad visible text to exactly so many columns; of a long one no more is looked at than is shown."""
    used = kept = 0
    for index, character in enumerate(text):
        used += width(character)
        if used > columns:
            text = text[:kept] + "…"
            used = width(text)
            break
        kept = index + 1 if used < columns else kept
    return text + " " * (columns - used)


def count_text(count: int, one: str, more: str = "") -> str:
    """Say how many: `1 file`, `2 files`; `more` is the plural where it isn't made with an s."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))

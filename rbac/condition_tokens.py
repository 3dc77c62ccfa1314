"""The words of a condition, each with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_CHARACTERS: Final = 4096

_WORD: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<number>-?[0-9]{1,18}(?![A-Za-z0-9_.]))
      | (?P<string>"(?:[^"\\\x00-\x1f]|\\["'\\])*" | '(?:[^'\\\x00-\x1f]|\\["'\\])*' | `[^`\x00-\x1f]*`)
      | (?P<sign>&&|\|\||==|!=|[!().,\[\]])""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(.)")


class ConditionError(Exception):
    """A condition can't be used. `offset` counts characters of its text from 0; `reason` is in our own words."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Token:
    """One word. `kind` is name, number, string, sign or end; `text` of a string is what it stands for."""

    kind: str
    text: str
    offset: int


def tokens_of(text: str) -> list[Token]:
    """The words of a condition, and an end.

    Raises:
        ConditionError: it is too long, or something in it is no word.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConditionError(MAX_CHARACTERS, f"the condition has more than {MAX_CHARACTERS} characters")
    found, offset = [], 0
    while offset < len(text):
        match = _WORD.match(text, offset)
        if match is None:
            raise ConditionError(offset, _complaint(text[offset]))
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(Token(kind, _meaning(kind, match[0]), offset))
        offset = match.end()
    return [*found, Token("end", "", offset)]


def _meaning(kind: str, text: str) -> str:
    if kind != "string":
        return text
    return text[1:-1] if text[0] == "`" else _ESCAPE.sub(r"\1", text[1:-1])


def _complaint(character: str) -> str:
    if character in "\"'`":
        return "the text isn't closed, or has an escape other than of a quote or backslash"
    if character.isascii() and (character.isdigit() or character == "-"):
        return "the number isn't a whole number of at most 18 digits"
    return f"the character {character!r} has no meaning here"

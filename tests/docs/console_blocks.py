"""The blocks of a page; of console blocks the commands and what they print, and directives to what runs them.

In a block ```` ```console ````, a line that begins with `$ ` is a command (one that ends in a backslash goes on in the
next line, one with `<<'END'` up to a line END); the lines below it are what it prints. `…` stands for any text in a
line, and alone for any lines. Without any lines only its success counts. `<!-- test: WORDS -->` between blocks is a
directive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

ANY = "…"
_FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_PARTS = re.compile(r"^```console\n(?P<block>.*?)^```$|^<!-- test: (?P<directive>[^\n]*?) -->$", re.M | re.S)


@dataclass(frozen=True)
class Command:
    """A command and what it must print."""

    line: int
    """Of the page."""
    text: str
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Directive:
    """Words to what runs the page."""

    line: int
    words: tuple[str, ...]


def shown(page: str, *languages: str) -> list[str]:
    """What is in a page's blocks of these languages, '' for none; nothing of it is run by itself."""
    return [found["text"] for found in _FENCED.finditer(page) if found["language"] in languages]


def steps(page: str) -> Iterator[Command | Directive]:
    """The commands and directives of a page, in order. ValueError for a block that begins with no command."""
    for found in _PARTS.finditer(page):
        line = page.count("\n", 0, found.start()) + 1
        if found["directive"] is not None:
            yield Directive(line, tuple(found["directive"].split()))
        else:
            yield from _commands(found["block"], line + 1)


def _commands(block: str, line: int) -> Iterator[Command]:
    lines = block.splitlines()
    if not lines or not lines[0].startswith("$ "):
        raise ValueError(f"line {line}: a console block begins with a command")
    starts = [index for index, text in enumerate(lines) if text.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        last = _last_line(lines, start)
        command = "\n".join([lines[start][2:], *lines[start + 1 : last + 1]])
        expected = tuple(text.rstrip() for text in lines[last + 1 : end])
        yield Command(line + start, command, expected)


def _last_line(lines: list[str], start: int) -> int:
    """The last line of the command that begins at `start`."""
    if here := re.search(r"<<'(\w+)'", lines[start]):
        return lines.index(here[1], start)
    while lines[start].endswith("\\"):
        start += 1
    return start


def differs(expected: tuple[str, ...], printed: str) -> str:
    """'' if a command printed what it must, else what differs."""
    if not expected or re.fullmatch("".join(map(_pattern, expected)), _trimmed(printed)):
        return ""
    return "\n".join(["expected:", *expected, "printed:", printed])


def _trimmed(printed: str) -> str:
    return "".join(f"{_narrow(line)}\n" for line in printed.splitlines())


def _narrow(line: str) -> str:
    """Columns of tables are as wide as what is in them, which differs."""
    return re.sub(r"(?<=\S) {2,}", "  ", line.rstrip())


def _pattern(line: str) -> str:
    if line == ANY:
        return r"(?:.*\n)*?"
    return ".*?".join(map(re.escape, _narrow(line).split(ANY))) + r"\n"

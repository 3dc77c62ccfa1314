"""All commands there are, for the reference page and for tests that hold something of every one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import click

from extaudit_cli.main import PROGRAM
from extaudit_cli.main import command as top

_EXAMPLES: Final = "Examples:"


@dataclass(frozen=True, slots=True)
class Node:
    """A command or group with its context; `path` is how it is called, such as `extaudit events search`."""

    path: str
    command: click.Command
    context: click.Context

    @property
    def is_group(self) -> bool:
        """Whether it has commands below it."""
        return isinstance(self.command, click.Group)

    @property
    def examples(self) -> tuple[str, ...]:
        """The lines of shell that its help shows as examples."""
        _, found, after = (self.command.epilog or "").partition(_EXAMPLES + "\n")
        block = after.split("\n\n")[0] if found else ""
        return tuple(line.strip() for line in block.splitlines() if line.strip())


def every_command() -> Iterator[Node]:
    """Give the top command and all below it, groups before what is in them."""
    yield from _below(top, None, PROGRAM)


def calls_in(line: str) -> list[list[str]]:
    """The arguments of each call of this program in a line of shell."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    calls: list[list[str]] = []
    at_start, inside = True, False
    for word in words:
        if set(word) <= set("();<>|&"):
            at_start, inside = True, False
            continue
        if at_start and word == PROGRAM:
            calls.append([])
            inside = True
        elif inside:
            calls[-1].append(word)
        at_start = False
    return calls


def _below(command: click.Command, parent: click.Context | None, name: str) -> Iterator[Node]:
    context = click.Context(command, info_name=name, parent=parent)
    node = Node(context.command_path, command, context)
    yield node
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found is not None:
                yield from _below(found, context, each)

"""Commands and groups of this program: options in groups, near misses named, imports only of what is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Table = Mapping[str, tuple[str, str]]
"""Name → (module that holds the command as `command`, one line of help)."""


class ConnectionOption(click.Option):
    """An option that says where the service is and who calls; shown apart from a command's own."""


class MayBeEmpty(click.Option):
    """An option whose empty value means the same as none and asks for no more, so that a script may always give it."""


class Command(click.Command):
    """A command whose help shows its own options first, then those of the connection.

    The value of no option is empty but where it may be.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments, or fail as wrong usage.

        With a variable that isn't set a script gives an empty value, which must not mean the same as no option:
        `--session "$SID"` would be everybody's sessions.
        """
        if not ctx.resilient_parsing:
            given, _, _ = self.make_parser(ctx).parse_args(list(args))
            for option in self.get_params(ctx):
                never_empty = isinstance(option, click.Option) and not isinstance(option, MayBeEmpty)
                value = given.get(option.name or "") if never_empty else None
                if value == "" or (isinstance(value, (list, tuple)) and "" in value):
                    flag = max(option.opts, key=len)
                    raise click.UsageError(f"the value of {flag} is empty: give one, or leave {flag} out", ctx)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in their groups."""
        for title, options in option_groups(self, ctx):
            records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def option_groups(command: click.Command, ctx: click.Context) -> list[tuple[str, list[click.Parameter]]]:
    """The options of a command under the titles that its help has."""
    options = [each for each in command.get_params(ctx) if isinstance(each, click.Option)]
    connection = [each for each in options if isinstance(each, ConnectionOption)]
    others = [each for each in options if each not in connection]
    return [("Options", [*others]), ("Connection", [*connection])]


class Group(click.Group):
    """A group that names the command that was probably meant."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or fail as wrong usage."""
        name = args[0]
        if ctx.resilient_parsing or self.get_command(ctx, name) is not None or name.startswith("-"):
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        near = get_close_matches(name, self.list_commands(ctx), n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise click.UsageError(f"there is no command {name!r}{meant}", ctx)


class LazyGroup(Group):
    """A group made from a table, whose commands are imported only when they are called, so that help stays fast."""

    def __init__(self, *args: Any, table: Table, **options: Any) -> None:
        super().__init__(*args, **options)
        self._table: Final = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the table's order."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when there is no such name."""
        if cmd_name not in self._table:
            return None
        found: click.Command = import_module(self._table[cmd_name][0]).command
        return found

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Give the names and this group's options, importing no command."""
        from click.shell_completion import CompletionItem

        table = self._table.items()
        names = [CompletionItem(name, help=text) for name, (_, text) in table if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' help from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])

"""The command `extaudit serve`; its flags are made from the server's own table of settings."""

from __future__ import annotations

from typing import Any, Final

import click

from extaudit_cli.commands import Command
from extaudit_cli.output import output_option
from extaudit_cli.serve_check import check_start, print_configuration

_METAVARS: Final = {str: "TEXT", int: "INTEGER", float: "FLOAT"}


class _Serve(Command):
    _has_flags = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Give the flags; the server's modules are imported only here."""
        if not self._has_flags:
            self._has_flags = True
            self.params += _flags()
        return super().get_params(ctx)


def _flags() -> list[click.Parameter]:
    from server.config import options

    return [
        click.Option(
            [option.name, option.key],
            type=str,  # read with all other sources, so that what is wrong is told with what is wrong there
            metavar=_METAVARS[option.type],
            default=None,  # a flag that isn't given must leave the weaker sources alone
            multiple=option.multiple,
            help=f"{option.help} [default: {option.default}]",
        )
        for option in options()
    ]


@click.command(
    cls=_Serve,
    epilog="""\b
Examples:
  extaudit serve --data-dir data
  extaudit serve --config extaudit.toml --grpc-listen 0.0.0.0:9443
  extaudit serve --config extaudit.toml --check && systemctl reload extaudit""",
)
@click.option("--check", is_flag=True, help="Look at all that a start would, touch nothing, and tell what is wrong.")
@click.option("--print-config", is_flag=True, help="Print every setting in effect and where its value came from.")
@output_option
def command(*, check: bool, print_config: bool, output: str, **flags: Any) -> int:
    """Run the service until it is told to stop.

    SIGHUP has the configuration read again. --check and --print-config serve nothing; their exit code is 2 where the
    configuration is wrong, and --output is the form of what they print.
    """
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if check:
        return check_start(given, output)
    if print_config:
        return print_configuration(given, output)
    from server import process

    process.set_up()  # before what is imported next begins threads
    from server.__main__ import serve

    return int(serve(given))

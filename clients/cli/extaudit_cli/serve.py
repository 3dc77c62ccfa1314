"""The command `extaudit serve`; its flags are made from the server's own table of settings."""

from __future__ import annotations

from typing import Any

import click


class _Serve(click.Command):
    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Give the flags; the server's modules are imported only here."""
        if not self.params:
            self.params = list(_flags())
        return super().get_params(ctx)


def _flags() -> list[click.Parameter]:
    from server.config import options

    return [
        click.Option(
            [option.name, option.key],
            type=option.type,
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
  extaudit serve --config extaudit.toml --grpc-listen 0.0.0.0:9443""",
)
def command(**flags: Any) -> int:
    """Run the service until it is told to stop."""
    from server.__main__ import serve

    return int(serve({name: value for name, value in flags.items() if value not in (None, ())}))

"""The group `extaudit integrations`."""

from __future__ import annotations

import click

from extaudit_cli.commands import LazyGroup

_COMMANDS = {
    "rotate-key": ("extaudit_cli.integration_rotate_key", "Have the next key sign the service's tokens."),
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    epilog="""\b
Examples:
  extaudit integrations rotate-key
  extaudit integrations rotate-key --now --reason 'a backup was stolen'""",
)
def command() -> None:
    """Integrations with AWS, and the keys by which AWS knows the service."""

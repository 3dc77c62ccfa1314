"""Showing an integration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.integration_output import record, show
from extaudit_cli.output import output_option, write_json

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit integrations get production
  extaudit integrations get production --output json""",
)
@click.argument("name")
@output_option
@connected
def command(client: Client, output: str, name: str) -> None:
    """Show an integration, and what AWS has to trust."""
    integration = client.integrations.get(name)
    if output == "table":
        show(integration)
    else:
        write_json(record(integration), indent=2 if output == "json" else None)

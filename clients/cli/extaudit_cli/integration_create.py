"""Creating an integration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.integration_output import ROLE_HELP, tell
from extaudit_cli.output import output_option

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit integrations create production --role-arn arn:aws:iam::111122223333:role/extaudit""",
)
@click.argument("name")
@click.option("--role-arn", required=True, metavar="ARN", help=ROLE_HELP)
@output_option
@connected
def command(client: Client, output: str, name: str, role_arn: str) -> None:
    """Create an integration. The role need not be there yet."""
    integration = client.integrations.create(name, role_arn)
    tell(integration, output, f"integration {name} is created")

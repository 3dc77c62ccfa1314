"""Giving an integration another role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command, MayBeEmpty
from extaudit_cli.connecting import connected
from extaudit_cli.integration_output import ROLE_HELP, tell
from extaudit_cli.output import output_option

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit integrations update production --role-arn arn:aws:iam::111122223333:role/new
  extaudit integrations update production --role-arn arn:aws:iam::111122223333:role/new --revision REVISION
  extaudit integrations update production --role-arn arn:aws:iam::111122223333:role/b --force --reason 'a is gone'""",
)
@click.argument("name")
@click.option("--role-arn", required=True, metavar="ARN", help=ROLE_HELP)
@click.option("--revision", help="Only if it is still of this revision. [default: the one that it has now]")
@click.option("--force", is_flag=True, help="Though the storage in force uses it and no connection test passed.")
@click.option("--reason", cls=MayBeEmpty, default="", help="Why; must be given with --force.")
@output_option
@connected
def command(
    client: Client, output: str, name: str, role_arn: str, revision: str | None, force: bool, reason: str
) -> None:
    """Give an integration another role.

    While the storage in force uses it, a connection test must have passed with the new role within the last hour, and
    the role must be of the same account.
    """
    if force and not reason:
        raise click.UsageError("--force needs --reason")
    seen = revision or client.integrations.get(name).revision
    integration = client.integrations.update(name, role_arn, seen, force=force, reason=reason)
    tell(integration, output, f"integration {name} has the role {role_arn}")

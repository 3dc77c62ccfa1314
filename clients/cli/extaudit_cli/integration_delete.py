"""Deleting an integration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option, write_json
from extaudit_cli.text import visible

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit integrations delete production""",
)
@click.argument("name")
@click.option("--revision", default="", help="Only if it is still of this revision. [default: any]")
@output_option
@connected
def command(client: Client, output: str, name: str, revision: str) -> None:
    """Delete an integration that nothing needs. Nothing in AWS is touched.

    From then on its role isn't assumed, also not to read what is in former storages: searches say that it is missing
    until there is an integration of the same name, with a role of the same account.
    """
    client.integrations.delete(name, revision)
    if output == "table":
        click.echo(visible(f"integration {name} is deleted; nothing in AWS was touched"))
    else:
        write_json({"name": name, "deleted": True}, indent=2 if output == "json" else None)

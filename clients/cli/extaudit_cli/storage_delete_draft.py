"""The command `extaudit storage delete-draft`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option, write_json

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage delete-draft
  extaudit storage delete-draft --revision 0e6c1f6a-2f6f-4f3a-9a6a-6c1d7f5b8a01

Nothing in AWS is touched.""",
)
@click.option("--revision", default="", help="Only where it is of this one.")
@output_option
@connected
def command(client: Client, output: str, revision: str) -> None:
    """Delete the draft."""
    client.storages.delete_draft(revision)
    if output == "table":
        click.echo("the draft is deleted")
    else:
        write_json({"deleted": True}, indent=2 if output == "json" else None)

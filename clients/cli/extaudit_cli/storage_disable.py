"""The command `extaudit storage disable`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command, MayBeEmpty
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option, write_json
from extaudit_cli.storage_asking import confirm
from extaudit_cli.text import visible

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage disable
  extaudit storage disable --yes --reason 'the account closes'

Nothing in AWS is touched, and the draft stays as it is. The same place, promoted again, takes up where it was left.""",
)
@click.option("--yes", is_flag=True, help="Don't ask, also on a terminal.")
@click.option("--reason", cls=MayBeEmpty, default="", help="Why, for the audit log and the history.")
@output_option
@connected
def command(client: Client, output: str, yes: bool, reason: str) -> None:
    """Go back to the default storage: new events and recordings stay with the service."""
    cluster = client.storages.cluster()
    where = visible(f"{cluster.storage_id} in account {cluster.account_id}")
    confirm(f"have no more events and recordings go to {where}?", yes=yes)
    client.storages.disable(cluster.revision, reason)
    if output == "table":
        click.echo(f"new events and recordings go to the default storage, and no more to {where}")
    else:
        record = {"storage_id": "default", "disabled": cluster.storage_id}
        write_json(record, indent=2 if output == "json" else None)

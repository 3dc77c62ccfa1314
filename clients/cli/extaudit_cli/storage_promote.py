"""The command `extaudit storage promote`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command, MayBeEmpty
from extaudit_cli.connecting import connected
from extaudit_cli.event_json import jsonable
from extaudit_cli.output import output_option, write_json
from extaudit_cli.storage_asking import confirm
from extaudit_cli.storage_output import storage_facts
from extaudit_cli.table import table_lines
from extaudit_cli.text import visible

if TYPE_CHECKING:
    from extaudit_client import Client, ExternalAuditStorage


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage promote
  extaudit storage promote --yes --output json
  extaudit storage promote --force --reason 'the old account closes today'

A connection test of the draft must have passed within the last hour: `extaudit storage test`. --force does without;
it needs external_audit_storage:delete and is told in the audit log and the history.""",
)
@click.option("--yes", is_flag=True, help="Don't ask, also on a terminal.")
@click.option("--force", is_flag=True, help="Though no connection test passed; needs --reason.")
@click.option("--reason", cls=MayBeEmpty, default="", help="Why, for the audit log and the history.")
@output_option
@connected
def command(client: Client, output: str, yes: bool, force: bool, reason: str) -> None:
    """Have the draft come into force: new events and recordings go there."""
    if force and not reason.strip():
        raise click.UsageError("--force needs --reason")
    draft = client.storages.draft()
    lines = table_lines(("DRAFT", ""), [*storage_facts(draft), ("in place of", _in_force(client))])
    click.echo("\n".join(visible(line) for line in lines), err=True)
    if force:
        click.echo("FORCED: it comes into force though no connection test need have passed", err=True)
    confirm("have new events and recordings go there?", yes=yes)
    _print(client.storages.promote(draft.revision, force=force, reason=reason), output)


def _in_force(client: Client) -> str:
    from extaudit_client import NotFound

    try:
        return client.storages.cluster().storage_id
    except NotFound:
        return "default"


def _print(cluster: ExternalAuditStorage, output: str) -> None:
    if output == "table":
        click.echo(visible(f"new events and recordings go to {cluster.storage_id}"))
    else:
        write_json(jsonable(asdict(cluster)), indent=2 if output == "json" else None)

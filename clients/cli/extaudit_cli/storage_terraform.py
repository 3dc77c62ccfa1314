"""`extaudit storage terraform`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option, write_json
from extaudit_cli.storage_stage import stage_option

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage terraform > storage.tf
  extaudit storage terraform --stage cluster
  extaudit storage terraform --output json""",
)
@stage_option
@output_option
@connected
def command(client: Client, output: str, stage: str) -> None:
    """Print all that must be there in AWS as a file for Terraform or OpenTofu; with json, the plan that it is made of.

    That is buckets, table, workgroup, and the policy on the integration's role, which must be there already.
    """
    plan = client.storages.infrastructure(stage)
    if output != "table":
        write_json(asdict(plan), indent=2 if output == "json" else None)
        return
    from extaudit_cli.terraform.storage import storage_text

    try:
        click.echo(storage_text(plan), nl=False)
    except ValueError:
        raise click.ClickException("the service's answer has text that can't be written for Terraform") from None

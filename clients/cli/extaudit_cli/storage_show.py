"""The command `extaudit storage show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option
from extaudit_cli.storage_output import print_storage
from extaudit_cli.storage_stage import stage_option

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage show > draft.yaml
  extaudit storage show --stage cluster --output json
  extaudit storage show --stage cluster --as-draft > again.yaml

Prints YAML, or JSON with --output, that `extaudit storage apply` takes; what stands under `status` is given by the
service and read by nobody.""",
)
@stage_option
@click.option("--as-draft", is_flag=True, help="Without revision and status, to make a new draft of it.")
@output_option
@connected
def command(client: Client, output: str, stage: str, as_draft: bool) -> None:
    """Show the draft, or the storage in force, as a file."""
    storage = client.storages.draft() if stage == "draft" else client.storages.cluster()
    print_storage(storage, output, as_draft=as_draft)

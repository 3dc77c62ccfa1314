"""Listing integrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.integration_output import record
from extaudit_cli.output import output_option, print_table, write_json
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit integrations list
  extaudit integrations list --output jsonl""",
)
@output_option
@connected
def command(client: Client, output: str) -> None:
    """List the integrations by name."""
    integrations = list(client.integrations.list())
    if output == "json":
        write_json([record(integration) for integration in integrations])
    elif output == "jsonl":
        for integration in integrations:
            write_json(record(integration), indent=None)
    else:
        headers = ("NAME", "ROLE ARN", "CREATED BY", "CHANGED")
        rows = [(each.name, each.role_arn, each.creator.name, time_text(each.update_time)) for each in integrations]
        print_table(headers, rows, "there is no integration")

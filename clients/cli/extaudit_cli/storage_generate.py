"""The command `extaudit storage generate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option
from extaudit_cli.storage_file import LOCK_MODES
from extaudit_cli.storage_output import print_storage

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage generate --integration production --region us-west-2
  extaudit storage generate --integration production --region us-west-2 --lock-mode compliance --lock-days 365

Prints the draft as a file that `extaudit storage apply` takes. Options that aren't given are the service's defaults,
which the file then shows.""",
)
@click.option("--integration", "integration", required=True, metavar="NAME", help="Whose role reaches the account.")
@click.option("--region", default="", help="AWS region. [default: the service's own]")
@click.option("--description", default="", help="What it is for.")
@click.option("--lock-mode", type=click.Choice(LOCK_MODES), default=None, help="Object lock of the long-term bucket.")
@click.option("--lock-days", type=click.IntRange(0), default=0, help="Days that it keeps each object.")
@click.option("--retention-days", type=click.IntRange(0), default=0, help="Days after which S3 deletes; 0 is never.")
@click.option("--results-days", type=click.IntRange(0), default=0, help="Days that results of queries are kept.")
@click.option("--kms-key", default="", metavar="ARN", help="KMS key that both buckets encrypt with.")
@click.option("--scan-limit", type=click.IntRange(0), default=0, metavar="BYTES", help="Most that one query may scan.")
@output_option
@connected
def command(
    client: Client,
    output: str,
    integration: str,
    region: str,
    description: str,
    lock_mode: str | None,
    lock_days: int,
    retention_days: int,
    results_days: int,
    kms_key: str,
    scan_limit: int,
) -> None:
    """Make a draft whose names nobody has, with one UUID in all of them. Nothing is made in AWS."""
    from extaudit_client import StorageOptions

    options = StorageOptions(lock_mode or "", lock_days, kms_key, retention_days, results_days, scan_limit)
    print_storage(client.storages.generate(integration, region, options, description), output)

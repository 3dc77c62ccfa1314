"""The command `extaudit storage history`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option, tell_more, write_json
from extaudit_cli.storage_output import history_record, print_history

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage history
  extaudit storage history --limit 1 --output json""",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most rows.")
@output_option
@connected
def command(client: Client, output: str, limit: int) -> None:
    """List what changed where new data goes, newest first: who drafted, tested, promoted and disabled."""
    rows = list(islice(client.storages.promotions(), limit + 1))
    shown = rows[:limit]
    if output == "table":
        print_history(shown)
    elif output == "json":
        write_json([history_record(row) for row in shown])
    else:
        for row in shown:
            write_json(history_record(row), indent=None)
    tell_more(len(rows) > limit, limit)

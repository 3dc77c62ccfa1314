"""The command `extaudit recordings reindex`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option, write_json
from extaudit_cli.text import count_text, visible

if TYPE_CHECKING:
    from extaudit_client import Client, ReindexProgress

_INCOMPLETE = 3


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit recordings reindex
  extaudit recordings reindex --output json

Lists work all the while, from the index of before. The service goes on when this command is interrupted; called again
it joins in. Exit code 3 when something couldn't be read.""",
)
@output_option
@connected
def command(client: Client, output: str) -> int:
    """Have the index of sessions made anew from all events and recordings; needs session:update."""
    last: ReindexProgress | None = None
    watched = sys.stderr.isatty()
    for last in client.recordings.reindex():
        if watched:
            click.echo(f"\r\x1b[K{_progress(last)}", err=True, nl=False)
    if watched:
        click.echo("\r\x1b[K", err=True, nl=False)
    if last is None or not last.done:
        raise click.ClickException("the service ended before the index was done")
    if output == "table":
        click.echo(_progress(last))
        for missing in last.missing:
            click.echo(visible(f"missing: {missing}"), err=True)
    else:
        write_json(asdict(last), indent=2 if output == "json" else None)
    return _INCOMPLETE if last.missing else 0


def _progress(at: ReindexProgress) -> str:
    return f"{count_text(at.sessions, 'session')}, {count_text(at.batches, 'batch', 'batches')} of events read"

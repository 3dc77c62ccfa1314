"""The command `extaudit recordings abort`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option
from extaudit_cli.recording_rows import print_upload

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit recordings abort UPLOAD""",
)
@click.argument("upload_id", metavar="UPLOAD")
@output_option
@connected
def command(client: Client, upload_id: str, output: str) -> None:
    """Give an upload of your own up. What arrived is kept, apart from recordings."""
    print_upload(client.recordings.abort(upload_id), output)

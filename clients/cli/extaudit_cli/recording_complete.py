"""The command `extaudit recordings complete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option
from extaudit_cli.recording_rows import print_recording

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit recordings complete UPLOAD
  extaudit recordings complete UPLOAD --partial""",
)
@click.argument("upload_id", metavar="UPLOAD")
@click.option("--partial", is_flag=True, help="Somebody else's upload, with what has arrived; needs session:update.")
@output_option
@connected
def command(client: Client, upload_id: str, partial: bool, output: str) -> None:
    """Make an upload the recording of its session."""
    recording, state = client.recordings.complete(upload_id, partial=partial)
    print_recording(recording, state, output)

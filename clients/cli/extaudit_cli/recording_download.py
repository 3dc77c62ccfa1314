"""The command `extaudit recordings download`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option
from extaudit_cli.recorded import RecordedEvents
from extaudit_cli.recording_conversion import write_converted
from extaudit_cli.recording_rows import print_recording
from extaudit_cli.text import visible
from extaudit_cli.transfers import meter

if TYPE_CHECKING:
    from extaudit_client import Client, Recording

_SUFFIXES = {"raw": ".tar", "asciicast": ".cast", "text": ".txt", "jsonl": ".jsonl"}


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit recordings download 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11
  extaudit recordings download 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11 --format asciicast -o session.cast
  extaudit recordings download 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11 --format text -o - | grep sudo
  extaudit recordings download 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11 --upload UPLOAD -o other.tar

The bytes are checked against the custody digest, by the service as they leave and here at their end. FILE is there once
all is; what an interrupted download left in FILE.part is gone on with. A FILE that is there already is left as it is,
unless there is --replace. To stdout nothing but bytes is written.

\b
Formats: raw is Teleport's own, byte for byte; asciicast is for asciinema's players; text is what was shown, line by
line with times; jsonl is every event. For these exit code 3 says that a part of the recording couldn't be read.""",
)
@click.argument("session", metavar="SESSION")
@click.option("--upload", "upload_id", default="", metavar="ID", help="Another one than the session's recording.")
@click.option(
    "-o",
    "--out",
    "target",
    type=click.Path(path_type=Path),
    help="Where to, - for stdout. [default: SESSION.tar, .cast …]",
)
@click.option("--format", "form", type=click.Choice(list(_SUFFIXES)), default="raw", show_default=True, help="Of what.")
@click.option("--replace", is_flag=True, help="Though there is a file of this name.")
@output_option
@connected
def command(
    client: Client, session: str, upload_id: str, target: Path | None, form: str, replace: bool, output: str
) -> int:
    """Download the recording of a session."""
    file = target or Path(session + _SUFFIXES[form])
    if str(file) != "-" and not replace and os.path.lexists(file):
        raise click.ClickException(visible(f"there is a file {file} already; --replace replaces it"))
    if form == "raw":
        _download(client, session, upload_id, file, output)
        return 0
    return write_converted(RecordedEvents(client, session, upload_id), form, file, output)


def _download(client: Client, session: str, upload_id: str, target: Path, output: str) -> None:
    if str(target) == "-":
        for data in client.recordings.read(session, upload_id):
            sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with meter() as shown:

        def progress(recording: Recording, done: int) -> None:
            shown.total = recording.bytes
            shown.show(done)

        try:
            found = client.recordings.download(session, target, upload_id, progress)
        except OSError as error:
            raise click.ClickException(f"can't write the file: {error.strerror}") from None
    print_recording(found, "", output)

"""The group `extaudit recordings`."""

from __future__ import annotations

import click

from extaudit_cli.commands import LazyGroup

_COMMANDS = {
    "upload": ("extaudit_cli.recording_upload", "Upload a recording from a file."),
    "complete": ("extaudit_cli.recording_complete", "Make an upload a recording."),
    "abort": ("extaudit_cli.recording_abort", "Give an upload up."),
    "list": ("extaudit_cli.recording_list", "List sessions with their recordings."),
    "download": ("extaudit_cli.recording_download", "Download a recording."),
    "search": ("extaudit_cli.recording_search", "Find text in recordings."),
    "play": ("extaudit_cli.recording_play", "Play a recording in the terminal."),
    "reindex": ("extaudit_cli.recording_reindex", "Make the index of sessions anew."),
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    epilog="""\b
Examples:
  extaudit recordings upload session.tar --session 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11
  extaudit recordings list --from -24h --user alice
  extaudit recordings download 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11 -o back.tar
  extaudit recordings play 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11 --max-idle 1""",
)
def command() -> None:
    """Upload session recordings, find text in them, play them, and get them back."""

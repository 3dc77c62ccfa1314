"""The group `extaudit events`."""

from __future__ import annotations

import click

from extaudit_cli.commands import LazyGroup

_COMMANDS = {
    "emit": ("extaudit_cli.event_emit", "Store events from a file of JSON lines."),
    "search": ("extaudit_cli.event_search", "Find events."),
    "tail": ("extaudit_cli.event_tail", "Show events as they come."),
    "export": ("extaudit_cli.event_export", "Export events to files, all of them and each once."),
    "get": ("extaudit_cli.event_get", "Show one event whole."),
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    epilog="""\b
Examples:
  extaudit events emit --file events.jsonl
  extaudit events search --from -1h --user alice
  extaudit events tail --since -1h --type user.login
  extaudit events export --out evidence/ --from 2026-10-01
  extaudit events get f67a73f9-1da3-4124-974d-72e2bc80841b --output json""",
)
def command() -> None:
    """Emit, search, follow, export and get audit events."""

"""The command `extaudit recordings play`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option
from extaudit_cli.recorded import RecordedEvents
from extaudit_cli.recording_conversion import write_events
from extaudit_cli.text import visible
from extaudit_cli.times import FiniteRange, Offset

if TYPE_CHECKING:
    from extaudit_client import Client


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit recordings play d5b6f0c2-3c1d-4f0e-9a57-51a0c7e3b8f4
  extaudit recordings play d5b6f0c2-3c1d-4f0e-9a57-51a0c7e3b8f4 --speed 4 --max-idle 1 --from 2:30
  extaudit recordings play d5b6f0c2-3c1d-4f0e-9a57-51a0c7e3b8f4 | less

\b
Keys: space pauses, + and - change the speed, right and left skip 10 seconds, q ends.

\b
What isn't for drawing (clipboard, titles, queries, whatever else a terminal may act on) is left out. Where stdout is
no terminal, lines of text with their times are written, without waiting; --output json and jsonl give the events.
Exit code 3 when a part couldn't be read.""",
)
@click.argument("session", metavar="SESSION")
@click.option("--upload", "upload_id", default="", metavar="ID", help="Another one than the session's recording.")
@click.option("--speed", type=FiniteRange(0.125, 64), default=1.0, show_default=True, help="Times as fast.")
@click.option("--max-idle", type=FiniteRange(0), metavar="SECONDS", help="Skip idle time beyond this.")
@click.option("--from", "start", type=Offset(), default="0", help="Begin there: seconds, M:SS or H:MM:SS.")
@click.option("--no-wait", is_flag=True, help="Draw all of it at once.")
@output_option
@connected
def command(
    client: Client,
    session: str,
    upload_id: str,
    speed: float,
    max_idle: float | None,
    start: int,
    no_wait: bool,
    output: str,
) -> int:
    """Play the recording of a session."""
    events = RecordedEvents(client, session, upload_id)
    if output != "table":
        return write_events(events, output, start)
    if sys.stdout.isatty():
        _play(events, speed, None if max_idle is None else int(max_idle * 1000), start, waits=not no_wait)
    else:
        from server.recordings.playback.formats import plain_text

        for line in plain_text(events, start):
            click.echo(visible(line))
    return events.tell()


def _play(events: RecordedEvents, speed: float, max_idle_ms: int | None, start_ms: int, *, waits: bool) -> None:
    from extaudit_cli.keyboard import keyboard
    from extaudit_cli.player import Player
    from server.recordings.playback.descriptions import clock
    from server.recordings.playback.pacing import Pacing

    pacing = Pacing(speed, max_idle_ms)
    pacing.seek(start_ms)
    with keyboard() as keys:
        end = Player(_write, keys, pacing, waits=waits).play(lambda: events)
    click.echo(f"\n-- {clock(end)} --", err=True)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

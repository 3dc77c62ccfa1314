"""The command `extaudit recordings list`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.event_json import jsonable
from extaudit_cli.output import output_option, print_table, tell_more, write_json
from extaudit_cli.text import visible
from extaudit_cli.times import TIMES, Time, time_text
from extaudit_cli.transfers import size_text

if TYPE_CHECKING:
    from extaudit_client import Client, Session, SessionPage, SessionQuery

_KINDS = ("ssh", "kubernetes", "database", "application", "desktop")
_INCOMPLETE = 3


@click.command(
    cls=Command,
    epilog=f"""\b
Examples:
  extaudit recordings list --from -24h --user alice
  extaudit recordings list --kind database --recorded
  extaudit recordings list --active-at 2026-11-20T10:00:00Z --output jsonl

Newest first. Exit code 3 when the service's index of sessions misses something.

{TIMES}""",
)
@click.option("--from", "from_time", type=Time(), help="Sessions that ended at this time or later, or last still.")
@click.option("--to", "to_time", type=Time(), help="Sessions that began before this time.")
@click.option("--active-at", type=Time(), help="Sessions that were under way at this moment.")
@click.option("--kind", "kinds", type=click.Choice(_KINDS), multiple=True, help="Of this kind; may be repeated.")
@click.option("--user", "users", multiple=True, help="Of this user; may be repeated.")
@click.option("--participant", default="", help="In which this user took part.")
@click.option("--server", "server_id", default="", metavar="ID", help="On this server.")
@click.option("--text", default="", help="Whose id, user, participants, server or target contain this text.")
@click.option("--session", "session_id", default="", metavar="ID", help="Just this session.")
@click.option("--recorded/--unrecorded", "has_recording", default=None, help="With a recording, or without one.")
@click.option(
    "--unfinished", "has_upload", is_flag=True, flag_value=True, default=None, help="With an open or aborted upload."
)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@output_option
@connected
def command(client: Client, limit: int, output: str, **filters: object) -> int:
    """List sessions with their recordings."""
    from extaudit_client import SessionQuery

    query = SessionQuery(page_size=min(limit, 1000), **filters)  # type: ignore[arg-type]  # click has checked them
    sessions, page, more = _read(client, query, limit)
    if output == "json":
        write_json(
            {"sessions": [jsonable(asdict(each)) for each in sessions], "missing": list(page.missing), "more": more}
        )
    elif output == "jsonl":
        for session in sessions:
            write_json(jsonable(asdict(session)), indent=None)
    else:
        _print(sessions)
    tell_more(more, limit)
    for missing in page.missing:
        click.echo(visible(f"missing: {missing}"), err=True)
    return 0 if page.complete else _INCOMPLETE


def _read(client: Client, query: SessionQuery, limit: int) -> tuple[list[Session], SessionPage, bool]:
    """So many sessions, the last page that was read, and whether there are more."""
    sessions: list[Session] = []
    token = ""
    while True:
        page = client.recordings.list_page(query, token)
        sessions += page.sessions
        token = page.next_page_token
        if len(sessions) >= limit or not token:
            return sessions[:limit], page, bool(token) or len(sessions) > limit


def _print(sessions: list[Session]) -> None:
    headers = ("SESSION", "KIND", "USER", "TARGET", "BEGAN", "ENDED", "RECORDING")
    rows = [
        (
            session.session_id,
            session.kind,
            session.user,
            session.target or session.server_id,
            _time(session.start_time),
            _time(session.end_time),
            _recording(session),
        )
        for session in sessions
    ]
    print_table(headers, rows, "no session found")


def _recording(session: Session) -> str:
    found = [size_text(session.recording.bytes)] if session.recording else []
    found += [f"{len(session.asides)} aside"] if session.asides else []
    found += [f"upload {upload.state}" + " (abandoned)" * upload.abandoned for upload in session.uploads]
    return ", ".join(found)


def _time(time: datetime | None) -> str:
    return time_text(time) if time is not None else ""

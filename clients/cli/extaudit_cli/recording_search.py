"""The command `extaudit recordings search`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.event_json import jsonable
from extaudit_cli.output import output_option, tell_more, write_json
from extaudit_cli.text import visible
from extaudit_cli.times import TIMES, Time, in_order, time_text

if TYPE_CHECKING:
    from extaudit_client import Client, HitPage, RecordingHit, TextQuery

_INCOMPLETE = 3


@click.command(
    cls=Command,
    epilog=f"""\b
Examples:
  extaudit recordings search 'rm -rf' --from -7d
  extaudit recordings search sudo --user alice --output jsonl

What terminals showed and what databases were asked, newest recordings first; A-Z may differ in case. The time of a line
is for `recordings play SESSION --from TIME`. Exit code 3 when the service's index of text misses something.

{TIMES}""",
)
@click.argument("text", metavar="TEXT")
@click.option(
    "--from", "from_time", type=Time(), callback=in_order, help="In recordings that began at this time or later."
)
@click.option("--to", "to_time", type=Time(), callback=in_order, help="In recordings that began before this time.")
@click.option("--user", "users", multiple=True, help="In recordings of this user's sessions; may be repeated.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many lines.")
@output_option
@connected
def command(client: Client, text: str, limit: int, output: str, **filters: object) -> int:
    """Find text in recordings."""
    from extaudit_client import TextQuery

    query = TextQuery(text, page_size=min(limit, 1000), **filters)  # type: ignore[arg-type]  # click has checked them
    hits, page, more = _read(client, query, limit)
    if output == "json":
        write_json({"hits": [jsonable(asdict(hit)) for hit in hits], "missing": list(page.missing), "more": more})
    elif output == "jsonl":
        for hit in hits:
            write_json(jsonable(asdict(hit)), indent=None)
    else:
        _print(hits)
    tell_more(more, limit)
    for missing in page.missing:
        click.echo(visible(f"missing: {missing}"), err=True)
    return 0 if page.complete else _INCOMPLETE


def _read(client: Client, query: TextQuery, limit: int) -> tuple[list[RecordingHit], HitPage, bool]:
    """So many lines, the last page that was read, and whether there are more."""
    hits: list[RecordingHit] = []
    token = ""
    while True:
        page = client.recordings.search_page(query, token)
        hits += page.hits
        token = page.next_page_token
        if len(hits) >= limit or not token:
            return hits[:limit], page, bool(token) or len(hits) > limit


def _print(hits: list[RecordingHit]) -> None:
    """Lines under the recording that they are in."""
    from server.recordings.playback.descriptions import clock

    if not hits:
        click.echo("nothing found", err=True)
    shown = ""
    for hit in hits:
        if hit.upload_id != shown:
            shown = hit.upload_id
            click.echo(f"{visible(hit.session_id)}  {time_text(hit.start_time)}  {visible(hit.user)}")
        click.echo(f"  {clock(hit.offset_ms)}  {visible(hit.line)}")

"""The command `extaudit events search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.commands import Command, MayBeEmpty
from extaudit_cli.connecting import connected
from extaudit_cli.event_filters import filter_options, query_from
from extaudit_cli.event_printers import printer
from extaudit_cli.output import output_option
from extaudit_cli.search_summary import Summary
from extaudit_cli.suggestions import storages
from extaudit_cli.times import TIMES

if TYPE_CHECKING:
    from extaudit_client import Client

_INCOMPLETE = 3


@click.command(
    cls=Command,
    epilog=f"""\b
Examples:
  extaudit events search --from -1h --type user.login --user alice
  extaudit events search --from 2024-05-01 --to 2024-05-02 --field 'success=false'
  extaudit events search --field-json '[["addr.local"],"172.10.1.1:3022"]'
  extaudit events search --text 'rm -rf' --all --output jsonl

--output jsonl prints the stored JSON, one event a line, byte for byte; only raw newlines between its tokens become
spaces. --output json prints one document with rows, receipts, completeness, watermark and token. To a terminal, control
and bidi characters are printed as JSON escapes. Exit code 3 when the answer is incomplete.

{TIMES}""",
)
@filter_options
@click.option(
    "--order",
    type=click.Choice(["newest", "oldest"]),
    default="newest",
    show_default=True,
    help="Which come first, by the events' own time.",
)
@click.option(
    "--storage", default="", shell_complete=storages, help="active (the default), default, all, or a storage id."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "scan", "athena"]),
    default="auto",
    show_default=True,
    help="What finds them: the service itself, or Amazon Athena for an External Audit Storage.",
)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Rows at most.")
@click.option("--all", "everything", is_flag=True, help="Every row there is, whatever --limit says.")
@click.option("--page-token", cls=MayBeEmpty, default="", help="Go on where an earlier answer ended.")
@click.option("--page-size", type=click.IntRange(1, 2000), default=2000, help="Rows asked for at a time.")
@output_option
@connected
def command(
    client: Client, output: str, page_token: str, limit: int, everything: bool, engine: str, **filters: Any
) -> int:
    """Find events. All filters must hold."""
    query = query_from(engine="" if engine == "auto" else engine, **filters)
    summary = Summary()
    out = printer(output, client)
    for page in client.search_pages(query, page_token, None if everything else limit):
        summary.add(page)
        out.rows(page.rows)
    out.end(summary)
    return 0 if summary.complete else _INCOMPLETE

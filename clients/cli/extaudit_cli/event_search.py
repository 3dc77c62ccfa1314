"""The command `extaudit events search`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.connecting import connected
from extaudit_cli.event_printers import printer
from extaudit_cli.fields import FieldValue, parse_field, parse_field_json
from extaudit_cli.output import output_option
from extaudit_cli.search_summary import Summary
from extaudit_cli.times import Time

if TYPE_CHECKING:
    from extaudit_client import Client, Query

_INCOMPLETE = 3

Field = tuple[tuple[str, ...], FieldValue]


def _each(parse: Callable[[str], Field]) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], list[Field]]:
    def convert(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> list[Field]:
        try:
            return [parse(value) for value in values]
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


@click.command(
    epilog="""\b
Examples:
  extaudit events search --from -1h --type user.login --user alice
  extaudit events search --from 2024-05-01 --to 2024-05-02 --field 'success=false'
  extaudit events search --field-json '[["addr.local"],"172.10.1.1:3022"]'
  extaudit events search --text 'rm -rf' --all --output jsonl

--output jsonl prints the stored JSON, one event a line, byte for byte; only raw newlines between its tokens become
spaces. --output json prints one document with rows, receipts, completeness, watermark and token. To a terminal, control
and bidi characters are printed as JSON escapes. Exit code 3 when the answer is incomplete."""
)
@click.option("--from", "from_time", type=Time(), help="Earliest time: RFC 3339, a date (UTC), or -30m, -1h, -7d.")
@click.option("--to", "to_time", type=Time(), help="Latest time, exclusive.")
@click.option("--type", "types", multiple=True, help="Event type; again for more, any of them.")
@click.option("--user", "users", multiple=True, help="User; again for more, any of them.")
@click.option("--session", "session_id", default="", help="Session id.")
@click.option("--uid", "uids", multiple=True, help="Event uid; again for more, any of them.")
@click.option("--text", default="", help="Text in the stored JSON; A-Z and a-z are alike.")
@click.option(
    "--field", "fields", multiple=True, metavar="PATH=JSON", callback=_each(parse_field), help="Value at a path."
)
@click.option(
    "--field-json",
    "fields_json",
    multiple=True,
    metavar="JSON",
    callback=_each(parse_field_json),
    help="The same for keys with dots: [[KEY, ...], VALUE].",
)
@click.option("--emitter", "emitters", multiple=True, help="Name of who emitted it; again for more, any of them.")
@click.option("--emitter-kind", "emitter_kinds", multiple=True, type=click.Choice(["component", "user", "service"]))
@click.option("--order", type=click.Choice(["newest", "oldest"]), default="newest", show_default=True)
@click.option("--storage", default="", help="active (the default), default, all, or a storage id.")
@click.option("--engine", type=click.Choice(["auto", "scan", "athena"]), default="auto", show_default=True)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Rows at most.")
@click.option("--all", "everything", is_flag=True, help="Every row there is, whatever --limit says.")
@click.option("--page-token", default="", help="Go on where an earlier answer ended.")
@click.option("--page-size", type=click.IntRange(1, 1000), default=1000, help="Rows asked for at a time.")
@output_option
@connected
def command(client: Client, output: str, page_token: str, limit: int, everything: bool, **filters: Any) -> int:
    """Find events. All filters must hold."""
    summary = Summary()
    out = printer(output, client)
    for page in client.search_pages(_query(**filters), page_token, None if everything else limit):
        summary.add(page)
        out.rows(page.rows)
    out.end(summary)
    return 0 if summary.complete else _INCOMPLETE


def _query(*, fields: list[Field], fields_json: list[Field], engine: str, **filters: Any) -> Query:
    from extaudit_client import FieldEquality, Query

    equalities = tuple(FieldEquality(path, value) for path, value in fields + fields_json)
    return Query(fields=equalities, engine="" if engine == "auto" else engine, **filters)

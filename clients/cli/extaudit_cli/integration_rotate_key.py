"""The command `extaudit integrations rotate-key`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command, MayBeEmpty
from extaudit_cli.connecting import connected
from extaudit_cli.event_json import jsonable
from extaudit_cli.output import output_option, print_table, write_json
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import Client, SigningKey


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit integrations rotate-key
  extaudit integrations rotate-key --now --reason 'a backup was stolen'

Without --now the key that signed until now stays published until its last token has expired, so nothing fails. It is
refused as long as the next key isn't published for long enough (issuer.publish_ahead_seconds).""",
)
@click.option(
    "--now",
    "drop_old",
    is_flag=True,
    help="Take the keys that signed until now out of the published set at once: somebody else may have one. AWS may "
    "refuse the service until it fetches the set again.",
)
@click.option("--reason", cls=MayBeEmpty, default="", help="Why, for the audit event; must be given with --now.")
@output_option
@connected
def command(client: Client, output: str, drop_old: bool, reason: str) -> None:
    """Have the next key sign the service's tokens; needs integration:update."""
    if drop_old and not reason:
        raise click.UsageError("--now needs --reason")
    keys = client.integrations.rotate_signing_key(reason, drop_old=drop_old)
    if output == "json":
        write_json([_record(key) for key in keys])
    elif output == "jsonl":
        for key in keys:
            write_json(_record(key), indent=None)
    else:
        _print(keys)


def _print(keys: list[SigningKey]) -> None:
    headers = ("KEY ID", "STATE", "MADE", "SIGNS SINCE", "PUBLISHED UNTIL")
    rows = [
        (
            key.key_id,
            key.state,
            time_text(key.create_time),
            time_text(key.activate_time) if key.activate_time else "",
            time_text(key.retire_time) if key.retire_time else "",
        )
        for key in keys
    ]
    print_table(headers, rows, "there is no key")


def _record(key: SigningKey) -> dict[str, object]:
    record: dict[str, object] = jsonable(asdict(key))
    return record

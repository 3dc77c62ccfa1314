"""The command `extaudit storage divert`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command, MayBeEmpty
from extaudit_cli.connecting import connected
from extaudit_cli.event_json import jsonable
from extaudit_cli.output import output_option, write_json
from extaudit_cli.storage_asking import confirm
from extaudit_cli.table import table_lines
from extaudit_cli.text import count_text, visible
from extaudit_cli.times import time_text
from extaudit_cli.transfers import size_text

if TYPE_CHECKING:
    from extaudit_client import Client, Diversion


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage divert --from aws-b5a8ee26a4b1c9d0 --to default --dry-run
  extaudit storage divert --from aws-b5a8ee26a4b1c9d0 --to default --reason 'the account was closed'
  extaudit storage divert --from aws-b5a8ee26a4b1c9d0 --to default --yes --output json

For a storage that will never take again what waits for it: its account is closed, its bucket deleted. Where it is only
away, wait: what waits is safe, and goes there by itself. Events keep log, sequences and uids, but are in the default
storage from then on, and whoever emits one again is told so. What the old bucket turns out to have of them counts no
more. It can't be taken back. Uploads of recordings to that storage are named and stay as they are.""",
)
@click.option("--from", "storage_id", required=True, metavar="ID", help="The storage that is gone; `status` names it.")
@click.option("--to", required=True, type=click.Choice(["default"]), help="Where what waits for it goes.")
@click.option("--dry-run", is_flag=True, help="Show what it would be, and change nothing.")
@click.option("--yes", is_flag=True, help="Don't ask. Needed where there is no terminal to ask on.")
@click.option("--reason", cls=MayBeEmpty, default="", help="Why, for the audit log.")
@output_option
@connected
def command(client: Client, output: str, storage_id: str, to: str, dry_run: bool, yes: bool, reason: str) -> None:
    """Take what waits for a storage that is gone for good to the default storage."""
    found = client.storages.divert(storage_id, to, validate_only=True)
    if not dry_run and found.batches:
        _tell(found, storage_id, to, "WAITS", err=True)
        if not yes and not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to ask on; --yes diverts without being asked")
        confirm("Done is done: it can't be taken back. Divert it?", yes=yes)
        found = client.storages.divert(storage_id, to, reason=reason)
    if output != "table":
        record = {"from": storage_id, "to": to, "dry_run": dry_run} | jsonable(asdict(found))
        write_json(record, indent=2 if output == "json" else None)
    elif not found.batches:
        click.echo(visible(f"nothing waits for {storage_id}"))
        _tell_uploads(found)
    elif dry_run:
        _tell(found, storage_id, to, "WOULD BE DIVERTED")
    else:
        what = f"{count_text(found.batches, 'batch', 'batches')}, {count_text(found.events, 'event')}"
        click.echo(visible(f"{what}: diverted from {storage_id} to {to}"))


def _tell(found: Diversion, storage_id: str, to: str, heading: str, *, err: bool = False) -> None:
    """Say what there is and what will become of it."""
    ranges = [f"{each.log_id} {each.first_sequence}-{each.last_sequence}" for each in found.sequences]
    oldest, newest = found.oldest_received_time, found.newest_received_time
    facts = [
        ("from", storage_id),
        ("to", to),
        ("batches", f"{found.batches:,}"),
        ("events", f"{found.events:,}"),
        ("size", f"{size_text(found.bytes)} of JSON"),
        ("received", f"{time_text(oldest)} to {time_text(newest)}" if oldest and newest else ""),
        *(("sequences", text) for text in ranges),
    ]
    click.echo("\n".join(visible(line) for line in table_lines((heading, ""), facts)), err=err)
    _tell_uploads(found)


def _tell_uploads(found: Diversion) -> None:
    for each in found.uploads:
        when = time_text(each.begin_time)
        text = f"stays: the upload of session {each.session_id}, {size_text(each.bytes)}, begun {when}"
        click.echo(visible(text), err=True)

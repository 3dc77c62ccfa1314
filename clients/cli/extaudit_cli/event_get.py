"""The command `extaudit events get`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.event_json import row_json
from extaudit_cli.output import output_option, print_facts, print_table, write_bytes
from extaudit_cli.suggestions import storages
from extaudit_cli.text import count_text, json_visible
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import Client, EventRow, Receipt

_POSITION = re.compile(r"([A-Za-z0-9._-]+):([0-9]{1,20})")


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit events get f67a73f9-1da3-4124-974d-72e2bc80841b
  extaudit events get LOG_ID:42 --output json > event.json

--output json writes the stored JSON byte for byte and nothing else; --output jsonl one line with columns, receipts and
the event. To a terminal, control and bidi characters are printed as JSON escapes.""",
)
@click.argument("event", metavar="UID|LOG_ID:SEQUENCE")
@click.option("--uid", "by_uid", is_flag=True, help="The argument is a uid even if it looks like LOG_ID:SEQUENCE.")
@click.option("--digest", default="", help="SHA-256 of the stored JSON, to choose among events of one uid.")
@click.option(
    "--storage", default="", shell_complete=storages, help="active (the default), default, all, or a storage id."
)
@output_option
@connected
def command(client: Client, event: str, by_uid: bool, digest: str, storage: str, output: str) -> None:
    """Show one event whole, with its receipts."""
    from extaudit_client import Position

    position = None if by_uid or digest else _POSITION.fullmatch(event)
    row, payload = client.get(Position(position[1], int(position[2])) if position else event, digest, storage)
    if output == "json":
        write_bytes(payload)
    elif output == "jsonl":
        write_bytes(row_json(row, payload) + b"\n")
    else:
        _print_table(row, payload)


def _print_table(row: EventRow, payload: bytes) -> None:
    columns = [
        ("time", time_text(row.time)),
        ("type", row.type),
        ("uid", row.uid),
        ("session", row.session_id),
        ("user", row.user),
        ("digest", row.digest),
        ("size", count_text(row.payload_size, "byte")),
    ]
    print_facts(("COLUMN", "VALUE"), columns)
    headers = ("STORAGE", "LOG:SEQUENCE", "EMITTER", "PEER", "RECEIVED")
    click.echo()
    print_table(headers, [_receipt(receipt) for receipt in row.receipts])
    click.echo()
    click.echo(_pretty(payload))


def _receipt(receipt: Receipt) -> tuple[str, ...]:
    emitter = f"{receipt.emitter.kind} {receipt.emitter.name}" if receipt.emitter else "unknown"
    received = time_text(receipt.received_time) if receipt.received_time else ""
    if receipt.foreign_object:
        return receipt.storage, f"foreign: {receipt.foreign_object}", emitter, receipt.peer, received
    return receipt.storage, f"{receipt.log_id}:{receipt.sequence}", emitter, receipt.peer, received


def _pretty(payload: bytes) -> str:
    """Indent the JSON where nothing is lost by it; give it as it is where numbers would change or it can't be read."""
    text = payload.decode("utf-8", "backslashreplace")
    try:
        pretty = json.dumps(json.loads(text, parse_float=str), indent=2, ensure_ascii=False)
        if json.loads(pretty) != json.loads(text):
            pretty = text
    except (ValueError, RecursionError):
        pretty = text
    return json_visible(pretty)

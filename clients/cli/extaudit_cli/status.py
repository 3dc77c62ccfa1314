"""The command `extaudit status`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from extaudit_cli.connecting import Reached, connected
from extaudit_cli.event_json import jsonable
from extaudit_cli.output import output_option, table_lines, write_json
from extaudit_cli.text import visible
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import Client, Status


@click.command(
    epilog="""\b
Examples:
  extaudit status
  extaudit status --address audit.example.com:9443 --output json

Exit code 1 when the service isn't serving."""
)
@output_option
@connected
def command(client: Client, output: str) -> int:
    """Show how the service is: journal, storages, certificates, and what is wrong."""
    status = client.status()
    reached: Reached = click.get_current_context().obj
    if output == "table":
        _print_table(status, reached)
    else:
        record = jsonable(asdict(status)) | {"reached": asdict(reached)}
        write_json(record, indent=2 if output == "json" else None)
    return 0 if status.serving else 1


def _print_table(status: Status, reached: Reached) -> None:
    sections = [
        _problems(status),
        _service(status, reached),
        _storages(status),
        _certificates(status),
        _token_issuers(status),
    ]
    click.echo("\n\n".join("\n".join(section) for section in sections if section))


def _problems(status: Status) -> list[str]:
    return [visible(f"PROBLEM {problem.name}: {problem.description}") for problem in status.problems]


def _service(status: Status, reached: Reached) -> list[str]:
    journal = status.journal
    facts = [
        ("address", reached.address),
        *([("profile", reached.profile)] if reached.profile else []),
        ("serving", "yes" if status.serving else "NO"),
        ("version", status.version),
        ("started", time_text(status.start_time)),
        ("log", f"{journal.log_id}, next sequence {journal.next_sequence}"),
        ("journal", f"{journal.pending_events} events not yet in the storage, {_size(journal.bytes)}"),
        ("journal quota", _size(journal.quota_bytes)),
        ("oldest waiting", f"{journal.oldest_age:.0f} s"),
        ("free disk", _size(journal.free_disk_bytes)),
        ("torn tail", _size(journal.torn_tail_bytes)),
        ("roles", ", ".join(status.roles)),
        ("policy", status.policy_digest),
        ("configuration", status.configuration_digest),
        *[("LOST", f"{hole.log_id} {hole.first_sequence}-{hole.last_sequence}") for hole in journal.holes],
    ]
    return table_lines(("SERVICE", ""), facts)


def _storages(status: Status) -> list[str]:
    headers = ("STORAGE", "ACTIVE", "OBJECTS", "FOREIGN", "ROWS", "SIZE", "LAST DELIVERY", "LAST ERROR", "LOCATION")
    rows = [
        (
            storage.id,
            "yes" if storage.active else "",
            str(storage.objects),
            str(storage.foreign_objects),
            str(storage.rows),
            _size(storage.bytes),
            time_text(storage.last_delivery_time) if storage.last_delivery_time else "never",
            storage.last_delivery_error,
            storage.location,
        )
        for storage in status.storages
    ]
    return table_lines(headers, rows) if rows else []


def _certificates(status: Status) -> list[str]:
    rows = [(each.use, each.subject, time_text(each.expire_time)) for each in status.certificates]
    return table_lines(("CERTIFICATE", "SUBJECT", "EXPIRES"), rows) if rows else []


def _token_issuers(status: Status) -> list[str]:
    rows = [
        (
            each.issuer,
            ", ".join(each.key_ids),
            time_text(each.fetch_time) if each.fetch_time else "never",
            each.last_error,
        )
        for each in status.token_issuers
    ]
    return table_lines(("TOKEN ISSUER", "KEYS", "FETCHED", "LAST ERROR"), rows) if rows else []


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"

"""The command `extaudit status`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from extaudit_cli.colours import Paint
from extaudit_cli.commands import Command
from extaudit_cli.connecting import Reached, connected
from extaudit_cli.event_json import jsonable
from extaudit_cli.output import output_option, print_facts, print_table, write_json
from extaudit_cli.storage_output import test_text
from extaudit_cli.text import count_text, visible
from extaudit_cli.times import time_text
from extaudit_cli.transfers import size_text

if TYPE_CHECKING:
    from extaudit_client import Client, Status
    from extaudit_client.statuses import StorageStatus


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit status
  extaudit status --address audit.example.com:9443 --output json

Exit code 1 when the service isn't serving.""",
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
    paint = Paint.for_stream(sys.stdout)
    for problem in status.problems:
        paint.echo(paint(visible(f"PROBLEM {problem.name}: {problem.description}"), "bad"))
    for alert in status.alerts:
        text = (
            f"ALERT {alert.id} of {alert.storage}, since {time_text(alert.raise_time)}: {alert.message}; {alert.remedy}"
        )
        paint.echo(paint(visible(text), "bad" if alert.severity.value == "high" else "warning"))
    if status.problems or status.alerts:
        click.echo()
    _print_service(status, reached)
    _print_storages(status)
    _print_external_storages(status)
    _print_certificates(status)
    _print_token_issuers(status)


def _print_service(status: Status, reached: Reached) -> None:
    journal = status.journal
    waiting = f"{count_text(journal.pending_events, 'event')} not yet in the storage, {size_text(journal.bytes)}"
    facts = [
        ("address", reached.address),
        *([("profile", reached.profile)] if reached.profile else []),
        ("serving", "yes" if status.serving else "NO"),
        ("version", status.version),
        ("started", time_text(status.start_time)),
        ("log", f"{journal.log_id}, next sequence {journal.next_sequence}"),
        ("journal", waiting),
        ("journal quota", size_text(journal.quota_bytes)),
        ("oldest waiting", f"{journal.oldest_age:.0f} s"),
        ("free disk", size_text(journal.free_disk_bytes)),
        ("torn tail", size_text(journal.torn_tail_bytes)),
        ("roles", f"{len(status.roles)} loaded: {', '.join(status.roles)}"),
        ("policy", status.policy_digest),
        ("configuration", status.configuration_digest),
        *[("LOST", f"{hole.log_id} {hole.first_sequence}-{hole.last_sequence}") for hole in journal.holes],
    ]
    print_facts(("SERVICE", ""), facts)


def _print_storages(status: Status) -> None:
    headers = (
        "STORAGE", "ACTIVE", "OBJECTS", "FOREIGN", "ROWS", "SIZE", "WAITING", "RECORDINGS WAITING", "LAST DELIVERY",
        "LAST FAILURE", "LOCATION",
    )  # fmt: skip
    rows = [
        (
            storage.id,
            "yes" if storage.active else "",
            f"{storage.objects:,}",
            f"{storage.foreign_objects:,}",
            f"{storage.rows:,}",
            size_text(storage.bytes),
            _waiting(storage.pending_events, storage.pending_bytes, storage.oldest_pending_age),
            _waiting(storage.waiting_recordings, storage.waiting_recording_bytes, storage.oldest_recording_age),
            time_text(storage.last_delivery_time) if storage.last_delivery_time else "never",
            _failure(storage),
            storage.location,
        )
        for storage in status.storages
    ]
    _print_section(headers, rows)


def _waiting(count: int, size: int, age: float) -> str:
    return f"{count:,}, {size_text(size)}, {age:.0f} s" if count else ""


def _failure(storage: StorageStatus) -> str:
    """The last one, and whether it is so now."""
    if storage.last_failure_time is None:
        return storage.last_delivery_error
    over = "" if storage.last_delivery_error else ", over"
    return f"{time_text(storage.last_failure_time)}{over}: {storage.last_failure}"


def _print_external_storages(status: Status) -> None:
    known = [("in force", status.cluster), ("draft", status.draft)]
    rows = [
        (
            what,
            each.storage_id,
            each.account_id,
            each.spec.region,
            each.spec.integration_name,
            test_text(each.last_test),
        )
        for what, each in known
        if each is not None
    ]
    _print_section(("EXTERNAL STORAGE", "ID", "ACCOUNT", "REGION", "INTEGRATION", "CONNECTION TEST"), rows)


def _print_certificates(status: Status) -> None:
    rows = [(each.use, each.subject, time_text(each.expire_time)) for each in status.certificates]
    _print_section(("CERTIFICATE", "SUBJECT", "EXPIRES"), rows)


def _print_token_issuers(status: Status) -> None:
    rows = [
        (
            each.issuer,
            ", ".join(each.key_ids),
            time_text(each.fetch_time) if each.fetch_time else "never",
            each.last_error,
        )
        for each in status.token_issuers
    ]
    _print_section(("TOKEN ISSUER", "KEYS", "FETCHED", "LAST ERROR"), rows)


def _print_section(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table after an empty line, if it has rows."""
    if rows:
        click.echo()
        print_table(headers, rows)

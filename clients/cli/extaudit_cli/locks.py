"""The group `extaudit locks`: who is barred from the service."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.commands import Group
from extaudit_cli.connecting import connected
from extaudit_cli.event_json import jsonable
from extaudit_cli.output import output_option, print_table, write_json
from extaudit_cli.suggestions import role_names
from extaudit_cli.text import visible
from extaudit_cli.times import TIMES, Duration, Time, time_text

if TYPE_CHECKING:
    from extaudit_client import Client, Lock

_TARGETS = {
    "user": "Every user of this name.",
    "component": "The component of this id.",
    "role": "Everyone who carries this role.",
    "certificate_serial": "Whoever shows the certificate of this serial number, in hex.",
    "token_id": "Whoever shows the token of this id.",
}


@click.group(
    cls=Group,
    epilog="""\b
Examples:
  extaudit locks add --user alice --reason 'laptop stolen'
  extaudit locks add --role contractor --reason 'audit' --ttl 8h
  extaudit locks list
  extaudit locks remove 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11""",
)
def command() -> None:
    """Bar users, components, roles, certificates and tokens, at once."""


def _target_options(add: Any) -> Any:
    for name, text in reversed(_TARGETS.items()):
        suggested = role_names if name == "role" else None
        add = click.option("--" + name.replace("_", "-"), name, shell_complete=suggested, help=text)(add)
    return add


@command.command(
    epilog=f"""\b
Examples:
  extaudit locks add --user alice --reason 'laptop stolen'
  extaudit locks add --role contractor --reason 'audit' --ttl 8h
  extaudit locks add --user alice --reason 'on leave' --expires 2030-11-01

{TIMES}"""
)
@_target_options
@click.option("--reason", required=True, help="Why, for other administrators; whom it bars never sees it.")
@click.option("--ttl", type=Duration(), help="How long it holds: 30m, 8h, 7d. [default: until it is removed]")
@click.option("--expires", type=Time(), help="When it ends, instead of --ttl.")
@click.option("--force", is_flag=True, help="Though it hits yourself.")
@output_option
@connected
def add(
    client: Client,
    output: str,
    reason: str,
    ttl: timedelta | None,
    expires: datetime | None,
    force: bool,
    **targets: str | None,
) -> None:
    """Add a lock; exactly one of the targets must be given. It is in force when the command ends."""
    given = [(target, name) for target, name in targets.items() if name is not None]
    if len(given) != 1:
        options = ", ".join("--" + name.replace("_", "-") for name in _TARGETS)
        raise click.UsageError(f"exactly one of {options} must be given")
    if ttl is not None and expires is not None:
        raise click.UsageError("--ttl and --expires can't be given together")
    end = datetime.now(UTC) + ttl if ttl is not None else expires
    lock = client.create_lock(*given[0], reason, end, force=force)
    if output == "table":
        click.echo(visible(f"lock {lock.id} bars {lock.target} {lock.name} {_until(lock)}"))
    else:
        write_json(_record(lock), indent=2 if output == "json" else None)


@command.command(
    name="list",
    epilog="""\b
Examples:
  extaudit locks list
  extaudit locks list --output jsonl""",
)
@output_option
@connected
def list_(client: Client, output: str) -> None:
    """List the locks in force, oldest first."""
    locks = list(client.locks())
    if output == "json":
        write_json([_record(lock) for lock in locks])
    elif output == "jsonl":
        for lock in locks:
            write_json(_record(lock), indent=None)
    else:
        _print_list(locks)


@command.command(
    epilog="""\b
Examples:
  extaudit locks remove 0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"""
)
@click.argument("lock_id", metavar="ID")
@output_option
@connected
def remove(client: Client, output: str, lock_id: str) -> None:
    """Remove a lock before its end. Others of the same target stay."""
    client.delete_lock(lock_id)
    if output == "table":
        click.echo(visible(f"lock {lock_id} is removed"))
    else:
        write_json({"id": lock_id, "removed": True}, indent=2 if output == "json" else None)


def _print_list(locks: list[Lock]) -> None:
    headers = ("ID", "TARGET", "NAME", "UNTIL", "CREATED", "BY", "REASON")
    rows = [
        (
            lock.id,
            lock.target,
            lock.name,
            time_text(lock.expire_time) if lock.expire_time else "it is removed",
            time_text(lock.create_time),
            lock.creator.name,
            lock.reason,
        )
        for lock in locks
    ]
    print_table(headers, rows, "no lock is in force")


def _until(lock: Lock) -> str:
    return f"until {time_text(lock.expire_time)}" if lock.expire_time else "until it is removed"


def _record(lock: Lock) -> dict[str, Any]:
    record: dict[str, Any] = jsonable(asdict(lock))
    return record

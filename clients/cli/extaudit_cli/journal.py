"""The group `extaudit journal`: the journal of a data directory on this machine, while no service runs on it."""

from __future__ import annotations

from pathlib import Path

import click

from extaudit_cli.commands import Group
from extaudit_cli.operator import operator
from extaudit_cli.output import output_option, write_json
from extaudit_cli.text import visible


@click.group(
    cls=Group,
    epilog="""\b
Examples:
  extaudit journal fork --data-dir data --reason 'restored from the backup of 28 November'""",
)
def command() -> None:
    """Keep the journal of a data directory in order."""


@command.command(
    epilog="""\b
Examples:
  extaudit journal fork --reason 'restored from the backup of 28 November'
  extaudit journal fork --reason 'restored' --last-acknowledged 01a2216554e0bb5a8eb7:4711"""
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data"),
    envvar="EXTAUDIT_DATA_DIR",
    show_default=True,
    show_envvar=True,
    help="The data directory that is a copy.",
)
@click.option("--reason", required=True, help="Why; kept in the audit event.")
@click.option(
    "--last-acknowledged",
    metavar="LOG_ID:SEQUENCE",
    help="The last event that the original is known to have acknowledged, as receipts name it. "
    "What of that log is neither here nor in the storage is then named as lost.",
)
@click.option("--replace", is_flag=True, help="Put it in the place of a fork that was asked for before.")
@output_option
def fork(data_dir: Path, reason: str, last_acknowledged: str | None, replace: bool, output: str) -> None:
    """End the log of a restored or copied data directory, and begin another when the service starts.

    The original may have acknowledged more events than the copy has, and may still run. Going on with its log would
    give the same sequences to other events. What the copy has is kept and found under the old log; page tokens of the
    original are no longer accepted. Run it before the first start, on the copy only.
    """
    from server.audit_log.fork_request import request_fork
    from server.data_directory import DataDirectoryProblem

    try:
        asked = request_fork(data_dir, reason, operator(), last_acknowledged, replace=replace)
    except DataDirectoryProblem as problem:
        raise click.ClickException(visible(str(problem))) from None
    except OSError as error:
        raise click.ClickException(f"the data directory can't be used ({error.strerror})") from None
    if output == "table":
        if asked.log_id:
            click.echo(f"log {asked.log_id} ends; its journal has events up to sequence {asked.last_sequence}")
        click.echo("a new log begins when the service starts")
        return
    told = {"log_id": asked.log_id, "last_sequence": asked.last_sequence, "reason": asked.fork.reason}
    write_json(told | {"operator": asked.fork.operator}, indent=2 if output == "json" else None)

"""The command `extaudit events export`."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected, one_line
from extaudit_cli.event_filters import filter_options_with, query_from
from extaudit_cli.exporting.destination import destination
from extaudit_cli.exporting.forms import FORMATS
from extaudit_cli.exporting.progress import Progress
from extaudit_cli.exporting.question import Question, SaidTime, SaidTimeType
from extaudit_cli.exporting.resumption import ResumableExport
from extaudit_cli.exporting.state import StateProblem
from extaudit_cli.exporting.stopping import interruptible
from extaudit_cli.exporting.summary import Summary
from extaudit_cli.output import output_option
from extaudit_cli.suggestions import exported_storages
from extaudit_cli.text import visible
from extaudit_cli.times import TIMES

if TYPE_CHECKING:
    from extaudit_client import Client, ExtauditError

_INCOMPLETE: Final = 3
_INTERRUPTED: Final = 130
_PIPE_SECONDS: Final = 10.0
"""How long a stop waits for a write to stdout, which doesn't end where nobody reads."""


@click.command(
    cls=Command,
    epilog=f"""\b
Examples:
  extaudit events export --out evidence/ --from 2026-10-01 --to 2026-11-01
  extaudit events export --out logins.csv --type user.login
  extaudit events export --out all.jsonl.gz --receipts --parallel 8
  extaudit events export --out - --state siem.json --follow | siem-agent

Each event comes once, log by log in the order of sequences. After an interruption, even kill -9, the same command goes
on from its state; after its end it exports what has come since. --out FILE needs an ending: .jsonl, .csv, with .gz for
gzip. --out FOLDER/ gets a file for each stored batch, called FILE.partial until it is whole, and files of what is in no
batch yet.

\b
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but something is missing (each part is named), 130 stopped.

{TIMES}""",
)
@click.option("-o", "--out", required=True, metavar="FOLDER/|FILE|-", help="Where to; - is stdout.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Form of it. [default: the file's ending, or jsonl]")
@click.option("--gzip", is_flag=True, help="Compress with gzip.")
@click.option("--receipts", is_flag=True, help='Lines of JSON are {"event":…,"receipt":…}.')
@filter_options_with(SaidTimeType())
@click.option(
    "--storage",
    default="followed",
    show_default=True,
    shell_complete=exported_storages,
    help="followed, active, default, all, or a storage id.",
)
@click.option("--parallel", type=click.IntRange(1, 16), default=4, show_default=True, help="Batches read at once.")
@click.option("--follow", is_flag=True, help="Go on for ever with what comes.")
@click.option(
    "--state",
    "state_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that says how far it is. [default: in FOLDER, or beside FILE; none for -]",
)
@output_option
@connected
def command(
    client: Client,
    out: str,
    form: str | None,
    gzip: bool,
    receipts: bool,
    from_time: SaidTime | None,
    to_time: SaidTime | None,
    parallel: int,
    follow: bool,
    state_path: Path | None,
    output: str,
    **filters: Any,
) -> int:
    """Export events to files or stdout, all of them and each once."""
    place = destination(out, form, gzip=gzip, receipts=receipts, state=state_path)
    if place.form.format == "parquet" and find_spec("pyarrow") is None:
        raise click.ClickException("Parquet needs the Python package pyarrow, which isn't installed here")
    question = Question(query_from(**filters), from_time, to_time, place.form, place.layout)
    progress = Progress(quiet=output != "table")
    stop, patience = threading.Event(), _PIPE_SECONDS if place.layout == "stdout" else None
    export = ResumableExport(client, place, question, progress, parallel, _tell_lost, stop)
    try:
        outcome = interruptible(lambda: export.run(follow=follow), stop, client.close, patience)
    except StateProblem as error:
        raise click.ClickException(visible(str(error))) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        text = f"can't write {error.filename or place.path}: {error.strerror}; the same command goes on when it can"
        raise click.ClickException(visible(text)) from None
    finally:
        progress.clear()
    Summary(outcome, progress, place).tell(output)
    if outcome.interrupted:
        return _INTERRUPTED
    return _INCOMPLETE if outcome.state.gaps else 0


def _tell_lost(error: ExtauditError, seconds: float) -> None:
    click.echo(f"{one_line(error)}; trying again in {seconds:.0f} s", err=True)

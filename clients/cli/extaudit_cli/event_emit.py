"""The command `extaudit events emit`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import IO, TYPE_CHECKING

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected, one_line
from extaudit_cli.event_lines import MAX_LINE_BYTES, EventLines
from extaudit_cli.output import output_option, write_json
from extaudit_cli.text import count_text, visible

if TYPE_CHECKING:
    from extaudit_client import Acknowledgement, Client, Violation

_BATCH = 100


@dataclass
class Tally:
    """What became of the events so far; `refused` holds (line, violations)."""

    accepted: int = 0
    repeated: int = 0
    uid_reused: int = 0
    storage: str = ""
    refused: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)
    unacknowledged: list[int] = field(default_factory=list)
    without_uid: int = 0
    """How many of the unacknowledged have no uid."""

    def add(self, answer: Acknowledgement, lines: EventLines) -> None:
        """Count one acknowledgement."""
        indexes = range(answer.first_index, answer.first_index + answer.count)
        numbers = {index: lines.line_of(index) for index in indexes}
        self.refused += [(numbers[refusal.index], _pairs(refusal.violations)) for refusal in answer.refused]
        self.accepted += answer.count - len(answer.refused) - len(answer.repeated)
        self.repeated += len(answer.repeated)
        self.uid_reused += len(answer.uid_reused)
        self.storage = answer.storage or self.storage

    def close(self, lines: EventLines) -> None:
        """Count what was never sent or never acknowledged."""
        too_long = f"is longer than {MAX_LINE_BYTES} bytes"
        self.refused += [(number, [("json", too_long)]) for number in lines.too_long]
        self.refused.sort()
        self.unacknowledged = lines.remaining()
        self.without_uid = lines.remaining_without_uid()


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit events emit --sample
  extaudit events emit --file events.jsonl
  producer | extaudit events emit --file - --output json

Exit code 1 when any event was refused or isn't acknowledged. Sending events again is safe: those that carry a uid and
are stored already are counted as repeated; without a uid the service can't tell, and stores them again.""",
)
@click.option("--file", "file", type=click.File("rb"), help="JSON lines to send, one event a line; - for stdin.")
@click.option("--sample", is_flag=True, help="Send the sample events that come with this program.")
@output_option
@connected
def command(client: Client, file: IO[bytes] | None, sample: bool, output: str) -> int:
    """Store events from a file of JSON lines.

    The bytes of each line are sent as they are, without the newline; blank lines are skipped.
    """
    if (file is None) != sample:
        raise click.UsageError("give either --file or --sample")
    with _source(file) as opened:
        tally, failure = _emit(client, EventLines(opened))
    _print(tally, output)
    if failure:
        raise click.ClickException(failure)
    return 1 if tally.refused else 0


@contextmanager
def _source(file: IO[bytes] | None) -> Iterator[IO[bytes]]:
    if file is not None:
        yield file
        return
    with files("extaudit_cli").joinpath("sample-events.jsonl").open("rb") as sample:
        yield sample


def _emit(client: Client, lines: EventLines) -> tuple[Tally, str]:
    """Send every event; gives what became of them, and in one line why it ended early, empty when it didn't."""
    from extaudit_client import ExtauditError

    tally, failure = Tally(), ""
    watched = sys.stderr.isatty()
    try:
        for answer in client.emit_stream(lines, batch_size=_BATCH):
            tally.add(answer, lines)
            if watched:
                click.echo(f"\r{count_text(answer.first_index + answer.count, 'event')}", err=True, nl=False)
    except ExtauditError as error:
        failure = one_line(error)
    except OSError as error:
        failure = f"can't read the file: {error.strerror}"
    if watched:
        click.echo("\r\x1b[K", err=True, nl=False)
    tally.close(lines)
    return tally, failure


def _print(tally: Tally, output: str) -> None:
    refused = [
        {"line": line, "violations": [{"field": name, "description": text} for name, text in violations]}
        for line, violations in tally.refused
    ]
    summary = {
        "accepted": tally.accepted,
        "repeated": tally.repeated,
        "refused": len(refused),
        "unacknowledged": len(tally.unacknowledged),
        "uid_reused": tally.uid_reused,
        "storage": tally.storage,
    }
    if output == "json":
        write_json(summary | {"refused_lines": refused, "unacknowledged_lines": tally.unacknowledged})
    elif output == "jsonl":
        for entry in refused:
            write_json(entry, indent=None)
        write_json(summary, indent=None)
    else:
        _print_table(tally)


def _print_table(tally: Tally) -> None:
    for line, violations in tally.refused:
        click.echo(f"line {line}: refused: " + visible("; ".join(f"{name}: {text}" for name, text in violations)))
    if tally.unacknowledged:
        click.echo(_unacknowledged(tally.unacknowledged, tally.without_uid))
    if tally.uid_reused:
        reused = count_text(tally.uid_reused, "event")
        click.echo(f"{reused} with a uid seen before and other bytes; stored all the same")
    where = f" (storage {visible(tally.storage)})" if tally.storage else ""
    click.echo(f"{tally.accepted} accepted, {tally.repeated} repeated, {len(tally.refused)} refused{where}")


def _unacknowledged(numbers: list[int], without_uid: int) -> str:
    lines = f"line {numbers[0]}" if len(numbers) == 1 else f"lines {numbers[0]} to {numbers[-1]}"
    again = f"sent again, {without_uid} without a uid may be stored twice" if without_uid else "safe to send again"
    return f"{lines}: {count_text(len(numbers), 'event')} not acknowledged; {again}"


def _pairs(violations: tuple[Violation, ...]) -> list[tuple[str, str]]:
    return [(violation.field, violation.description) for violation in violations]

"""The command `extaudit events tail`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.colours import Paint
from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.event_filters import filter_options, query_from
from extaudit_cli.output import end_torn_line, output_option, sync_stdout
from extaudit_cli.place_file import PlaceProblem, held_place, read_place, write_place
from extaudit_cli.search_summary import describe
from extaudit_cli.suggestions import storages
from extaudit_cli.tail_printers import tail_printer
from extaudit_cli.text import visible
from extaudit_cli.times import TIMES, Time

if TYPE_CHECKING:
    from extaudit_client import Client, EventRow, ExtauditError, WatchedEvents

_INCOMPLETE = 3
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    cls=Command,
    epilog=f"""\b
Examples:
  extaudit events tail
  extaudit events tail --since -1h --type user.login
  extaudit events tail --place siem.json --since 2026-11-01 --output jsonl | to-my-siem
  extaudit events tail --place nightly.json --no-follow --output jsonl >> audit.jsonl

Events come in the order in which the service acknowledged them, each once; after an interruption it goes on by itself.
--from and --to ask for the events' own time, --since for the time the service received them. With --place FILE what
was printed is noted there, and the next run goes on behind it, whatever --since says; if it is killed between printing
and noting, it prints that last part again. --output jsonl prints the stored JSON, one event a line; --output json one
object a line with columns, receipts and the event. What can't be given is told on stderr. Exit code 3 with --no-follow
when something is missing.

{TIMES}""",
)
@click.option(
    "--since", type=Time(), help="Begin with what was received at this time; else with what comes from now on."
)
@click.option("--place", type=_FILE, help="File that keeps how far was printed; the next run goes on from there.")
@click.option("--after-place", type=_FILE, help="Begin after the place in this file, and leave the file as it is.")
@click.option("--no-follow", is_flag=True, help="End when everything that is there by then has been printed.")
@filter_options
@click.option(
    "--storage",
    default="",
    shell_complete=storages,
    help="active (the default): whichever is; default, all, or a storage id.",
)
@output_option
@connected
def command(
    client: Client,
    output: str,
    since: datetime | None,
    place: Path | None,
    after_place: Path | None,
    no_follow: bool,
    **filters: Any,
) -> int:
    """Show events as they come. All filters must hold."""
    query, paint = query_from(**filters), Paint.for_stream(sys.stderr)
    with _problems(), held_place(place) if place else nullcontext():
        after = _start(place, after_place)
        watching = client.watch(query, after=after, received_from=since, told=lambda *why: _tell(paint, *why))
        end_torn_line()
        printer, complete = tail_printer(output, client), True
        with closing(watching), _Note(place, after).kept() as note:
            for watched in watching:
                for row in watched.rows:
                    printer.rows([row])
                    note.printed(row)
                complete &= not watched.missing
                _tell_missing(paint, watched)
                note.write(watched.place)
                if no_follow and watched.caught_up:
                    break
    return 0 if complete else _INCOMPLETE


def _start(place: Path | None, after_place: Path | None) -> Mapping[str, int] | None:
    """The place to begin after: the one that is kept goes before the one that is given."""
    kept = read_place(place) if place is not None else None
    if place is not None and kept is not None:
        write_place(place, kept)  # what can't be noted isn't printed first
    if kept is not None or after_place is None:
        return kept
    given = read_place(after_place)
    if given is None:
        raise PlaceProblem(f"there is no file {after_place}")
    return given


class _Note:
    """Keeps how far was printed, if there is a file for it."""

    def __init__(self, path: Path | None, place: Mapping[str, int] | None) -> None:
        self._path = path
        self._written = self._place = None if place is None else dict(place)

    @contextmanager
    def kept(self) -> Iterator[_Note]:
        """Note what was printed last as well when a person or an error ends it in the middle of an answer."""
        from extaudit_client import ExtauditError

        try:
            yield self
        except (KeyboardInterrupt, ExtauditError):
            if self._place is not None:
                self.write(self._place)
            raise

    def printed(self, row: EventRow) -> None:
        """A row was printed. Before the first place is known nothing can be said of the other logs."""
        if self._place is not None:
            receipt = row.receipts[0]
            self._place = self._place | {receipt.log_id: receipt.sequence}

    def write(self, place: Mapping[str, int]) -> None:
        """Note that everything before the place was printed.

        Raises:
            PlaceProblem: it can't be.
        """
        self._place = dict(place)
        if self._path is not None and self._place != self._written:
            sync_stdout()
            write_place(self._path, self._place)
            self._written = self._place


def _tell(paint: Paint, error: ExtauditError, delay: float) -> None:
    paint.echo(paint(f"{visible(error.message)}; connecting again in {delay:.1f} s", "warning"), err=True)


def _tell_missing(paint: Paint, watched: WatchedEvents) -> None:
    for part in watched.missing:
        paint.echo(paint(f"INCOMPLETE: {describe(part)}", "bad"), err=True)


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except PlaceProblem as problem:
        raise click.ClickException(visible(str(problem))) from None

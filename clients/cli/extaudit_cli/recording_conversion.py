"""Writing a recording in another format: to stdout, or to a file that is there once it is whole."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from extaudit_cli.output import write_json
from extaudit_cli.recorded import RecordedEvents
from extaudit_cli.text import json_visible, visible


def write_events(events: RecordedEvents, output: str, start_ms: int) -> int:
    """Write the events from a time on to stdout as JSON lines, or as one list of JSON; gives the exit code."""
    from server.recordings.playback.formats import json_lines

    lines = (_shown(line, "jsonl") for line in json_lines(events, start_ms))
    if output == "jsonl":
        for line in lines:
            click.echo(line)
        return events.tell()
    separator = "["
    for line in lines:
        click.echo(f"{separator}{line}", nl=False)
        separator = ",\n"
    click.echo("[]" if separator == "[" else "]")
    return events.tell()


def write_converted(events: RecordedEvents, form: str, target: Path, output: str) -> int:
    """Write the events as `asciicast`, `text` or `jsonl`; gives the exit code.

    Raises:
        ClickException: the file can't be written.
    """
    lines = _lines(events, form)
    if str(target) == "-":
        for line in lines:
            click.echo(_shown(line, form))
        return events.tell()
    try:
        _write(lines, target)
    except OSError as error:
        raise click.ClickException(f"can't write the file: {error.strerror}") from None
    if output == "table":
        click.echo(f"written to {visible(str(target))}")
    else:
        write_json({"file": str(target), "format": form}, indent=2 if output == "json" else None)
    return events.tell()


def _lines(events: RecordedEvents, form: str) -> Iterator[str]:
    from server.recordings.playback import formats

    converters = {"asciicast": formats.asciicast, "text": formats.plain_text, "jsonl": formats.json_lines}
    return converters[form](events)


def _shown(line: str, form: str) -> str:
    """A line as stdout may have it: a terminal must not act on it."""
    if not sys.stdout.isatty():
        return line
    return visible(line) if form == "text" else json_visible(line)


def _write(lines: Iterator[str], target: Path) -> None:
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}."
    )  # for its owner alone, as recordings are
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise

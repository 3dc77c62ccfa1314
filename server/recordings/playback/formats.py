"""Recordings in formats that other tools read: asciicast v2, plain text with times, JSON lines."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from server.recordings.playback.descriptions import DRAWN, clock, description
from server.recordings.playback.lines import Line, LineReader
from server.recordings.playback.session_events import PRINT, Event, Moment, moments
from server.recordings.playback.terminal_filter import TerminalFilter

_USUAL_SIZE: Final = (80, 24)


def asciicast(events: Iterable[Event]) -> Iterator[str]:
    """The lines of an asciicast v2 file: a header, then output and sizes; what isn't safe for a terminal is left out.

    Source: the format's page in asciinema's manual. Terminal sessions alone have something to show.
    """
    terminal = TerminalFilter()
    begun = False
    for moment in moments(events):
        if not begun:
            begun = True
            yield _header(moment)
        elif moment.size is not None:
            yield _cast(moment.offset_ms, "r", "{}x{}".format(*moment.size))
        if moment.event.type == PRINT and (text := terminal.feed(moment.event.data)):
            yield _cast(moment.offset_ms, "o", text)
    if not begun:
        yield _header(None)


def plain_text(events: Iterable[Event], start_ms: int = 0) -> Iterator[str]:
    """Lines of text, each with its time since the session began: what was shown, and in brackets what else happened.

    What came before `start_ms` is read, as lines are made of it, and not given.
    """
    reader = LineReader()
    offset = 0
    for moment in moments(events):
        offset = moment.offset_ms
        if moment.event.type == PRINT:
            yield from _timed(reader.feed(moment.event.data, offset), start_ms)
        elif moment.event.type not in DRAWN and offset >= start_ms:
            yield f"{clock(offset)}  [{_one_line(description(moment))}]"
    yield from _timed(reader.finish(offset), start_ms)


def json_lines(events: Iterable[Event], start_ms: int = 0) -> Iterator[str]:
    """Every event from `start_ms` on as Teleport writes it in JSON, one a line; of `print` and desktop events also
    `data`, as base64."""
    for event in (moment.event for moment in moments(events) if moment.offset_ms >= start_ms):
        fields: Any = json.loads(event.json) if event.json else {"event": event.type or "unknown"}
        if event.data:
            fields = fields | {"data": base64.b64encode(event.data).decode()}
        yield json.dumps(fields, separators=(",", ":"))


def _header(first: Moment | None) -> str:
    columns, rows = (first.size if first is not None else None) or _USUAL_SIZE
    header = {"version": 2, "width": columns, "height": rows}
    if first is not None:
        header["timestamp"] = int(first.event.time.timestamp())
    return json.dumps(header)


def _cast(offset_ms: int, kind: str, data: str) -> str:
    return json.dumps([offset_ms / 1000, kind, data])


def _timed(lines: Iterable[Line], start_ms: int) -> Iterator[str]:
    return (f"{clock(line.offset_ms)}  {line.text}" for line in lines if line.offset_ms >= start_ms)


def _one_line(text: str) -> str:
    """Text with its control characters written out."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)

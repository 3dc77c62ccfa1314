"""Events as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from extaudit_cli.event_json import one_line_json
from extaudit_cli.exporting.milliseconds import received_texts

if TYPE_CHECKING:
    from extaudit_client import ExportedEvents


class JsonLinesEncoder:
    """One event a line, its stored JSON byte for byte, but for raw newlines between tokens, which become spaces.

    With receipts each line is `{"event":…,"receipt":…}`.
    """

    def __init__(self, *, receipts: bool) -> None:
        self._receipts = receipts

    def encode(self, events: ExportedEvents) -> bytes:
        """The lines of these events."""
        if not len(events):
            return b""
        if self._receipts:
            return b"".join(_lines_with_receipts(events))
        return b"\n".join([*payload_lines(events), b""])

    def finish(self) -> bytes:
        """Nothing: each line is whole."""
        return b""


def payload_lines(events: ExportedEvents) -> list[bytes]:
    """The JSON of each event in one line, without the newline."""
    found = list(events.payloads())
    if b"\n" in events.json or b"\r" in events.json:
        return list(map(one_line_json, found))
    return found


def _lines_with_receipts(events: ExportedEvents) -> Iterator[bytes]:
    """What is the same for many events is written as JSON once."""
    place = _members({"storage": events.storage, "log_id": events.log_id})
    emitters = [
        _members({"emitter": None, "peer": ""}),
        *(_members({"emitter": asdict(each.emitter), "peer": each.peer}) for each in events.emitters),
    ]
    columns = (events.sequences, events.emitter_numbers, received_texts(events))
    for line, sequence, number, received in zip(payload_lines(events), *columns, strict=True):
        time = b'"%b"' % received.encode() if received else b"null"
        receipt = b'{%b,"sequence":%d,%b,"received_time":%b}' % (place, sequence, emitters[number], time)
        yield b'{"event":%b,"receipt":%b}\n' % (line, receipt)


def _members(members: dict[str, object]) -> bytes:
    """An object's JSON without its braces."""
    return json.dumps(members, separators=(",", ":")).encode()[1:-1]

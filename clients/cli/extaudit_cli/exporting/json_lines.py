"""Events as lines of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from extaudit_cli.event_json import one_line_json
from extaudit_cli.exporting.milliseconds import time_of
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import EmitterAtPeer, ExportedEvents


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
            return b"".join(_line_with_receipt(events, index, line) for index, line in enumerate(payload_lines(events)))
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


def _line_with_receipt(events: ExportedEvents, index: int, line: bytes) -> bytes:
    received = events.received_ms[index]
    receipt = {
        "storage": events.storage,
        "log_id": events.log_id,
        "sequence": events.sequences[index],
        **_emitter(events.emitter(index)),
        "received_time": time_text(time_of(received)) if received else None,
    }
    return b'{"event":%b,"receipt":%b}\n' % (line, json.dumps(receipt, separators=(",", ":")).encode())


def _emitter(found: EmitterAtPeer | None) -> dict[str, object]:
    return {"emitter": asdict(found.emitter) if found else None, "peer": found.peer if found else ""}

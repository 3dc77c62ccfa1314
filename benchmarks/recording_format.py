"""How fast recordings are read and written, beside what their libraries alone take; prints one line of JSON for each.

The recording is 200,000 prints of about 80 bytes. The floor of reading is zlib and protobuf over the same bytes,
without limits, order or checks. The target is 100,000 events a second, of reading without JSON.
"""

from __future__ import annotations

import json
import random
import struct
import time
import zlib
from collections.abc import Callable

from extaudit.recording.v1 import recorded_event_pb2 as pb

from server.recordings.format.reader import read_recording
from server.recordings.format.recorded_event import RecordedEvent
from server.recordings.format.writer import RecordingWriter

EVENTS = 200_000
CHUNK = 1 << 16
ROUNDS = 5
TARGET = 100_000
LINES = [b"-rw-r----- 1 crane crane 18211 Nov  1 08:59 hoist.log\r\n", b"\x1b[01;32midris@crane-04\x1b[00m:~$ make\r\n"]


def written() -> bytes:
    """Write the recording."""
    chance = random.Random(1)
    writer, recording = RecordingWriter(), bytearray()
    event = pb.SessionPrint()
    event.metadata.type = "print"
    for number in range(EVENTS):
        event.data = chance.choice(LINES) + b"%d" % chance.randrange(10**9)
        event.delay_milliseconds = number * 7
        event.metadata.time.FromMilliseconds(1_794_000_000_000 + number * 7)
        recording += writer.add(event)
    return bytes(recording + writer.finish())


def read(recording: bytes, *, with_json: bool = False) -> None:
    """Read it as it would come."""
    chunks = (recording[at : at + CHUNK] for at in range(0, len(recording), CHUNK))
    for item in read_recording(chunks):
        if with_json and isinstance(item, RecordedEvent):
            _ = item.json


def floor(recording: bytes) -> None:
    """Unpack it whole and parse every record."""
    at = 0
    while at < len(recording):
        _, size, padding = struct.unpack_from(">QQQ", recording, at)
        content = zlib.decompress(recording[at + 24 : at + 24 + size], wbits=31)
        at += 24 + size + padding
        start = 0
        while start < len(content):
            (length,) = struct.unpack_from(">I", content, start)
            pb.OneOf.FromString(content[start + 4 : start + 4 + length])
            start += 4 + length


def main() -> None:
    """Measure; the runs take turns, and the best of each counts."""
    recording = written()
    runs: dict[str, Callable[[], object]] = {
        "floor": lambda: floor(recording),
        "read": lambda: read(recording),
        "read_with_json": lambda: read(recording, with_json=True),
        "write": written,
    }
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - begun)
    rates = {name: round(EVENTS / seconds) for name, seconds in best.items()}
    titles = {"read": "reading", "read_with_json": "reading, events as JSON", "write": "writing"}
    for name, title in titles.items():
        line = {"name": f"recording format, {title}", "ours_events_per_s": rates[name]}
        if name != "write":
            line["floor_unpack_and_parse_events_per_s"] = rates["floor"]
        line["target"] = f">= {TARGET}" if name == "read" else "none"
        if name == "read":
            line["met"] = rates[name] >= TARGET
        print(json.dumps(line))


if __name__ == "__main__":
    main()

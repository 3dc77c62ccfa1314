"""What an event costs in bytes, and the service in memory: the figures of docs/sizing.md.

`python -m benchmarks.sizing [EVENTS [FILE]]` streams events like those of FILE (JSON lines; the sample's if none),
each with a uid and time of its own, until they are stored, and prints a JSON line each. Events a second are what one
Python client sends; benchmarks/emit.py has the service's own.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from extaudit_client import Client
from extaudit_client.files import find_connection

from benchmarks.emit import our_server
from benchmarks.start import memory

SAMPLE = Path(__file__).parents[1] / "clients" / "cli" / "extaudit_cli" / "sample-events.jsonl"
EVENTS = 60_000
CUT_EVENTS = 20_000


def events(count: int, file: Path) -> Iterator[bytes]:
    """Events like those of a file of JSON lines, one every 100 ms."""
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    kinds = [json.loads(line) for line in file.read_text().splitlines()]
    chance = random.Random(1)
    for number, kind in zip(range(count), itertools.cycle(kinds), strict=False):
        moment = begin + timedelta(milliseconds=100 * number)
        time_text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        uid = uuid.UUID(int=chance.getrandbits(128), version=4)
        yield json.dumps(kind | {"uid": str(uid), "time": time_text}, separators=(",", ":")).encode()


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show(figure: str, value: float, unit: str, **more: Any) -> None:
    """Print one figure."""
    print(json.dumps({"benchmark": figure, "value": round(value, 3), "unit": unit} | more), flush=True)


def main(count: int, file: Path) -> None:
    """Measure, with one cut of the journal left open."""
    prepared = list(events(count, file))
    sent = sum(map(len, prepared))
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, our_server(Path(name)) as ready:
        data = Path(name) / "data"
        with Client(find_connection({}, data)) as client:
            show("memory idle, private", memory(ready["pid"])[0], "MiB")
            part = prepared[: CUT_EVENTS // 2]
            for _ in client.emit_stream(part):
                pass
            journal = folder_bytes(data / "journal") / len(part)
            show("event as sent", sent / count, "bytes")
            show("event in the journal", journal, "bytes")
            begun, peak = time.perf_counter(), 0.0
            for number, _ in enumerate(client.emit_stream(prepared[len(part) :])):
                if number % 50 == 0:
                    peak = max(peak, memory(ready["pid"])[0])
            show("events a second, one Python client", (count - len(part)) / (time.perf_counter() - begun), "1/s")
            while (rows := sum(item.rows for item in client.status().storages)) < count - CUT_EVENTS:
                peak = max(peak, memory(ready["pid"])[0])
                time.sleep(0.1)
            show("memory under load, private, highest", peak, "MiB")
            show("event in the storage", folder_bytes(data / "storage" / "events") / rows, "bytes", rows=rows)
            show("known uid of an event", folder_bytes(data / "known_uids") / rows, "bytes")


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    main(int(arguments.get(1, EVENTS)), Path(arguments.get(2, SAMPLE)))

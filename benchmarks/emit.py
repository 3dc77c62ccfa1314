"""Durable emit over mTLS beside its floors, in the same run.

Streams: 4 streams of 100-event batches against the slower of a bare discarding stream (mTLS too) and a bare append with
fdatasync that syncs as many events a time as ours did. Unary: 64 calls in flight against a bare unary handler.
`python -m benchmarks.emit` prints a JSON line each. Rounds alternate, and the medians of the rounds are compared;
between a round of ours and its floor the server comes to rest. A last line shows what is sustained with deliveries.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bare_handlers import bare_server
from benchmarks.load import BATCH, STREAMS, event

ROUNDS = 5
MESSAGES = 150
SUSTAINED_MESSAGES = 2000
UNARY_CALLS = 3000
Ready = dict[str, Any]


@contextlib.contextmanager
def our_server(folder: Path) -> Iterator[Ready]:
    """`extaudit serve` on a fresh data directory."""
    data = folder / "data"
    flags = ["--data-dir", str(data), "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    command = [str(Path(sys.executable).with_name("extaudit")), "serve", *flags, "--log-level", "warning"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while not (data / "ready.json").exists():
                if process.poll() is not None:
                    raise RuntimeError("the server did not start")
                time.sleep(0.05)
            yield json.loads((data / "ready.json").read_text())
        finally:
            process.send_signal(signal.SIGTERM)


def load(kind: str, address: str, ready: Ready, count: int, seed: str) -> float:
    """Seconds that a load takes."""
    command = [sys.executable, "-m", "benchmarks.load", kind, address, ready["ca"], ready["cert"], ready["key"]]
    done = subprocess.run([*command, str(count), seed], check=True, capture_output=True, text=True)
    return float(done.stdout)


def commit_counts(ready: Ready) -> tuple[float, float]:
    """Events and commits so far, from the server's metrics."""
    with urllib.request.urlopen(f"http://{ready['http']}/metrics") as answer:
        text = answer.read().decode()
    found = {
        name: float(value) for name, value in re.findall(r"^extaudit_commit_events_(sum|count) (\S+)$", text, re.M)
    }
    return found["sum"], found["count"]


def append_floor(folder: Path, events: int, per_commit: int) -> float:
    """Seconds to append as many events in as many syncs."""
    body = event("floor", 1) * per_commit
    fd = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    started = time.perf_counter()
    for _ in range(max(1, events // per_commit)):
        os.write(fd, body)
        os.fdatasync(fd)
    seconds = time.perf_counter() - started
    os.close(fd)
    return seconds


def settle(ready: Ready) -> None:
    """Wait until the server is at rest: a load's batches are delivered after it, and must not slow the next floor."""
    before, quiet = -1.0, 0
    while quiet < 3:
        time.sleep(0.2)
        fields = Path(f"/proc/{ready['pid']}/stat").read_text().rpartition(")")[2].split()
        now = float(fields[11]) + float(fields[12])
        quiet = quiet + 1 if now - before <= 2 else 0
        before = now


def sustained(ready: Ready, bare_port: int) -> dict[str, object]:
    """A stream so long that deliveries no longer give way to it, and set its pace once the journal is nearly full.

    Every event is of a session, which is more than any cluster has: the index of sessions follows each.
    """
    events = STREAMS * SUSTAINED_MESSAGES * BATCH
    settle(ready)
    ours = events / load("stream", ready["grpc"], ready, SUSTAINED_MESSAGES, "long")
    settle(ready)
    bare = events / load("stream", f"localhost:{bare_port}", ready, SUSTAINED_MESSAGES, "long")
    return {
        "name": "sustained stream emit, deliveries included",
        "ours_events_per_s": round(ours),
        "bare_stream_events_per_s": round(bare),
        "events": events,
        "ratio": round(ours / bare, 2),
        "target": "none; for those who size a machine",
    }


def streams(folder: Path, ready: Ready, bare_port: int) -> dict[str, object]:
    """The durable stream beside its two floors."""
    events = STREAMS * MESSAGES * BATCH
    ours, bare, append = [], [], []
    for number in range(ROUNDS):
        before = commit_counts(ready)
        ours.append(events / load("stream", ready["grpc"], ready, MESSAGES, f"s{number}"))
        after = commit_counts(ready)
        settle(ready)
        per_commit = round((after[0] - before[0]) / max(1, after[1] - before[1]))
        bare.append(events / load("stream", f"localhost:{bare_port}", ready, MESSAGES, f"b{number}"))
        append.append(events / append_floor(folder, events, per_commit))
    floor = min(statistics.median(bare), statistics.median(append))
    return {
        "name": "durable stream emit",
        "ours_events_per_s": round(statistics.median(ours)),
        "bare_stream_events_per_s": round(statistics.median(bare)),
        "bare_append_events_per_s": round(statistics.median(append)),
        "events_per_commit": per_commit,
        "ratio_to_slower_floor": round(statistics.median(ours) / floor, 2),
        "target": ">= 0.5",
        "met": statistics.median(ours) >= 0.5 * floor,
    }


def unary(ready: Ready, bare_port: int) -> dict[str, object]:
    """The durable unary call beside a bare one."""
    ours, bare = [], []
    for number in range(ROUNDS):
        ours.append(UNARY_CALLS / load("unary", ready["grpc"], ready, UNARY_CALLS, f"u{number}"))
        bare.append(UNARY_CALLS / load("unary", f"localhost:{bare_port}", ready, UNARY_CALLS, f"v{number}"))
    ratio = statistics.median(ours) / statistics.median(bare)
    return {
        "name": "durable unary emit",
        "ours_calls_per_s": round(statistics.median(ours)),
        "bare_calls_per_s": round(statistics.median(bare)),
        "ratio": round(ratio, 2),
        "target": ">= 0.7",
        "met": ratio >= 0.7,
    }


def main() -> None:
    """Print a JSON line for each figure."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name,
        our_server(Path(name)) as ready,
    ):
        identity = Path(ready["ca"]).parent
        with bare_server(identity / "server.crt", identity / "server.key", identity / "user-ca.crt") as port:
            load("stream", ready["grpc"], ready, MESSAGES, "first")
            settle(ready)
            print(json.dumps(streams(Path(name), ready, port)), flush=True)
            settle(ready)
            print(json.dumps(unary(ready, port)), flush=True)
            print(json.dumps(sustained(ready, port)), flush=True)


if __name__ == "__main__":
    main()

"""A tail: how long after its acknowledgement an event arrives at a watcher, at 5,000 events a second.

One watcher is measured; 100 others, whose filters match nothing, watch beside it. `python -m benchmarks.tail` prints a
JSON line. SECONDS of the environment sets how long it runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.emit import Ready, our_server
from benchmarks.tail_load import EVENTS_PER_SECOND, IDLE

SECONDS: Final = 20.0
TARGET_MS: Final = 250.0


def end_of_tail(kind: str, ready: Ready, seconds: float) -> subprocess.Popen[str]:
    """Start one end of the tail."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.tail_load",
        kind,
        ready["grpc"],
        ready["ca"],
        ready["cert"],
        ready["key"],
    ]
    command.append(str(seconds))
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def processor_seconds(ready: Ready) -> float:
    """What the server has used so far."""
    fields = Path(f"/proc/{ready['pid']}/stat").read_text().rpartition(")")[2].split()
    return (float(fields[11]) + float(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(ready: Ready, seconds: float) -> dict[str, object]:
    """One run."""
    with end_of_tail("watch", ready, seconds) as watcher:
        assert watcher.stderr is not None
        while watcher.stderr.readline().strip() != "ready":
            if watcher.poll() is not None:
                raise RuntimeError("the watcher ended")
        before = processor_seconds(ready)
        with end_of_tail("emit", ready, seconds) as emitter:
            acknowledged = json.loads(emitter.communicate()[0])
        arrived = json.loads(watcher.communicate()[0])
        used = processor_seconds(ready) - before
    delays = sorted(1000 * (arrived[number] - time) for number, time in acknowledged.items())
    p99 = delays[int(len(delays) * 0.99)]
    return {
        "name": "tail: from the acknowledgement of a message to the arrival of its last event",
        "ours_p99_ms": round(p99, 1),
        "ours_p50_ms": round(delays[len(delays) // 2], 1),
        "max_ms": round(delays[-1], 1),
        "events_per_s": EVENTS_PER_SECOND,
        "events": len(delays) * 100,
        "watches_beside_it": IDLE,
        "server_processors": round(used / seconds, 2),
        "target": f"p99 <= {TARGET_MS:.0f} ms",
        "met": p99 <= TARGET_MS,
    }


def main() -> None:
    """Print a JSON line."""
    seconds = float(os.environ.get("SECONDS", SECONDS))
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, our_server(Path(name)) as ready:
        print(json.dumps(measured(ready, seconds)), flush=True)


if __name__ == "__main__":
    main()

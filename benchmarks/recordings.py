"""Recordings over mTLS beside their floors, in the same run; `python -m benchmarks.recordings` prints JSON lines.

The upload of 1 GiB, until all of it is durable, against the slower of a bare stream that throws the same bytes away as
they come (mTLS too, not even decoded) and a bare write of them with an fsync at the end; beside it one whose client
asks for the digest of the whole, so that everything is hashed twice. The download of them against the slower of a bare
stream and a bare read of the file, which is in the page cache for both. Rounds alternate, and the medians are compared.
The last line uploads 2 GiB to a server that has just started and shows how much larger its memory (RSS) becomes.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bare_recordings import bare_server
from benchmarks.emit import our_server, settle

ROUNDS = 5
MEBIBYTES = 1024
LARGE_MEBIBYTES = 2048
MIB = 1024 * 1024
TARGET_MIB = 64
Ready = dict[str, Any]


def load(kind: str, address: str, ready: Ready, mebibytes: int, session: str) -> tuple[float, str]:
    """MiB a second of a load, and the upload's id."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.recording_load",
        kind,
        address,
        ready["ca"],
        ready["cert"],
        ready["key"],
    ]
    done = subprocess.run([*command, str(mebibytes), session], check=True, capture_output=True, text=True)
    seconds, _, upload_id = done.stdout.strip().partition(" ")
    return mebibytes / float(seconds), upload_id


def write_floor(path: Path) -> float:
    """MiB a second of writing as many bytes, in chunks as large, with one fsync."""
    data = os.urandom(MIB)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    started = time.perf_counter()
    for _ in range(MEBIBYTES):
        os.write(fd, data)
    os.fsync(fd)
    seconds = time.perf_counter() - started
    os.close(fd)
    return MEBIBYTES / seconds


def read_floor(path: Path) -> float:
    """MiB a second of reading the file in chunks."""
    started = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.read(MIB):
            pass
    return MEBIBYTES / (time.perf_counter() - started)


def complete(ready: Ready, upload_id: str) -> None:
    """Make an upload a recording, by the command line."""
    extaudit = str(Path(sys.executable).with_name("extaudit"))
    where = ["--address", ready["grpc"], "--ca", ready["ca"], "--cert", ready["cert"], "--key", ready["key"]]
    command = [extaudit, "recordings", "complete", upload_id, "--output", "jsonl", *where]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def transfers(folder: Path, ready: Ready, bare_port: int) -> Iterator[dict[str, object]]:
    """Upload and download beside their floors."""
    floor = folder / "floor"
    ours: dict[str, list[float]] = {"upload": [], "hashed": [], "download": []}
    bare: dict[str, list[float]] = {"upload": [], "download": []}
    disk: dict[str, list[float]] = {"upload": [], "download": []}
    for _ in range(ROUNDS):
        session = str(uuid.uuid4())
        speed, upload_id = load("upload", ready["grpc"], ready, MEBIBYTES, session)
        ours["upload"].append(speed)
        complete(ready, upload_id)
        settle(ready)
        ours["hashed"].append(load("hashed", ready["grpc"], ready, MEBIBYTES, str(uuid.uuid4()))[0])
        settle(ready)
        bare["upload"].append(load("upload", f"localhost:{bare_port}", ready, MEBIBYTES, session)[0])
        disk["upload"].append(write_floor(floor))
        ours["download"].append(load("download", ready["grpc"], ready, MEBIBYTES, session)[0])
        settle(ready)
        bare["download"].append(load("download", f"localhost:{bare_port}", ready, MEBIBYTES, session)[0])
        disk["download"].append(read_floor(floor))
    for kind, beside in (("upload", "write_and_fsync"), ("download", "read")):
        medians = [statistics.median(speeds[kind]) for speeds in (ours, bare, disk)]
        yield {
            "name": f"{kind} of {MEBIBYTES} MiB",
            "ours_mib_per_s": round(medians[0]),
            "bare_stream_mib_per_s": round(medians[1]),
            f"bare_{beside}_mib_per_s": round(medians[2]),
            "rounds_mib_per_s": [round(speed) for speed in ours[kind]],
            **with_digest(kind, ours["hashed"]),
            "ratio_to_slower_floor": round(medians[0] / min(medians[1:]), 2),
            "target": ">= 0.5",
            "met": medians[0] >= 0.5 * min(medians[1:]),
        }


def with_digest(kind: str, speeds: list[float]) -> dict[str, object]:
    """What an upload comes to whose client asks for the digest of the whole."""
    return {"with_sha256_mib_per_s": round(statistics.median(speeds))} if kind == "upload" else {}


@contextlib.contextmanager
def watched_memory(pid: int) -> Iterator[list[int]]:
    """Samples of a process's RSS in bytes, the first one from before the block."""
    samples, ended = [_rss(pid)], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            samples.append(_rss(pid))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield samples
    finally:
        ended.set()
        watching.join()


def _rss(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory(ready: Ready) -> dict[str, object]:
    """How much larger a server becomes while it takes a large recording in."""
    # What the first call of all needs isn't the large upload's.
    complete(ready, load("upload", ready["grpc"], ready, 1, str(uuid.uuid4()))[1])
    settle(ready)
    with watched_memory(ready["pid"]) as samples:
        speed, upload_id = load("upload", ready["grpc"], ready, LARGE_MEBIBYTES, str(uuid.uuid4()))
        complete(ready, upload_id)
    growth = (max(samples) - samples[0]) / MIB
    return {
        "name": f"memory of an upload of {LARGE_MEBIBYTES} MiB",
        "rss_before_mib": round(samples[0] / MIB, 1),
        "rss_highest_mib": round(max(samples) / MIB, 1),
        "ours_growth_mib": round(growth, 1),
        "mib_per_s": round(speed),
        "target": f"<= {TARGET_MIB} MiB",
        "met": growth <= TARGET_MIB,
    }


def main() -> None:
    """Print a JSON line for each figure."""
    place = os.environ.get("BENCH_DIR")
    with tempfile.TemporaryDirectory(dir=place) as name, our_server(Path(name)) as ready:
        identity = Path(ready["ca"]).parent
        with bare_server(identity / "server.crt", identity / "server.key", identity / "user-ca.crt") as port:
            for line in transfers(Path(name), ready, port):
                print(json.dumps(line), flush=True)
    with tempfile.TemporaryDirectory(dir=place) as name, our_server(Path(name)) as ready:
        print(json.dumps(memory(ready)), flush=True)


if __name__ == "__main__":
    main()

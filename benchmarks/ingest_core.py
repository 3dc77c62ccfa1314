"""The durable core without gRPC: validate, known-uid check, frame, fdatasync, in batches of 100.

Beside it the floor: appending as many bytes in as many writes and syncs. CPU time is the process's,
so that a busy machine moves it little.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

from rbac.identities import Identity, IdentityKind
from server.audit_log.cuts import CutLimits
from server.audit_log.journal.journal import Journal, new_log_id
from server.audit_log.known_uids import KnownUids, UidLimits
from server.audit_log.log_writer import LogWriter, Submission
from server.audit_log.tail import Tail
from server.audit_log.validation import Validator, joined_payloads
from server.files import DiskFiles

EVENTS = 50_000
BATCH = 100
LIMIT_US = 10.0


def sample_events(count: int) -> list[bytes]:
    """Events of about 650 bytes, each with its own uid."""
    filler = {f"field_{n}": "x" * 40 for n in range(8)}
    base = {"event": "session.data", "code": "T2006I", "user": "alice@example.com", "login": "root", "tx": 1, **filler}
    return [
        json.dumps(
            base | {"uid": f"0ca9c34b-f13b-458d-9bdf-{n:012d}", "time": "2026-11-20T10:00:00.123Z"},
            separators=(",", ":"),
        ).encode()
        for n in range(count)
    ]


def ours(folder: Path, events: list[bytes]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    emitter = Identity(IdentityKind.USER, "bench", frozenset({"importer"}))
    tail = Tail()
    journal = Journal(DiskFiles(), folder / "journal", new_log_id(), 1, "default")
    writer = LogWriter(journal, tail, KnownUids(UidLimits()), CutLimits(), on_cut=lambda: None)
    validator = Validator(b"benchmark", 2**21)
    now_ms = time.time_ns() // 1_000_000
    messages = [joined_payloads(events[start : start + BATCH]) for start in range(0, len(events), BATCH)]
    wall, cpu = time.perf_counter(), time.process_time()
    for payloads in messages:
        validated = validator.validate(payloads, emitter, now_ms)
        [answer] = writer.commit([Submission(b'["user","bench","","",""]', now_ms, validated.block)])
        assert answer.sequences, "every event is stored"
    return time.perf_counter() - wall, time.process_time() - cpu


def floor(folder: Path, events: list[bytes]) -> tuple[float, float]:
    """Wall and CPU seconds of bare appends."""
    fd = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(events), BATCH):
        os.write(fd, b"".join(events[start : start + BATCH]))
        os.fdatasync(fd)
    os.close(fd)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print one JSON line."""
    events = sample_events(EVENTS)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        ours(Path(folder), events[:BATCH])  # compiles
    runs = []
    for _ in range(3):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
            runs.append((ours(Path(folder), events), floor(Path(folder), events)))
    (wall, cpu), (floor_wall, floor_cpu) = min(runs)
    print(
        json.dumps(
            {
                "name": "durable core, batches of 100",
                "ours_us_per_event": round(wall / EVENTS * 1e6, 2),
                "ours_cpu_us_per_event": round(cpu / EVENTS * 1e6, 2),
                "floor_us_per_event": round(floor_wall / EVENTS * 1e6, 2),
                "floor_cpu_us_per_event": round(floor_cpu / EVENTS * 1e6, 2),
                "target": f"<= {LIMIT_US} us of CPU an event",
                "met": cpu / EVENTS * 1e6 <= LIMIT_US,
            }
        )
    )


if __name__ == "__main__":
    main()

"""How long a start takes and what memory an idle service holds, beside bare imports of the same libraries.

`python -m benchmarks.start` prints a JSON line each. The floor is a process that imports every library module that the
service has loaded, and nothing of ours. The directory has been started on before, and compiled code is in its cache.
Memory is what the process alone would give back (private, in smaps_rollup), and its resident set.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROUNDS = 5
SETTLE_SECONDS = 2.0
_LIST = """
import sys, sysconfig
import server.__main__, server.warming
server.warming.warm_up()
place = sysconfig.get_paths()["purelib"]
names = [name for name, module in sys.modules.items() if (getattr(module, "__file__", None) or "").startswith(place)]
print("\\n".join(names))
"""
_IMPORT = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(Exception):
        importlib.import_module(name)
print("ready", flush=True)
sys.stdin.read()
"""


def memory(pid: int) -> tuple[float, float]:
    """MiB that are private to a process, and resident."""
    found = {
        name: int(kilobytes)
        for name, kilobytes in re.findall(r"^(\w+): +(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    }
    return (found["Private_Clean"] + found["Private_Dirty"]) / 1024, found["Rss"] / 1024


def cpu(pid: int) -> float:
    """CPU seconds of a process so far: they differ less than wall time where others use the machine."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple[int, float]]:
    """The service, serving: its pid and the seconds that took."""
    ready = folder / "data" / "ready.json"
    flags = ["--data-dir", str(folder / "data"), "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    command = [str(Path(sys.executable).with_name("extaudit")), "serve", *flags, "--log-level", "error"]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError("the server did not start")
            time.sleep(0.002)
        yield process.pid, time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def imported(names: list[str]) -> Iterator[tuple[int, float]]:
    """The floor: its pid and the seconds until all is imported."""
    begun = time.perf_counter()
    command = [sys.executable, "-c", _IMPORT, *names]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise RuntimeError("the libraries can't be imported")
        yield process.pid, time.perf_counter() - begun


def main() -> None:
    """Alternate the two, and print the medians."""
    listed = subprocess.run([sys.executable, "-c", _LIST], check=True, capture_output=True, text=True)
    names = listed.stdout.split()
    ours: list[tuple[float, ...]] = []
    floor: list[tuple[float, ...]] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        with started(Path(name)):
            pass  # makes the certificates
        for _ in range(ROUNDS):
            with imported(names) as (pid, seconds):
                floor.append((seconds, cpu(pid), *memory(pid)))
            with started(Path(name)) as (pid, seconds):
                used = cpu(pid)
                time.sleep(SETTLE_SECONDS)
                ours.append((seconds, used, *memory(pid)))
    figures = (("start", "s"), ("CPU of a start", "s"), ("idle private memory", "mib"), ("idle resident memory", "mib"))
    for index, (figure, unit) in enumerate(figures):
        value, bare = (statistics.median(row[index] for row in rows) for rows in (ours, floor))
        line = {"name": figure, f"ours_{unit}": round(value, 2), f"floor_bare_imports_{unit}": round(bare, 2)}
        more = {"ratio": round(value / bare, 2), "modules": len(names), "target": "none"}
        print(json.dumps(line | more), flush=True)


if __name__ == "__main__":
    main()

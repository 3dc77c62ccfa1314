"""Run benchmarks and keep their figures in docs/performance/figures.jsonl: `python -m benchmarks.performance NAME…`.

The first line says when and on what; then come the lines that the benchmarks print, as they print them.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

FIGURES = Path(__file__).parent.parent / "docs" / "performance" / "figures.jsonl"


def machine() -> str:
    """The processor and memory, as the kernel tells them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    memory = next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    return f"{os.cpu_count()} virtual cores ({model or platform.machine()}), {int(memory) / 1024 / 1024:.0f} GiB"


def main() -> None:
    """Run each in a process of its own, one after the other."""
    today = datetime.now(UTC).date().isoformat()
    lines = [json.dumps({"date": today, "machine": machine(), "python": platform.python_version()})]
    for name in sys.argv[1:]:
        print(f"==> benchmarks/{name}.py", file=sys.stderr)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True, capture_output=True, text=True)
        print(done.stdout, end="", flush=True)
        lines += done.stdout.splitlines()
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

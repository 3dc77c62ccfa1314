"""What runs beside a benchmark, in a process of its own: a floor's server, or a sink."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def server_of(module: str, *arguments: object) -> Iterator[int]:
    """Run a module of `benchmarks` that prints its port and serves until standard input ends; gives the port."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()

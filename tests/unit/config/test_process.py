"""What the service sets for its process as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ARENAS = """
import ctypes, sys, threading
from server import process

if sys.argv[2] == "set up":
    process.set_up()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
all_here = threading.Barrier(9)

def take():
    libc.free(ctypes.c_void_p(libc.malloc(100_000)))
    all_here.wait(60)
    all_here.wait(60)

libc.malloc.restype = ctypes.c_void_p
for _ in range(8):
    threading.Thread(target=take, daemon=True).start()
all_here.wait(60)
out = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
all_here.wait(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc_info")
def test_what_one_thread_gave_back_is_soon_there_for_others(tmp_path: Path) -> None:
    counts = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    for way in ("as it is", "set up"):
        subprocess.run([sys.executable, "-c", ARENAS, tmp_path / "info", way], check=True, timeout=120, env=environment)
        counts.append((tmp_path / "info").read_text().count("<heap nr="))
    assert counts[0] > 3, "else nothing is shown"
    assert counts[1] <= 2


def test_what_it_was_begun_without_leads_nowhere() -> None:
    code = "import os; from server import process; process.set_up(); assert os.open(os.devnull, os.O_RDONLY) > 2"
    without = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    subprocess.run([*without, sys.executable, "-c", code], check=True, timeout=120)

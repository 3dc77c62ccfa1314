"""What the service sets for its process as a whole, before it has threads."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

_M_ARENA_MAX = -8
"""glibc's number of the setting."""


def set_up() -> None:
    """Set it; once, and before anything is imported that begins threads: each has its arena then already."""
    _open_standard_descriptors()
    # Events are tuples of text in no cycles: looking at them every 700 allocations took a tenth of the ingest's time.
    gc.set_threshold(50_000, 20, 50)
    # The journal's thread must not wait 5 ms (Python's default) for the loop's each time it comes back from the disk.
    sys.setswitchinterval(0.0005)
    # Else glibc gives memory back to each thread's own arena, and what one thread freed isn't used by the next: an
    # upload of 2 GiB made the process larger by up to 105 MiB with three arenas, once by 295. With two it is 38 to 60;
    # with one searches waited for one another's memory.
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_ARENA_MAX, 2)


def _open_standard_descriptors() -> None:
    """Have each of 0, 1 and 2 lead somewhere, as where the process was begun with one closed.

    The next file or socket would else have its number: libraries print there, and libuv aborts when it closes one.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # has the lowest number that is free


def let_go_of_lost_output() -> None:
    """Point output that can't be written any more, as to a terminal that was closed, to nowhere; at the process's end.

    Python would else try once more after `sys.exit`, and end with 120 whatever the exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # as where the process was begun without it
                stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)

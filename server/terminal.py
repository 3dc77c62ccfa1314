"""The terminal that the process was started in, if it was."""

from __future__ import annotations

import os


class Terminal:
    """Tells whether it has gone: a SIGHUP then means that its window was closed."""

    def __init__(self) -> None:
        self._was_there = _is_there()

    def is_gone(self) -> bool:
        """Whether there was one, and is no more."""
        return self._was_there and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True

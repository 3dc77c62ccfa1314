"""One emitter for each folder: two would send everything twice and cut each other's files."""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path

from extaudit_client.spool.errors import SpoolInUse


class FolderLock:
    """Held until it is released or the process ends. A process forked from it holds nothing.

    Raises:
        SpoolInUse: another emitter, of this process or of another, has it.
    """

    def __init__(self, folder: Path) -> None:
        import fcntl  # which only POSIX has; the rest of the client runs without

        self._fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise SpoolInUse(f"another emitter uses the spool {folder}") from None
        # A child has the descriptor too, and would hold the lock for as long as it lives.
        mine = weakref.WeakMethod(self._close)
        os.register_at_fork(after_in_child=lambda: (close := mine()) and close())

    def release(self) -> None:
        """Let the next one have it."""
        import fcntl

        if self._fd >= 0:
            # Also where a child was made that took no notice of the fork, such as one of C code.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

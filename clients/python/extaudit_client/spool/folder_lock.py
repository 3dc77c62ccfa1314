"""One emitter for each folder: two would send everything twice and cut each other's files."""

from __future__ import annotations

import os
from pathlib import Path

from extaudit_client.spool.errors import SpoolInUse


class FolderLock:
    """Held until it is released or the process ends.

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

    def release(self) -> None:
        """Let the next one have it."""
        os.close(self._fd)

"""The storages that recordings are in: an upload stays in the one that was active when it began."""

from __future__ import annotations

import threading
from collections.abc import Callable

from server.storage.recording_port import RecordingStorage


class RecordingStorages:
    """Storages by id, opened when first asked for, and kept. Safe to use from any thread."""

    def __init__(
        self,
        default: RecordingStorage,
        open_other: Callable[[str], RecordingStorage],
        active: Callable[[], str],
    ) -> None:
        """`open_other` raises StorageError where nothing says where a storage is; `active` gives the id of the one that
        new uploads go to."""
        self.default = default
        """The embedded one, which is always there."""
        self._open_other = open_other
        self._active = active
        self._lock = threading.Lock()
        self._opened = {default.storage_id: default}

    def of(self, storage_id: str) -> RecordingStorage:
        """The storage with this id. Connects to nothing.

        Raises:
            StorageError: nothing says where it is.
        """
        with self._lock:
            if storage_id not in self._opened:
                self._opened[storage_id] = self._open_other(storage_id)
            return self._opened[storage_id]

    @property
    def active(self) -> RecordingStorage:
        """The one that new uploads go to. StorageError as of `of`."""
        return self.of(self._active())

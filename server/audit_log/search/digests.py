"""Digests: whether our own objects still have the bytes that were stored, looked at once for each state of a file."""

from __future__ import annotations

import hashlib
import os

from server.audit_log.storages import Storages
from server.regular_files import open_regular
from server.state.catalogue_rows import CatalogueObject

FileState = tuple[int, int, int]
"""Inode, size and change time."""


class ObjectDigests:
    """Compares objects with the digests in their batch records. Safe to use from several threads.

    Parquet has no checksum that readers look at, so a changed bit can be a changed event. Hashing costs about as much
    as the first search that reads the object, and nothing after that until the file changes.
    """

    def __init__(self, storages: Storages) -> None:
        self._storages = storages
        self._known: dict[str, tuple[FileState, bool]] = {}

    def is_intact(self, object_: CatalogueObject) -> bool:
        """Whether the object has the bytes that were stored; always true of foreign ones, whose digest
        nobody knows, and of what a storage compared when it fetched it."""
        if object_.is_foreign or self._storages.of(object_.storage).compares_digests:
            return True
        try:
            state = self.state_of(object_)
            known = self._known.get(object_.key)
            if known is None or known[0] != state:
                with open(self._storages.path_of(object_), "rb", opener=open_regular) as file:
                    known = state, hashlib.file_digest(file, "sha256").hexdigest() == object_.sha256
                self._known[object_.key] = known
        except OSError:
            return False
        return known[1]

    def state_of(self, object_: CatalogueObject) -> FileState:
        """What changes when its bytes do; OSError if it can't be told."""
        return _state(self._storages.path_of(object_))

    def learn(self, object_: CatalogueObject, state: FileState, *, intact: bool) -> None:
        """Take over what a reading of the object came to that began in this state."""
        self._known[object_.key] = state, intact


def _state(path: str) -> FileState:
    """What changes when a file's bytes do; its modification time alone can be set back."""
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_ctime_ns

"""Faults of the disk, in words that name no path."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from server.storage.ports import StorageError
from server.storage.recording_port import StorageFull


def fault(text: str, error: OSError) -> StorageError:
    """What is raised for an OSError: says `text` and what the fault is."""
    kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
    return kind(f"{text} ({error.strerror or 'unknown fault'})")


@contextlib.contextmanager
def in_own_words(text: str) -> Iterator[None]:
    """Turn an OSError into its fault."""
    try:
        yield
    except OSError as error:
        raise fault(text, error) from error

"""Where what blocks is done: on threads for this machine alone, or on those that may wait for another service."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from server.audit_log.storages import DEFAULT


@dataclass(frozen=True, slots=True)
class RecordingThreads:
    """The threads of recordings. One that waits for a bucket takes none from uploads, nor from the default storage."""

    local: Executor
    """For the disk, the state database and the processor. Every upload is written on them until its end."""
    remote: Executor
    """For what is asked of External Audit Storages: reading them, ending uploads to them."""

    def of(self, storage_id: str) -> Executor:
        """For reading a storage, and for ending uploads to it."""
        return self.local if storage_id == DEFAULT else self.remote

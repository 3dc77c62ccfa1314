"""Settling: uploads to storages beyond a network are ended as was decided, beside everything else.

A start can't wait for what may be away, and whoever completed an upload may have given up before the storage was back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from server.errors import AuditStoreError
from server.recordings.storages import RecordingStorages
from server.recordings.uploads.ending import Endings
from server.recordings.uploads.recovery import end_again, recall_missing
from server.recordings.uploads.uploads import Uploads
from server.state.database import StateFault
from server.state.uploads import SqlUploads
from server.storage.ports import StorageError

_log = logging.getLogger(__name__)
LOOK_SECONDS = 60.0
"""Between two looks."""


class Settling:
    """Looks at the uploads of every storage but the default one. Lives on the event loop."""

    def __init__(
        self,
        uploads: Uploads,
        store: SqlUploads,
        storages: RecordingStorages,
        others: Callable[[], Iterable[str]],
        endings: Endings,
        threads: Executor,
    ) -> None:
        """`others` gives the ids of the storages beside the default one."""
        self._uploads = uploads
        self._store = store
        self._storages = storages
        self._others = others
        self._endings = endings
        self._threads = threads
        self._recalled: set[str] = set()
        self._told: set[str] = set()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Make `run` return once what is under way is done."""
        self._stopped.set()

    async def run(self) -> None:
        """Settle until `stop`."""
        while not self._stopped.is_set():
            await self.look()
            try:
                await asyncio.wait_for(self._stopped.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Settle what can be settled now."""
        loop = asyncio.get_running_loop()
        try:
            for storage_id in await loop.run_in_executor(self._threads, lambda: sorted(self._others())):
                await self._settle(storage_id)
        except (StorageError, StateFault):
            _log.warning("the state database can't tell what uploads are to be settled")

    async def _settle(self, storage_id: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            for key in await loop.run_in_executor(self._threads, self._decided, storage_id):
                if not self._stopped.is_set():
                    await self._uploads.settle(key)
            if storage_id not in self._recalled:
                storage = self._storages.of(storage_id)
                await loop.run_in_executor(self._threads, recall_missing, self._store, storage, self._uploads.is_of)
                self._recalled.add(storage_id)
            self._told.discard(storage_id)
        except (AuditStoreError, StorageError, StateFault) as error:
            if storage_id not in self._told:  # once: one that is gone for good is tried as long as it is known
                self._told.add(storage_id)
                reason = str(error) if not isinstance(error, StateFault) else "the state database can't be used"
                fields = {"storage": storage_id, "reason": reason}
                _log.warning("uploads to a storage can't be settled now", extra={"fields": fields})

    def _decided(self, storage_id: str) -> list[str]:
        """Keys of open uploads whose end was decided. What the storage has as ended already is ended here."""
        storage = self._storages.of(storage_id)
        rows = [row for row in self._store.open() if row.storage == storage_id]
        keys = {found.key for found in storage.uploads()}  # looked at last: an upload that begins is here first
        if storage_id not in self._recalled:
            for row in rows:
                if row.key not in keys:
                    end_again(row, self._endings)
        return [row.key for row in rows if row.key in keys and self._endings.is_decided(row)]

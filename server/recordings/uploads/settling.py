"""Settling: uploads to storages beyond a network are ended as was decided, beside everything else.

A start can't wait for what may be away, and whoever completed an upload may have given up before the storage was back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from server.errors import AuditStoreError
from server.observability.alerts.alerts import Alerts
from server.recordings.storages import RecordingStorages
from server.recordings.threads import RecordingThreads
from server.recordings.uploads.ending import Endings
from server.recordings.uploads.recovery import end_again, recall_missing
from server.recordings.uploads.uploads import Uploads
from server.state.database import StateFault
from server.state.uploads import SqlUploads, UploadRow
from server.storage.ports import StorageError

_log = logging.getLogger(__name__)
LOOK_SECONDS = 60.0
"""Between two looks."""
NOT_SENT = "recording-not-sent"
"""The alert for recordings that couldn't be ended in two looks."""
_IN_A_ROW = 4
"""Recordings of one storage that fail one after the other before a look gives up: each may take minutes to."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Recordings that are complete and couldn't be brought to their storage."""

    recordings: int
    bytes: int
    since_ms: int
    """When the one that waits longest was last written to, in ms since 1970."""


class Settling:
    """Looks at the uploads of every storage but the default one. Lives on the event loop."""

    def __init__(
        self,
        uploads: Uploads,
        store: SqlUploads,
        storages: RecordingStorages,
        others: Callable[[], Iterable[str]],
        endings: Endings,
        threads: RecordingThreads,
        alerts: Alerts | None = None,
    ) -> None:
        """`others` gives the ids of the storages beside the default one."""
        self._uploads = uploads
        self._store = store
        self._storages = storages
        self._others = others
        self._endings = endings
        self._threads = threads
        self._alerts = alerts or Alerts()
        self._looks = 0
        self._tried: dict[str, int] = {}
        """By key, the look that last tried to end an upload and couldn't."""
        self._waiting: dict[str, Waiting] = {}
        self._taken_up: set[str] = set()
        """Storages of which no upload that the state has as open had ended."""
        self._recalled: set[str] = set()
        self._told: set[str] = set()
        self._stopped = asyncio.Event()

    @property
    def waiting(self) -> Mapping[str, Waiting]:
        """What waits of each storage of which something does, as of the last look."""
        return dict(self._waiting)

    def stop(self) -> None:
        """Make `run` return once what is under way is done."""
        self._stopped.set()

    async def run(self) -> None:
        """Settle until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            # Beside each other: others can have put so many custody records there that to read them takes hours.
            tasks.create_task(self._again_and_again(self._end_all))
            tasks.create_task(self._again_and_again(self._recall_all))

    async def _again_and_again(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self._stopped.is_set():
            await work()
            try:
                await asyncio.wait_for(self._stopped.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Settle what can be settled now."""
        await self._end_all()
        await self._recall_all()

    async def _end_all(self) -> None:
        """End what was decided, and what the state has as open wrongly."""
        loop = asyncio.get_running_loop()
        self._looks += 1
        for storage_id in await self._others_now():
            try:
                threads = self._threads.of(storage_id)
                await self._end(storage_id, await loop.run_in_executor(threads, self._decided, storage_id))
            except (StorageError, StateFault) as error:
                self._tell(storage_id, _reason(error))
            else:
                if storage_id not in self._waiting:
                    self._told.discard(storage_id)

    async def _recall_all(self) -> None:
        """Have the state know again what it lost, of one storage after the other."""
        loop = asyncio.get_running_loop()
        for storage_id in await self._others_now():
            if storage_id in self._recalled or self._stopped.is_set():
                continue
            try:
                storage, threads = self._storages.of(storage_id), self._threads.of(storage_id)
                await loop.run_in_executor(threads, recall_missing, self._store, storage, self._endings.is_own)
            except (StorageError, StateFault) as error:
                self._tell(storage_id, _reason(error))
            else:
                self._recalled.add(storage_id)

    async def _others_now(self) -> Sequence[str]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads.local, lambda: sorted(self._others()))
        except (StorageError, StateFault):
            _log.warning("the state database can't tell what uploads are to be settled")
            return ()

    async def _end(self, storage_id: str, decided: Sequence[UploadRow]) -> None:
        """End what can be ended. One that can't holds up none behind it: those that were tried last are tried last."""
        left = {row.key: row for row in decided}
        failed_again, in_a_row, reason = False, 0, ""
        for row in sorted(decided, key=lambda row: self._tried.get(row.key, 0)):
            if self._stopped.is_set() or in_a_row == _IN_A_ROW:
                break
            try:
                await self._uploads.settle(row.key)
            except Exception as error:
                if not isinstance(error, AuditStoreError):
                    _log.exception("an upload can't be settled")
                reason = str(error) if isinstance(error, AuditStoreError) else "a fault of the service"
                in_a_row += 1
                failed_again = failed_again or row.key in self._tried
                self._tried[row.key] = self._looks
            else:
                in_a_row = 0
                del left[row.key]
                self._tried.pop(row.key, None)
        self._account(storage_id, list(left.values()), reason, failed_again=failed_again)

    def _account(self, storage_id: str, left: Sequence[UploadRow], reason: str, *, failed_again: bool) -> None:
        if not left:
            self._waiting.pop(storage_id, None)
            self._alerts.clear_standing(storage_id, NOT_SENT)
            return
        size = sum(row.bytes for row in left)
        self._waiting[storage_id] = Waiting(len(left), size, min(row.touched_ms for row in left))
        if reason:
            self._tell(storage_id, reason)
        if failed_again:
            text = f"{len(left)} of them, {size} bytes; the last error: {reason}"
            self._alerts.raise_standing(storage_id, NOT_SENT, text)

    def _tell(self, storage_id: str, reason: str) -> None:
        if storage_id not in self._told and not self._stopped.is_set():
            # Once: one that is gone for good is tried as long as it is known.
            self._told.add(storage_id)
            fields = {"storage": storage_id, "reason": reason}
            _log.warning("uploads to a storage can't be settled now", extra={"fields": fields})

    def _decided(self, storage_id: str) -> list[UploadRow]:
        """Open uploads whose end was decided. What the storage has as ended already is ended here."""
        storage = self._storages.of(storage_id)
        rows = [row for row in self._store.open() if row.storage == storage_id]
        keys = {found.key for found in storage.uploads()}  # looked at last: an upload that begins is here first
        if storage_id not in self._taken_up:
            for row in rows:
                if row.key not in keys:
                    end_again(row, self._endings)
            self._taken_up.add(storage_id)
        return [row for row in rows if row.key in keys and self._is_decided(row)]

    def _is_decided(self, row: UploadRow) -> bool:
        try:
            return self._endings.is_decided(row)
        except StorageError as error:  # it is looked at again, and the others meanwhile
            _log.warning("whether an upload is complete can't be told now", extra={"fields": {"reason": str(error)}})
            return False


def _reason(error: StorageError | StateFault) -> str:
    return str(error) if isinstance(error, StorageError) else "the state database can't be used"

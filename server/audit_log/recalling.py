"""Recalling: the catalogue learns what is in external storages, beside everything else and as often as it takes.

What was delivered is known already. This is for what the state lost, or a backup of it doesn't have. Others can write
to such a storage: a batch record is taken only with its proof, and for sequences that a log of ours has given and that
nobody has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import Executor
from threading import Lock

from server.audit_log.cuts import Cut
from server.audit_log.journal.journal import Journal
from server.audit_log.rebuilding import RECALLED_AT_ONCE, Recalled, RecordsUnread, recall
from server.audit_log.record_proof import RecordProofs
from server.audit_log.storages import Storages
from server.audit_log.tail import Tail
from server.data_directory import DataDirectoryProblem
from server.state.catalogue import Catalogue
from server.state.database import StateFault
from server.storage.ports import StorageError

_log = logging.getLogger(__name__)
RETRY_SECONDS = 60.0


class Recalling:
    """Reads the batch records of every storage but the default one, once; some at a time. Lives on the event loop, and
    `look_back` on any thread."""

    def __init__(
        self,
        storages: Storages,
        catalogue: Catalogue,
        tail: Tail,
        journal: Journal,
        proofs: RecordProofs,
        thread: Executor,
    ) -> None:
        self._storages = storages
        self._catalogue = catalogue
        self._tail = tail
        self._journal = journal
        self._proofs = proofs
        self._given_before = journal.next_sequence - 1
        """What the log had given when it was opened: all of it is stored, lost, or in the tail."""
        self._thread = thread
        self._looked_back: set[str] = set()
        """Storages of which what can be read has been read for a delivery."""
        self._reading: dict[str, Lock] = {}
        """By storage, held by who reads it: two would take for a stranger's what the other one adds."""
        self._under_way: set[str] = set()
        self._told: set[str] = set()
        self._reached: dict[str, str] = {}
        """By storage, behind which name the next pass goes on: the one before it was full of what nobody can read."""
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Look for storages that were added."""
        self._wake.set()

    def stop(self) -> None:
        """Make `run` return once what is under way is done."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Recall until `stop`."""
        places = asyncio.Semaphore(RECALLED_AT_ONCE)  # those who read batches have threads left
        async with asyncio.TaskGroup() as tasks:
            while not self._stopping:
                self._wake.clear()
                waiting = self._storages.unread
                for storage_id in sorted(waiting - self._under_way):
                    self._under_way.add(storage_id)
                    tasks.create_task(self._recall_in_turn(storage_id, places))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), RETRY_SECONDS if waiting else None)

    def admits(self, log_id: str, first: int, last: int) -> bool:
        """Whether sequences that are in no known batch can be in one: of a log of ours, given, and not in the tail.

        Raises:
            StorageError: there is a stop to come, which a bucket full of records would hold up.
        """
        if self._stopping:
            raise StorageError("the service is stopping")
        pins, ends = self._tail.pin_with_ends()
        holes = {log for log, _, _ in self._catalogue.holes()}
        if log_id == self._journal.log_id:
            # Not what the journal has given since: there it is before it is in the tail, and as long in no pin.
            if last > max(self._given_before, ends.get(log_id, 0)):
                return False
        elif log_id not in ends and log_id not in holes and log_id not in self._catalogue.confirmed():
            return False
        sections = (pin for pin in pins if pin.section.log_id == log_id)
        return not any(pin.section.first <= last and first <= max(pin.last, pin.section.first) for pin in sections)

    def look_back(self, cut: Cut) -> None:
        """Read the batch's storage once where a record in it that the catalogue doesn't know may be the one that the
        batch's own has to name: while something before it seems lost. A storage that can't be read holds up no
        delivery. Blocks; safe to call from any thread.

        Raises:
            StorageError: the service is stopping.
        """
        storage_id = cut.storage
        if storage_id in self._looked_back or storage_id not in self._storages.unread:
            return
        if not any(log_id == cut.log_id and first < cut.first for log_id, first, _ in self._catalogue.holes()):
            return
        try:
            self._read(storage_id)
        except RecordsUnread:
            pass  # another time there would be as many
        except (StorageError, StateFault, DataDirectoryProblem):
            if self._stopping:
                raise
            return
        self._looked_back.add(storage_id)

    def _read(self, storage_id: str, after: str = "") -> Recalled:
        with self._reading.setdefault(storage_id, Lock()):
            return recall(self._storages.of(storage_id), self._catalogue, self.admits, self._proofs, after)

    async def _recall_in_turn(self, storage_id: str, places: asyncio.Semaphore) -> None:
        try:
            async with places:
                await self._recall(storage_id)
        finally:
            self._under_way.discard(storage_id)

    async def _recall(self, storage_id: str) -> None:
        if self._stopping:
            return
        loop, after = asyncio.get_running_loop(), self._reached.pop(storage_id, "")
        try:
            added, refused, unproven, diverted = await loop.run_in_executor(self._thread, self._read, storage_id, after)
        except (StorageError, StateFault, DataDirectoryProblem) as error:
            self._reached[storage_id] = error.reached if isinstance(error, RecordsUnread) else after
            reason = str(error) if not isinstance(error, StateFault) else "the state database can't be used"
            fields = {"storage": storage_id, "reason": reason}
            if (
                storage_id not in self._told and not self._stopping
            ):  # once: a storage that is gone for good is tried as long as it is known
                self._told.add(storage_id)
                _log.warning("what is in a storage can't be compared with the catalogue now", extra={"fields": fields})
            return
        if not after:  # else it begins anew: what was passed over is tried once more
            self._storages.was_read(storage_id)
        if refused:
            text = "batch records in a storage are of sequences that it can't have; who wrote them?"
            _log.error(text, extra={"fields": {"storage": storage_id, "records": str(refused)}})
        if unproven:
            text = "batch records in a storage have no proof of this service: others wrote them, or its key is lost"
            _log.error(text, extra={"fields": {"storage": storage_id, "records": str(unproven)}})
        if diverted:
            text = "batches that were diverted from a storage are there as well; they came late, and count no more"
            _log.warning(text, extra={"fields": {"storage": storage_id, "batches": str(diverted)}})
        if added:
            text = "the catalogue didn't know all batches of a storage; it does now"
            _log.warning(text, extra={"fields": {"storage": storage_id, "batches": str(added)}})

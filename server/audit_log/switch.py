"""The switch: from a point of the journal on, events belong to another storage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from server.audit_log.deliveries_by_storage import DeliveriesByStorage
from server.audit_log.log_writer import LogWriter
from server.audit_log.storages import Storages
from server.errors import Unavailable
from server.storage.ports import EventStorage, StorageError

_log = logging.getLogger(__name__)


class JournalSwitch:
    """Switches while events come in: on the journal's thread, between two commits. Lives on the event loop."""

    def __init__(
        self,
        writer: LogWriter,
        journal_thread: Executor,
        storages: Storages,
        deliveries: DeliveriesByStorage,
        open_storage: Callable[[str], EventStorage],
        on_new: Callable[[], None] = lambda: None,
        before: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`open_storage` finds a storage that isn't known yet, or raises StorageError; `on_new` is told of one.

        `before` brings the journal what still belongs to the storage that was active. It raises nothing: that it can't
        must not keep events from going elsewhere.
        """
        self._writer = writer
        self._journal_thread = journal_thread
        self._storages = storages
        self._deliveries = deliveries
        self._open_storage = open_storage
        self._on_new = on_new
        self._bring_last = before

    def problem(self) -> str:
        """Why no storage but the default one can take events; '' if one can."""
        return ""

    async def to(self, storage_id: str) -> None:
        """Have new events go to the storage of this id.

        Raises:
            Unavailable: nothing says where it is, or the journal can't be written; events go where they went.
        """
        await self._know(storage_id)
        before = self._storages.active
        if storage_id != before and self._bring_last is not None:
            await self._bring_last()
        await asyncio.get_running_loop().run_in_executor(self._journal_thread, lambda: self._writer.switch(storage_id))
        if storage_id != before:
            _log.info("new events go to another storage", extra={"fields": {"storage": storage_id, "before": before}})
            if before in self._storages.ids():  # the journal may name one that the state has lost
                await asyncio.to_thread(self._storages.of(before).forget_copies)

    async def _know(self, storage_id: str) -> None:
        """Know the storage before the first event of it is taken, so that every answer can count it."""
        if storage_id not in self._storages.ids():
            try:
                storage = await asyncio.to_thread(self._open_storage, storage_id)
            except StorageError as error:
                raise Unavailable(str(error), retry_after=5.0) from error
            self._storages.add(storage)
            self._on_new()
        self._deliveries.add(self._storages.of(storage_id))

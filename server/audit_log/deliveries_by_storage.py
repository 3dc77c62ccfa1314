"""Deliveries to several storages at once, each by itself: one that fails holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from server.audit_log.deliveries import Deliveries
from server.storage.ports import EventStorage


class DeliveriesByStorage:
    """Runs the deliveries of every known storage. Lives on the event loop."""

    def __init__(self, make: Callable[[EventStorage], Deliveries]) -> None:
        self._make = make
        self._by_storage: dict[str, Deliveries] = {}
        self._group: asyncio.TaskGroup | None = None
        self._stopped = asyncio.Event()

    def add(self, storage: EventStorage) -> None:
        """Deliver to one more storage from now on; to one that is known already its deliveries go on."""
        if storage.storage_id in self._by_storage:
            return
        deliveries = self._by_storage[storage.storage_id] = self._make(storage)
        if self._group is not None and not self._stopped.is_set():
            self._group.create_task(deliveries.run())

    def wake(self) -> None:
        """Look for cut sections; called on the loop."""
        for deliveries in self._by_storage.values():
            deliveries.wake()

    def diverted(self, storage_id: str) -> None:
        """Nothing waits for this storage any more, and something for another one; called on the loop."""
        if storage_id in self._by_storage:
            self._by_storage[storage_id].diverted()
        self.wake()

    def stop(self) -> None:
        """Make `run` return once what is under way is done. What is not delivered stays in the journal."""
        self._stopped.set()
        for deliveries in self._by_storage.values():
            deliveries.stop()

    async def run(self) -> None:
        """Deliver until `stop`."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for deliveries in self._by_storage.values():
                group.create_task(deliveries.run())
            await self._stopped.wait()

    def is_failing(self) -> bool:
        """Whether one of the storages can't be delivered to for longer than is borne."""
        return any(deliveries.is_failing for deliveries in self._by_storage.values())

    def errors(self) -> Mapping[str, str]:
        """Of each storage that can't be delivered to now why, in our own words."""
        found = {storage_id: deliveries.last_error for storage_id, deliveries in self._by_storage.items()}
        return {storage_id: error for storage_id, error in found.items() if error}

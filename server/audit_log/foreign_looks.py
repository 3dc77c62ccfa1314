"""Looking for foreign objects in each of the storages."""

from __future__ import annotations

from collections.abc import Callable, Collection

from server.audit_log.foreign import ForeignObjects
from server.audit_log.storages import Storages
from server.state.catalogue import Catalogue
from server.storage.ports import EventStorage


class ForeignLooks:
    """Keeps the catalogue's foreign objects in step with the storages. Safe to use from several threads."""

    def __init__(
        self, storages: Storages, catalogue: Catalogue, pending: Callable[[], Collection[tuple[str, int]]]
    ) -> None:
        self._storages = storages
        self._catalogue = catalogue
        self._pending = pending
        self._looks: dict[str, ForeignObjects] = {}

    def refresh(
        self, from_ms: int | None = None, to_ms: int | None = None, storages: Collection[str] | None = None
    ) -> None:
        """Look at the dates of [from_ms, to_ms) in these storages, or in all; see ForeignObjects.refresh.

        Raises:
            StorageError: a storage can't be listed.
        """
        for storage in self._storages.all():
            if storage.finds_foreign and (storages is None or storage.storage_id in storages):
                self._look_at(storage).refresh(from_ms, to_ms)

    def _look_at(self, storage: EventStorage) -> ForeignObjects:
        look = self._looks.get(storage.storage_id)
        if look is None:
            new = ForeignObjects(storage, self._catalogue, self._pending)
            look = self._looks.setdefault(storage.storage_id, new)
        return look

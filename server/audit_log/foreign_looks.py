"""Looking for foreign objects in each of the storages."""

from __future__ import annotations

from collections.abc import Callable, Collection

from server.audit_log.foreign import ForeignObjects
from server.audit_log.storages import Storages
from server.state.catalogue import Catalogue


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
                new = ForeignObjects(storage, self._catalogue, self._pending)
                self._looks.setdefault(storage.storage_id, new).refresh(from_ms, to_ms)

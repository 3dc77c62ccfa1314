"""Looking for foreign objects in each of the storages, and for objects of ours that others removed or changed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

from server.audit_log.bucket_dates import BucketDates, DateLook
from server.audit_log.bucket_looks import BucketLooks, Freshness, Looked
from server.audit_log.foreign import ForeignObjects
from server.audit_log.retention import Retention
from server.audit_log.storages import Storages
from server.observability.alerts.alerts import Alerts
from server.state.catalogue import Catalogue
from server.storage.ports import EventStorage

_THREADS = 16


class ForeignLooks:
    """Keeps the catalogue's foreign objects in step with the storages. Safe to use from several threads."""

    def __init__(
        self,
        storages: Storages,
        catalogue: Catalogue,
        pending: Callable[[], Collection[tuple[str, int, int]]],
        alerts: Alerts | None = None,
        freshness: Freshness | None = None,
        retention: Retention | None = None,
    ) -> None:
        """`alerts` are told of objects of ours that are gone or changed; `freshness` is how old looks may be."""
        self._storages = storages
        self._catalogue = catalogue
        self._pending = pending
        self._alerts = alerts or Alerts()
        self._freshness = freshness or Freshness()
        self._retention = retention or Retention(storages, catalogue)
        self._looks: dict[str, ForeignObjects] = {}
        self._bucket_looks: dict[str, BucketLooks] = {}
        self._threads: list[ThreadPoolExecutor] = []

    def refresh(
        self,
        from_ms: int | None = None,
        to_ms: int | None = None,
        storages: Collection[str] | None = None,
        deadline: float | None = None,
    ) -> Looked:
        """Look at the dates of [from_ms, to_ms) in these storages, or in all; see ForeignObjects and BucketLooks.

        Raises:
            StorageError: a storage can't be listed that is on this machine.
        """
        looked = Looked()
        for storage in self._storages.all():
            if storages is not None and storage.storage_id not in storages:
                continue
            if storage.keeps_versions:
                self._into_bucket(storage).refresh(from_ms, to_ms, deadline, looked)
            else:
                self._into_folder(storage).refresh(from_ms, to_ms)
        return looked

    def refresh_all(self, go_on: Callable[[], object]) -> Looked:
        """Look at every date of all storages, however long it takes; `go_on` is called often, and may raise.

        Raises:
            StorageError: a storage can't be listed that is on this machine.
        """
        looked = Looked()
        for storage in self._storages.all():
            if storage.keeps_versions:
                self._into_bucket(storage).refresh_all(go_on, looked)
            else:
                self._into_folder(storage).refresh(None, None)
        return looked

    def look(self, storage: EventStorage, date: str) -> DateLook:
        """Look at one date of a storage that keeps versions, unless that was done just now.

        Raises:
            StorageError: it can't be listed now.
        """
        return self._into_bucket(storage).look(date)

    def has_alert(self, storage_id: str, name: str) -> bool:
        """Whether an alert stands as looks found an object of ours gone or changed."""
        looks = self._bucket_looks.get(storage_id)
        return looks is not None and looks.has_alert(name)

    def close(self) -> None:
        """Begin no more looks: a stop would wait for all that were asked for of a bucket that doesn't answer."""
        for threads in self._threads:
            threads.shutdown(wait=False, cancel_futures=True)

    def _into_folder(self, storage: EventStorage) -> ForeignObjects:
        look = self._looks.get(storage.storage_id)
        if look is None:
            new = ForeignObjects(storage, self._catalogue, self._pending)
            look = self._looks.setdefault(storage.storage_id, new)
        return look

    def _into_bucket(self, storage: EventStorage) -> BucketLooks:
        look = self._bucket_looks.get(storage.storage_id)
        if look is None:
            dates = BucketDates(storage, self._catalogue, self._pending, self._retention)
            threads = ThreadPoolExecutor(_THREADS, "looking")  # of its own: one that hangs holds up no other
            self._threads.append(threads)
            new = BucketLooks(storage, self._catalogue, dates, threads, self._alerts, self._freshness)
            look = self._bucket_looks.setdefault(storage.storage_id, new)
        return look

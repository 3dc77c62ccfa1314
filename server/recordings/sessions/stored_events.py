"""The events of sessions in stored batches and in foreign objects, for an index that hasn't followed them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from server.audit_log.search.candidates import StoredRead
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.search.origins import ObjectOrigin, Origins
from server.audit_log.storages import Storages
from server.recordings.sessions.session_events import SESSION_TYPES, SessionEvent
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch, CatalogueObject
from server.storage.ports import ScanEngine, StorageError
from server.storage.query import Filters, Order, ScanRow

_CHUNK = 1_000
_SCAN_SECONDS = 600.0
_NO_ORIGIN = "its footer or batch record can't be read, so nothing says who emitted its events"


class StoredEvents:
    """Reads all storages. What can't be read is named in `gaps` and left out. Used by one thread at a time."""

    def __init__(self, storages: Storages, engine: ScanEngine, catalogue: Catalogue) -> None:
        self._storages = storages
        self._engine = engine
        self._catalogue = catalogue
        self._origins = Origins(storages, catalogue)
        self._digests = ObjectDigests(storages)
        self._by_batch: dict[tuple[str, int], list[CatalogueObject]] = {}
        self._go_on: Callable[[], object] = lambda: None
        self.gaps: dict[str, str] = {}
        """Keys of the objects that couldn't be read, and why, since the last `begin`."""

    def begin(self, go_on: Callable[[], object]) -> None:
        """Look at the catalogue anew. `go_on` is called for each object that is read; what it raises ends that."""
        self.gaps, self._go_on = {}, go_on
        by_batch = defaultdict[tuple[str, int], list[CatalogueObject]](list)
        for item in (item for storage in self._storages.ids() for item in self._catalogue.objects(storage)):
            by_batch[item.log_id, item.first].append(item)
        self._by_batch = by_batch

    def of_batches(self, batches: Sequence[CatalogueBatch]) -> Iterator[SessionEvent]:
        """The events of these batches, in any order.

        Raises:
            StorageError: nothing can be read now.
        """
        yield from self._read(
            [item for batch in batches for item in self._by_batch.get((batch.log_id, batch.first), ())]
        )

    def of_foreign_objects(self) -> Iterator[SessionEvent]:
        """The events of every foreign object that the catalogue knows.

        Raises:
            StorageError: nothing can be read now.
        """
        yield from self._read([item for (log_id, _), items in self._by_batch.items() if not log_id for item in items])

    def _read(self, objects: Sequence[CatalogueObject]) -> Iterator[SessionEvent]:
        by_key = {item.key: item for item in objects if _may_tell(item)}
        origins = {key: self._origins.of(item) for key, item in by_key.items() if not item.is_foreign}
        unknown = {key for key, origin in origins.items() if origin.sequences is None or origin.receipts is None}
        self.gaps |= dict.fromkeys(unknown, _NO_ORIGIN)
        read = StoredRead(
            self._engine,
            self._storages.local,
            self._is_intact,
            lambda item: None,
            Filters(types=SESSION_TYPES),
            Order.OLDEST_FIRST,
            None,
            _CHUNK,
            time.monotonic() + _SCAN_SECONDS,
        )
        for row in read.rows([item for key, item in by_key.items() if key not in unknown]):
            if row.session_id:
                yield from self._event(row, by_key[row.object_key], origins.get(row.object_key))
        if read.timed_out:
            raise StorageError("reading stored events took too long")
        self.gaps |= {item.key: item.description for item in read.unreadable}
        self.gaps |= {key: str(error) for key, error in read.unfetched.items()}
        self.gaps |= dict.fromkeys(read.changed, "isn't as it was stored")
        self.gaps |= dict.fromkeys(read.crowded, "has more equal rows than are read")

    def _is_intact(self, item: CatalogueObject) -> bool:
        self._go_on()
        return self._digests.is_intact(item)

    def _event(self, row: ScanRow, item: CatalogueObject, origin: ObjectOrigin | None) -> Iterator[SessionEvent]:
        try:
            data = row.data
            if data is None:
                with self._storages.one_local(item) as path:
                    data = self._engine.fetch(path, row.row_number)
        except StorageError:
            self.gaps[item.key] = "a row can't be read"
            return
        log_id, sequence, emitter = "", 0, None
        if origin is not None:
            sequence = origin.sequence(row.row_number)
            receipt = origin.receipt(sequence)
            log_id, emitter = item.log_id, None if receipt is None else receipt.emitter
        position = row.position
        yield SessionEvent(log_id, sequence, emitter, row.type, position.time_ms, row.session_id, row.user, data)


def _may_tell(item: CatalogueObject) -> bool:
    return item.types is None or not SESSION_TYPES.isdisjoint(item.types)

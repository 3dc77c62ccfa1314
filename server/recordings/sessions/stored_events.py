"""The events of sessions in stored batches and in foreign objects, for an index that hasn't followed them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from server.audit_log.search.candidates import StoredRead
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.search.origins import ObjectOrigin, Origins
from server.recordings.sessions.session_events import SESSION_TYPES, SessionEvent
from server.state.catalogue import Catalogue, CatalogueBatch, CatalogueObject
from server.storage.ports import EventStorage, ScanEngine, StorageError
from server.storage.query import Filters, Order, ScanRow

_CHUNK = 1_000
_SCAN_SECONDS = 600.0
_NO_ORIGIN = "its footer or batch record can't be read, so nothing says who emitted its events"


class StoredEvents:
    """Reads one storage. What can't be read is named in `gaps` and left out. Used by one thread at a time."""

    def __init__(self, storage: EventStorage, engine: ScanEngine, catalogue: Catalogue) -> None:
        self._storage = storage
        self._engine = engine
        self._catalogue = catalogue
        self._origins = Origins(storage, catalogue)
        self._digests = ObjectDigests(storage)
        self._by_batch: dict[tuple[str, int], list[CatalogueObject]] = {}
        self._go_on: Callable[[], object] = lambda: None
        self.gaps: dict[str, str] = {}
        """Names of the objects that couldn't be read, and why, since the last `begin`."""

    def begin(self, go_on: Callable[[], object]) -> None:
        """Look at the catalogue anew. `go_on` is called for each object that is read; what it raises ends that."""
        self.gaps, self._go_on = {}, go_on
        by_batch = defaultdict[tuple[str, int], list[CatalogueObject]](list)
        for item in self._catalogue.objects(self._storage.storage_id):
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
        by_name = {item.name: item for item in objects if _may_tell(item)}
        origins = {name: self._origins.of(item) for name, item in by_name.items() if not item.is_foreign}
        unknown = {name for name, origin in origins.items() if origin.sequences is None or origin.receipts is None}
        self.gaps |= dict.fromkeys(unknown, _NO_ORIGIN)
        read = StoredRead(
            self._engine,
            lambda item: self._storage.local_path(item.name),
            self._is_intact,
            lambda item: None,
            Filters(types=SESSION_TYPES),
            Order.OLDEST_FIRST,
            None,
            _CHUNK,
            time.monotonic() + _SCAN_SECONDS,
        )
        for row in read.rows([item for name, item in by_name.items() if name not in unknown]):
            if row.session_id:
                yield from self._event(row, by_name[row.object_key], origins.get(row.object_key))
        if read.timed_out:
            raise StorageError("reading stored events took too long")
        self.gaps |= {item.key: item.description for item in read.unreadable}
        self.gaps |= dict.fromkeys(read.changed, "isn't as it was stored")
        self.gaps |= dict.fromkeys(read.crowded, "has more equal rows than are read")

    def _is_intact(self, item: CatalogueObject) -> bool:
        self._go_on()
        return self._digests.is_intact(item)

    def _event(self, row: ScanRow, item: CatalogueObject, origin: ObjectOrigin | None) -> Iterator[SessionEvent]:
        try:
            data = row.data
            if data is None:
                data = self._engine.fetch(self._storage.local_path(item.name), row.row_number)
        except StorageError:
            self.gaps[item.name] = "a row can't be read"
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

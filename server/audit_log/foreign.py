"""Foreign objects: Parquet files in a storage that no batch record of ours names, found by listing its dates."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection

from server.audit_log.batch_codec import Footer, UnreadableFooter, read_footer
from server.state.catalogue import Catalogue, CatalogueObject
from server.storage.ports import EventStorage, StoredObject

_OURS = re.compile(r"\d{4}-\d\d-\d\d/([0-9a-f]{20})-(\d+)-(\d+)(?:\.r\d+)?\.parquet", re.ASCII)
_SETTLED_NS = 2_000_000_000


class ForeignObjects:
    """Keeps the catalogue's foreign objects of one storage in step with what is there.

    Used by one thread at a time.
    """

    def __init__(
        self, storage: EventStorage, catalogue: Catalogue, pending: Callable[[], Collection[tuple[str, int]]]
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._pending = pending
        self._seen: dict[str, int] = {}

    def refresh(self) -> None:
        """Look at every date whose folder changed since the last time."""
        for date in self._storage.dates():
            revision = self._storage.date_revision(date)
            if self._seen.get(date) == revision:
                continue
            self._refresh_date(date)
            # A folder's time has the clock's grain: one that changed just now may change again unseen.
            if revision < time.time_ns() - _SETTLED_NS:
                self._seen[date] = revision

    def _refresh_date(self, date: str) -> None:
        found = {item.name: item for item in self._storage.list_date(date)}
        # Read in this order: a batch that was on its way at the listing is pending still, or in the catalogue by now.
        pending = self._pending()
        known = {item.name: item for item in self._catalogue.objects_of_date(self._storage.storage_id, date)}
        new = [
            self._describe(item)
            for item in found.values()
            if not _is_pending(item.name, pending) and _is_news(item, known.get(item.name))
        ]
        if new:
            self._catalogue.add_foreign(new)
        gone = [item for item in known.values() if item.is_foreign and item.name not in found]
        if gone:
            self._catalogue.remove_foreign(gone)

    def _describe(self, item: StoredObject) -> CatalogueObject:
        footer = Footer(0, -(2**62), 2**62, "")
        note: str | None = None
        try:
            footer = read_footer(self._storage.local_path(item.name))
            note = footer.problem or None
        except UnreadableFooter:
            note = UNREADABLE
        return CatalogueObject(
            self._storage.storage_id,
            item.name,
            footer.rows,
            item.size,
            footer.first_ms,
            footer.last_ms,
            None,
            is_foreign=True,
            foreign_note=note,
        )


UNREADABLE = "can't be read as Parquet with the six columns"


def _is_pending(name: str, pending: Collection[tuple[str, int]]) -> bool:
    match = _OURS.fullmatch(name)
    return match is not None and (match[1], int(match[2])) in pending


def _is_news(item: StoredObject, known: CatalogueObject | None) -> bool:
    return known is None or (known.is_foreign and known.bytes != item.size)

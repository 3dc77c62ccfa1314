"""Whether objects are there with their sizes: whoever walks through many pages doesn't ask for every one on each."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from server.audit_log.storages import Storages
from server.state.catalogue_rows import CatalogueObject

_SETTLED_NS: Final = 2_000_000_000
"""A folder changes its time once for all that happens within some milliseconds."""


class StoredSizes:
    """Asks for the size of an object again once something of its date has come, gone or changed its name.

    What is cut in its place since is seen by whoever reads it: all that is read is looked at then. Safe to use from
    several threads.
    """

    def __init__(self, storages: Storages) -> None:
        self._storages = storages
        self._known: dict[str, int] = {}
        """By key of an object that was as stored, the revision of its date at which it was."""

    def wrong(self, objects: Iterable[CatalogueObject]) -> Mapping[str, int | None]:
        """The sizes of those that have another one than they were stored with, None where there is nothing, by key.

        Objects that have to be fetched are none of them: fetching tells.
        """
        found: dict[str, int | None] = {}
        revisions: dict[tuple[str, str], int | None] = {}
        for item in objects:
            place = item.storage, item.date
            if place not in revisions:
                revisions[place] = self._revision(*place)
            revision = revisions[place]
            if revision is None or self._known.get(item.key) == revision:
                continue
            size = self._storages.of(item.storage).size(item.name)
            if size != item.bytes:
                found[item.key] = size
            elif 0 <= revision < time.time_ns() - _SETTLED_NS:
                self._known[item.key] = revision
        return found

    def _revision(self, storage_id: str, date: str) -> int | None:
        storage = self._storages.of(storage_id)
        return None if storage.compares_digests else storage.date_revision(date)

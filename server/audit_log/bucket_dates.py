"""A date of a storage that keeps versions, beside the catalogue: what others put, deleted or wrote over there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from server.audit_log.foreign import described, is_diverted, of_ours
from server.audit_log.retention import Retention
from server.audit_log.search.query import Missing, MissingReason
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueObject
from server.storage.ports import (
    EventStorage,
    ObjectArchived,
    ObjectChanged,
    ObjectMissing,
    ObjectUnreadable,
    StorageError,
    StorageTimeout,
    StoredObject,
    Wanted,
)

_log = logging.getLogger(__name__)
MOST_FOREIGN: Final = 2_000
"""Objects of others on one date that are searched: their number is in the hands of whoever can write there."""
MOST_FOREIGN_BYTES: Final = 256 * 1024 * 1024
"""The largest of them that is fetched."""
DESCRIBING_SECONDS: Final = 8.0
"""How long one look reads new ones; the next look goes on."""
_AT_ONCE: Final = 16
AT_ONCE_BYTES: Final = 64 * 1024 * 1024
"""Of others' objects that one look has fetched at once: objects of ours wait behind them, and they need room."""
_CLOCKS_MS: Final = 5_000
"""How far the clock of a storage may be ahead of ours, and its objects still count as those that were stored."""
_KNOWN_DIGESTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class DateLook:
    """What a look at one date came to."""

    faults: Mapping[str, Missing]
    """By name, what is wrong with objects of ours."""
    of_others: Sequence[Missing]
    """What of others' objects isn't searched."""
    is_finished: bool
    """Whether there was time for all that is new."""
    is_whole: bool = True
    """Whether all that is there was listed."""
    archived: Sequence[Missing] = ()
    """Objects of ours that are archived: what isn't copied here, or was restored, can't be read."""
    has_failed: bool = False
    """Whether of what others put there something can't be read now, for another reason than time."""


class BucketDates:
    """Compares dates of one storage. Safe to use from several threads, each date by one at a time."""

    def __init__(
        self,
        storage: EventStorage,
        catalogue: Catalogue,
        pending: Callable[[], Collection[tuple[str, int, int]]],
        retention: Retention,
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._pending = pending
        self._retention = retention
        self._digests: dict[tuple[str, str], str] = {}

    def look(self, date: str) -> DateLook:
        """List one date, and have the catalogue know its foreign objects.

        Raises:
            StorageError: it can't be listed now.
        """
        until = time.monotonic() + DESCRIBING_SECONDS
        # What is confirmed while it is listed need not be in the listing.
        revision = self._catalogue.revision
        listing = self._storage.list_versions(date)
        # Read in this order: a batch that was on its way at the listing is pending still, or in the catalogue by now.
        pending = self._pending()
        known = {item.name: item for item in self._catalogue.objects_of_date(self._storage.storage_id, date)}
        foreign = [
            item
            for item in listing.objects.values()
            if not item.is_deleted
            and ((before := known.get(item.name)) is None or before.is_foreign)
            and of_ours(item.name) not in pending
            and not is_diverted(self._catalogue, self._storage.storage_id, item.name)
        ]
        gaps = []
        if len(foreign) > MOST_FOREIGN or not listing.is_whole:
            text = f"others have put more than {MOST_FOREIGN} objects there, or more versions than are listed"
            gaps.append(self._missing(MissingReason.OBJECT_UNREADABLE, date, f"{text}; the rest isn't looked at"))
        unread = self._learn(sorted(foreign, key=lambda item: item.name)[:MOST_FOREIGN], known, until)
        there = {item.name for item in foreign}
        if gone := [each for each in known.values() if each.is_foreign and each.name not in there and listing.is_whole]:
            self._catalogue.remove_foreign(gone)
        ours = [each for each in known.values() if not each.is_foreign and each.revision <= revision]
        found = ((each, listing.objects.get(each.name)) for each in ours)
        faults = {
            each.name: fault
            for each, entry in found
            if (entry is not None or listing.is_whole) and (fault := self._fault(each, entry)) is not None
        }
        entries = [entry for each in ours if (entry := listing.objects.get(each.name)) is not None and entry.problem]
        entries = [entry for entry in entries if entry.name not in faults]  # else restoring it brings what others put
        archived = [self._missing(MissingReason.OBJECT_ARCHIVED, each.name, each.problem) for each in entries]
        is_finished = not any(isinstance(error, StorageTimeout) for error in unread.values())
        has_failed = any(not isinstance(error, StorageTimeout) for error in unread.values())
        told = [self._unread(name, error) for name, error in unread.items()]
        return DateLook(faults, [*gaps, *told], is_finished, listing.is_whole, archived, has_failed)

    def _learn(
        self, foreign: Sequence[StoredObject], known: Mapping[str, CatalogueObject], until: float
    ) -> dict[str, StorageError]:
        """Have the catalogue know these; gives by name why some couldn't be read now."""
        new = [item for item in foreign if (before := known.get(item.name)) is None or before.version != item.version]
        unread: dict[str, StorageError] = {}
        for some in _in_parts(new):
            if time.monotonic() >= until:  # what is asked for is fetched, though nobody waits for it any more
                unread.update({item.name: StorageTimeout() for item in some})
                continue
            news = []
            wanted = [Wanted(item.name, "", item.size, item.version) for item in some if not _refused(item)]
            with self._storage.local(wanted, until) as paths:
                for item in some:
                    path = paths.get(item.name, "")
                    if isinstance(path, StorageError):
                        unread[item.name] = path
                    else:
                        news.append(described(self._storage.storage_id, item, path, _refused(item)))
            if news:
                self._catalogue.add_foreign(news)
        return unread

    def _unread(self, name: str, error: StorageError) -> Missing:
        text = f"others have put it there, and it can't be read now: {error}"
        if isinstance(error, StorageTimeout):
            text = "others have put it there, and there was no time to read it; the next search goes on"
        elif isinstance(error, ObjectMissing | ObjectChanged):
            text = "others removed or replaced it just now"
        return self._missing(MissingReason.OBJECT_UNREADABLE, name, text)

    def _fault(self, item: CatalogueObject, entry: StoredObject | None) -> Missing | None:
        """What is wrong with an object of ours; None if it is as it was stored, or as good as that."""
        kept = self._retention.of(item.storage)
        if (entry is None or entry.is_deleted) and kept.has_expired(item, soon=True):
            return kept.told()
        if entry is None:
            return self._missing(MissingReason.OBJECT_MISSING, item.name, "the object isn't there")
        if entry.is_deleted:
            text = "it was deleted; what is shown of its events is from an earlier version or from a copy here"
            return self._missing(MissingReason.OBJECT_MISSING, item.name, text)
        if entry.size != item.bytes:
            text = f"is {entry.size} bytes and was {item.bytes} when it was stored"
            return self._missing(MissingReason.OBJECT_CHANGED, item.name, text)
        is_first = entry.versions == 1 and not entry.is_of_parts
        if is_first and entry.revision // 1_000_000 <= self._stored_ms(item) + _CLOCKS_MS:
            return None
        try:
            is_same = self._digest(entry) == item.sha256
        except StorageError as error:
            if entry.versions > 1 and isinstance(error, ObjectArchived | ObjectUnreadable):
                text = "something that can't be read was written over it"
                return self._missing(MissingReason.OBJECT_CHANGED, item.name, text)
            text = f"something was written over it, and whether that is the same can't be told: {error}"
            return self._missing(MissingReason.OBJECT_UNREADABLE, item.name, text)
        if is_same:
            return None
        return self._missing(MissingReason.OBJECT_CHANGED, item.name, "its bytes aren't those that were stored")

    def _digest(self, entry: StoredObject) -> str:
        key = entry.name, entry.version
        digest = self._digests.get(key)
        if digest is None:
            if len(self._digests) >= _KNOWN_DIGESTS:
                self._digests.clear()
            digest = self._digests[key] = self._storage.sha256(*key)
        return digest

    def _stored_ms(self, item: CatalogueObject) -> int:
        batch = self._catalogue.batch(item.log_id, item.first)
        return batch.confirmed_ms if batch is not None else 0

    def _missing(self, reason: MissingReason, name: str, text: str) -> Missing:
        return Missing(reason, self._storage.storage_id, name, text)


def _in_parts(objects: Sequence[StoredObject]) -> Iterator[list[StoredObject]]:
    """As many as are read at once, one after the other."""
    part: list[StoredObject] = []
    size = 0
    for item in objects:
        fetched = 0 if _refused(item) else item.size
        if part and (len(part) == _AT_ONCE or size + fetched > AT_ONCE_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += fetched
    if part:
        yield part


def _refused(item: StoredObject) -> str:
    """Why an object of others isn't fetched; '' if it is."""
    if item.size > MOST_FOREIGN_BYTES:
        return f"is larger than the {MOST_FOREIGN_BYTES} bytes that are fetched of an object of others"
    return item.problem

"""Foreign objects: Parquet files in a storage that no batch record of ours names, found by listing its dates."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from threading import Lock

from server.audit_log.batch_codec import NOT_EVENTS, Footer, UnreadableFooter, read_footer, read_sequences
from server.audit_log.timestamps import DAY_MS, utc_date
from server.regular_files import open_regular
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueObject
from server.storage.ports import EventStorage, StoredObject

_log = logging.getLogger(__name__)
UNREADABLE = NOT_EVENTS
RECORD_GONE = (
    "is named and made like one of a batch of ours, and no readable record tells so; who emitted its events isn't known"
)
_OURS = re.compile(r"\d{4}-\d\d-\d\d/([0-9a-f]{20})-(\d{1,19})-(\d{1,19})(?:\.r\d+)?\.parquet", re.ASCII)
_SETTLED_NS = 2_000_000_000
LOOK_EVERYWHERE_SECONDS = 10.0
_FEW_DAYS = 62


class ForeignObjects:
    """Keeps the catalogue's foreign objects of one storage in step with what is there.

    Safe to use from several threads.
    """

    def __init__(
        self, storage: EventStorage, catalogue: Catalogue, pending: Callable[[], Collection[tuple[str, int, int]]]
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._pending = pending
        self._lock = Lock()
        self._seen: dict[str, int] = {}
        self._revisions: dict[str, int] = {}
        self._everywhere_at = 0.0

    def refresh(self, from_ms: int | None = None, to_ms: int | None = None) -> None:
        """Look at the dates of [from_ms, to_ms) whose folder changed since the last time, or was still changing then.

        Every LOOK_EVERYWHERE_SECONDS at all dates, as a file may lie in the folder of another date than its events'.

        Raises:
            StorageError: the storage can't be listed.
        """
        with self._lock:
            for date in self._dates(from_ms, to_ms):
                revision = self._storage.date_revision(date)
                if self._seen.get(date) == revision:
                    continue
                now = time.time_ns()
                # A folder's time has the clock's grain: one that changed just now may change again unseen.
                if self._refresh_date(date, now) and _is_settled(revision, now):
                    self._seen[date] = revision

    def _dates(self, from_ms: int | None, to_ms: int | None) -> list[str]:
        now = time.monotonic()
        if from_ms is not None and to_ms is not None and now < self._everywhere_at:
            days = range(from_ms // DAY_MS, (to_ms - 1) // DAY_MS + 1)
            if len(days) <= _FEW_DAYS:
                return [utc_date(day * DAY_MS) for day in days]
        self._everywhere_at = now + LOOK_EVERYWHERE_SECONDS
        return sorted({*self._storage.dates(), *self._catalogue.dates(self._storage.storage_id)})

    def _refresh_date(self, date: str, now: int) -> bool:
        """Look at one date; gives whether its next change will show in the folder's revision."""
        listed = self._storage.list_date(date)
        # Read in this order: a batch that was on its way at the listing is pending still, or in the catalogue by now.
        pending = self._pending()
        known = {item.name: item for item in self._catalogue.objects_of_date(self._storage.storage_id, date)}
        found = [item for item in listed if (before := known.get(item.name)) is None or before.is_foreign]
        found = [item for item in found if not is_diverted(self._catalogue, self._storage.storage_id, item.name)]
        foreign = [item for item in found if not _is_pending(item.name, pending)]
        known.update({item.name: item for item in self._learn(foreign, known, now)})
        self._forget(known, {item.name for item in listed})
        # A file may be written to after it was made, and an unreadable one may yet become whole.
        settled = (_is_settled(item.revision, now) and known[item.name].foreign_note != UNREADABLE for item in foreign)
        return len(foreign) == len(found) and all(settled)

    def _learn(
        self, foreign: Collection[StoredObject], known: Mapping[str, CatalogueObject], now: int
    ) -> list[CatalogueObject]:
        found = [
            described(self._storage.storage_id, item, self._storage.local_path(item.name), item.problem)
            for item in foreign
            if self._is_news(item, known.get(item.name), now)
        ]
        # One that is as it was keeps its revision, and so stays in the searches that counted it.
        news = [item for item in found if item != _without_revision(known.get(item.name))]
        if news:
            self._catalogue.add_foreign(news)
        return news

    def _forget(self, known: Mapping[str, CatalogueObject], there: Collection[str]) -> None:
        gone = [item for item in known.values() if item.is_foreign and item.name not in there]
        if gone:
            self._catalogue.remove_foreign(gone)
        for item in gone:
            self._revisions.pop(item.name, None)

    def _is_news(self, item: StoredObject, known: CatalogueObject | None, now: int) -> bool:
        before = self._revisions.get(item.name)
        # One that changed just now may change again within the grain of its time.
        self._revisions[item.name] = item.revision if _is_settled(item.revision, now) else -1
        if known is None or known.bytes != item.size:
            return True
        return known.foreign_note == UNREADABLE if before is None else before != item.revision


def described(storage: str, item: StoredObject, path: str, refused: str = "") -> CatalogueObject:
    """The catalogue's row of a foreign object that can be read at `path`, or that isn't read as it is `refused`."""
    footer, digest, note = Footer(0, -(2**62), 2**62, ""), "", refused
    if not note:
        try:
            footer = read_footer(path)
            note = footer.problem or _note_of_ours(item.name, path)
            digest = _digest(path) if item.version else ""
        except UnreadableFooter as error:
            note = str(error)
        except Exception:
            # Others made the file, and no file of theirs may stop a search, whatever the library makes of it.
            _log.exception("a foreign object can't be described")
            footer, note = Footer(0, -(2**62), 2**62, ""), UNREADABLE
    return CatalogueObject(
        storage,
        item.name,
        footer.rows,
        item.size,
        footer.first_ms,
        footer.last_ms,
        None,
        digest,
        is_foreign=True,
        foreign_note=note or None,
        version=item.version,
    )


def _digest(path: str) -> str:
    with open(path, "rb", opener=open_regular) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note_of_ours(name: str, path: str) -> str:
    """Whether it is one of ours after all: listing finds those whose record was gone at a rebuild."""
    with contextlib.suppress(UnreadableFooter):
        if _OURS.fullmatch(name) and len(read_sequences(path)):
            return RECORD_GONE
    return ""


def _without_revision(known: CatalogueObject | None) -> CatalogueObject | None:
    return None if known is None else replace(known, revision=0)


def of_ours(name: str) -> tuple[str, int, int] | None:
    """Log, first and last sequence of the batch that an object is of by its name; None if it isn't named like ours."""
    match = _OURS.fullmatch(name)
    return (match[1], int(match[2]), int(match[3])) if match is not None else None


def is_diverted(catalogue: Catalogue, storage_id: str, name: str) -> bool:
    """Whether an object in a storage is of a batch that was diverted from there, by its name: it is known, belongs
    elsewhere, and counts for nothing here."""
    place = of_ours(name)
    return place is not None and catalogue.diversions.has_left(storage_id, *place)


def _is_pending(name: str, pending: Collection[tuple[str, int, int]]) -> bool:
    return of_ours(name) in pending


def _is_settled(revision: int, now: int) -> bool:
    return revision < now - _SETTLED_NS

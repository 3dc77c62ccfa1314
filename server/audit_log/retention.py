"""Retention: what a storage's owner has S3 delete after so many days, and when that is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from server.audit_log.search.query import Missing, MissingReason
from server.audit_log.storages import Storages, UnknownStorage
from server.audit_log.timestamps import DAY_MS
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch, CatalogueObject

_SLACK_MS: Final = 2 * DAY_MS
"""How much sooner than we count S3 may do so: an object is there before its batch is confirmed, and S3 counts from
then; what is gone so shortly before its time is no news."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def expires_ms(stored_ms: int, days: int) -> int:
    """When S3 lets go of what was stored at a time: at the midnight, UTC, after so many days."""
    return (stored_ms // DAY_MS + days + 1) * DAY_MS


def is_past(since_ms: int, days: int, now_ms: int) -> bool:
    """Whether what S3 counts from this time on, or later, may be gone; `days` of 0 are for ever."""
    return days > 0 and expires_ms(since_ms, days) <= now_ms


def expired_text(days: int) -> str:
    """What is told of what is gone for that."""
    return f"what was stored more than {days} days ago has expired, as the storage's retention states"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a storage keeps at a time."""

    storage: str
    days: int
    """0 for ever."""
    now_ms: int
    catalogue: Catalogue

    def has_expired(self, item: CatalogueObject | CatalogueBatch, *, soon: bool = False) -> bool:
        """Whether a batch, or an object of one, is past the retention; with `soon`, or so close to it that S3 may have
        deleted it. Of those of others nothing says when they were stored."""
        if not self.days or (isinstance(item, CatalogueObject) and item.is_foreign):
            return False
        batch = item if isinstance(item, CatalogueBatch) else self.catalogue.batch(item.log_id, item.first)
        stored_ms = batch.confirmed_ms if batch is not None else self.now_ms
        return expires_ms(stored_ms, self.days) <= self.now_ms + (_SLACK_MS if soon else 0)

    def is_past(self, since_ms: int) -> bool:
        """Whether what S3 counts from this time on, or later, may be gone."""
        return is_past(since_ms, self.days, self.now_ms)

    def told(self, name: str = "", first: int = 0, last: int = 0) -> Missing:
        """What an answer says of a range that reaches what has expired."""
        return Missing(MissingReason.EXPIRED, self.storage, name, expired_text(self.days), first, last)

    def begins_after(self, from_ms: int | None) -> bool:
        """Whether times from `from_ms` on begin before what is kept, whatever there is of them."""
        return self.days > 0 and (from_ms is None or from_ms < self.now_ms - self.days * DAY_MS)


class Retention:
    """Says what has expired. Safe to use from several threads."""

    def __init__(self, storages: Storages, catalogue: Catalogue, now_ms: Callable[[], int] = _now_ms) -> None:
        self._storages = storages
        self._catalogue = catalogue
        self._now_ms = now_ms

    def of(self, storage: str) -> Kept:
        """What a storage keeps now; all of one of which nothing says where it is.

        Raises:
            StorageError: the state can't be read now.
        """
        try:
            days = self._storages.of(storage).retention_days()
        except UnknownStorage:
            days = 0
        return Kept(storage, days, self._now_ms(), self._catalogue)

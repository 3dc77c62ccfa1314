"""Whether what is in a bucket is what was stored: by listings and checksums, which cost little, else by reading it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from heapq import nlargest
from typing import Final

from server.audit_log.batch_record import record_digest
from server.audit_log.batch_rows import record_name_of
from server.audit_log.foreign import of_ours
from server.audit_log.foreign_looks import ForeignLooks
from server.audit_log.retention import Retention
from server.audit_log.scrub.known_damage import Fault, KnownDamage
from server.audit_log.scrub.verification import OTHER_BYTES, RECORDS, batch_of, record_name
from server.audit_log.search.query import MissingReason
from server.audit_log.taken_names import TakenNames
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch, CatalogueObject
from server.state.storage_damage import CHANGED, MISSING, UNLISTED, UNREADABLE, Damage
from server.storage.ports import (
    EventStorage,
    ObjectArchived,
    ObjectChanged,
    ObjectMissing,
    ObjectUnreadable,
    StorageError,
)

_MOST_FAILED: Final = 5
"""Objects in a row that can't be looked at before it is the bucket that was out of reach."""
MOST_OF_OTHERS: Final = 10_000
"""Findings from which on no new record of others becomes one."""
_MOST_TRIED: Final = 3
"""Batches that are read to see whether any can be: of one something may be gone."""
_REQUESTS_PER_SECOND: Final = 20.0
_KINDS: Final = {
    MissingReason.OBJECT_MISSING: MISSING,
    MissingReason.OBJECT_CHANGED: CHANGED,
    MissingReason.OBJECT_UNREADABLE: UNREADABLE,
}


def _pause() -> None:
    time.sleep(1 / _REQUESTS_PER_SECOND)


class BucketVerification:
    """Looks at the events of one storage; a Subject of the scrub."""

    def __init__(
        self,
        storage: EventStorage,
        catalogue: Catalogue,
        pending: Callable[[], Collection[tuple[str, int, int]]],
        looks: ForeignLooks,
        retention: Retention,
        known: KnownDamage,
        taken: TakenNames,
        pause: Callable[[], object] = _pause,
    ) -> None:
        """`looks` are those that searches share: what one found out the other doesn't ask again. `pause` is between
        requests."""
        self._id = storage.storage_id
        self._storage = storage
        self._catalogue = catalogue
        self._pending = pending
        self._looks = looks
        self._retention = retention
        self._known = known
        self._taken = taken
        self._pause = pause
        self._failed: dict[str, str] = {}

    @property
    def damage(self) -> Mapping[str, Damage]:
        """What is wrong now, by name; may be read by any thread."""
        return self._known.found

    def begin(self) -> None:
        """Take up what was found before a stop. StateFault if it can't be read."""
        self._known.begin()

    def look(self) -> list[str]:
        """List all dates and records; gives the names whose bytes can be checked, sorted.

        Raises:
            StorageError: the storage can't be listed now.
            StateFault: a finding can't be kept now.
        """
        found: dict[str, Fault] = {}
        for date in sorted({*self._storage.dates(), *self._catalogue.dates(self._id)}):
            self._pause()
            faults = self._looks.look(self._storage, date).faults
            found |= {
                name: (_KINDS[each.reason], each.description) for name, each in faults.items() if each.reason in _KINDS
            }
        self._pause()
        gone, others = self._listed_records(self._records())
        # In this order: a batch that was on its way at the listing is pending still, or in the catalogue by now.
        expected = {None, *self._pending()}
        kept, every = self._retention.of(self._id), self._records()
        batches = [name for name, batch in every.items() if not kept.has_expired(batch)]
        lost = [name for name in gone if not kept.has_expired(every[name], soon=True)]
        found |= dict.fromkeys(lost, (MISSING, "the batch record isn't there"))
        objects = self._catalogue.objects(self._id)
        unlisted = [each.name for each in objects if each.is_foreign and of_ours(each.name) not in expected]
        unknown = (name for name in others if name not in every and batch_of(name) not in expected)
        unlisted += [name for name in unknown if not self._is_diverted(name)]
        found |= dict.fromkeys(unlisted, (UNLISTED, "no batch record of the catalogue names it"))
        self._known.take(found)
        self._taken.look(self._storage, self._catalogue)
        ours = {each.name for each in objects if not each.is_foreign and not kept.has_expired(each)}
        return sorted({*ours, *batches})

    def _records(self) -> dict[str, CatalogueBatch]:
        """The batches that are known to be there, by the names of their records."""
        return {record_name(each): each for each in self._catalogue.batches() if each.storage == self._id}

    def _listed_records(self, known: Collection[str]) -> tuple[set[str], list[str]]:
        """Which of these records aren't listed, and which others are: of new ones as many as there may be findings, as
        whoever can write there can put as many as they like."""
        gone, others = set(known), list[str]()
        new = max(0, MOST_OF_OTHERS - len(self._known.found))
        for name in self._storage.list_records():
            record = RECORDS + name
            gone.discard(record)
            if record in known:
                continue
            is_new = record not in self._known.found
            if not is_new or new:
                others.append(record)
                new -= is_new
        return gone, others

    def _is_diverted(self, record: str) -> bool:
        """Whether a record is of a batch that was diverted from there, and came late."""
        place = batch_of(record)
        return place is not None and self._catalogue.diversions.has_left(self._id, *place)

    def check(self, name: str, read: Callable[[int], None]) -> None:
        """Compare the digest of an object, by the checksum that S3 has compared where it has one, or of a batch record.

        One that can't be looked at is a finding once another can; what is away says nothing of what it holds.

        Raises:
            StateFault: a finding can't be kept now.
        """
        self._pause()
        try:
            fault = self._fault(name, read)
        except (ObjectMissing, ObjectArchived):
            return  # looks find what isn't there, and what is archived
        except StorageError as error:
            self._failed[name] = str(error)
            return
        failed, self._failed = self._failed, {}
        if len(failed) < _MOST_FAILED:
            for each, why in failed.items():
                self._known.judge(each, (UNREADABLE, why))
        self._known.judge(name, fault)

    def _fault(self, name: str, read: Callable[[int], None]) -> Fault | None:
        if name.startswith(RECORDS):
            return self._fault_of_record(name, read)
        item = self._catalogue.object(self._id, name)
        if item is None or item.is_foreign or self._retention.of(self._id).has_expired(item):
            return None  # nothing says any more what it is to be
        return None if self._storage.sha256(name, "", read) == item.sha256 else OTHER_BYTES

    def _fault_of_record(self, name: str, read: Callable[[int], None]) -> Fault | None:
        place = batch_of(name)
        batch = self._catalogue.batch(*place[:2]) if place is not None else None
        if batch is None or self._retention.of(self._id).has_expired(batch):
            return None
        data = self._storage.read_record(name.removeprefix(RECORDS))
        if data is None:
            raise ObjectMissing
        read(len(data))
        return None if record_digest(data) == batch.record_digest else OTHER_BYTES


def can_read_events(storage: EventStorage, catalogue: Catalogue) -> bool:
    """Whether what was stored last, a batch record or another, can be read, and what its objects have be told.

    Raises:
        StorageError: it can't.
    """
    batches = (each for each in catalogue.batches() if each.storage == storage.storage_id)
    last = nlargest(_MOST_TRIED, batches, key=lambda each: each.confirmed_ms)
    return any(_can_read(storage, batch, catalogue.objects_of_batch(batch)) for batch in last)


def _can_read(storage: EventStorage, batch: CatalogueBatch, objects: Sequence[CatalogueObject]) -> bool:
    try:
        data = storage.read_record(record_name_of(batch))
        is_ours = data is not None and record_digest(data) == batch.record_digest
        return is_ours and all(storage.sha256(each.name, "") == each.sha256 for each in objects[:1])
    except (ObjectMissing, ObjectChanged, ObjectArchived, ObjectUnreadable):
        return False  # which says nothing of the others

"""Whether what is stored is what was stored: existence, size and digest of objects and batch records."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from typing import Final

from server.audit_log.batch_record import record_digest
from server.audit_log.batch_rows import record_name_of
from server.audit_log.foreign import of_ours
from server.audit_log.rebuilding import RECORD_NAME
from server.audit_log.scrub.known_damage import Fault, KnownDamage
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.taken_names import TakenNames
from server.regular_files import open_regular
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch, CatalogueObject
from server.state.storage_damage import CHANGED, MISSING, UNLISTED, UNREADABLE, Damage, SqlStorageDamage, is_recording
from server.storage.ports import EventStorage, StorageError

RECORDS: Final = "_batches/"
_CHUNK: Final = 1024 * 1024
OTHER_BYTES: Final = CHANGED, "its bytes aren't those that were stored"


class Verification:
    """Looks at the events of one storage. Used by one thread."""

    def __init__(
        self,
        storage: EventStorage,
        catalogue: Catalogue,
        pending: Callable[[], Collection[tuple[str, int, int]]],
        digests: ObjectDigests,
        store: SqlStorageDamage,
        now_ms: Callable[[], int],
        taken: TakenNames,
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._pending = pending
        self._digests = digests
        self._taken = taken
        self._known = KnownDamage(store, storage.storage_id, lambda name: not is_recording(name), now_ms)

    @property
    def damage(self) -> Mapping[str, Damage]:
        """What is wrong now, by name; may be read by any thread."""
        return self._known.found

    def begin(self) -> None:
        """Take up what was found before a stop. StateFault if it can't be read."""
        self._known.begin()

    def look(self) -> list[str]:
        """Look at existence and sizes, and for what nobody knows; gives all names whose bytes can be checked, sorted.

        Raises:
            StorageError: the storage can't be listed now.
            StateFault: a finding can't be kept now.
        """
        listed = [item.name for date in self._storage.dates() for item in self._storage.list_date(date)]
        records = [RECORDS + name for name in self._storage.list_records()]
        # In this order: a batch that was on its way at the listing is pending still, or in the catalogue by now.
        pending = self._pending()
        storage_id = self._storage.storage_id
        objects = {item.name: item for item in self._catalogue.objects(storage_id) if not item.is_foreign}
        batches = {record_name(each): each for each in self._catalogue.batches() if each.storage == storage_id}
        found = self._sizes(objects.values())
        found |= dict.fromkeys(batches.keys() - set(records), (MISSING, "the batch record isn't there"))
        expected = {None, *pending}
        unlisted = [name for name in listed if name not in objects and of_ours(name) not in expected]
        unlisted += [name for name in records if name not in batches and batch_of(name) not in expected]
        found |= dict.fromkeys(unlisted, (UNLISTED, "no batch record of the catalogue names it"))
        self._known.take(found)
        self._taken.look(self._storage, self._catalogue)
        return sorted({*objects, *batches})

    def check(self, name: str, read: Callable[[int], None]) -> None:
        """Compare the digest of an object or batch record. `read` is told the bytes, and what it raises ends it.

        Raises:
            StateFault: a finding can't be kept now.
        """
        if name.startswith(RECORDS):
            self._check_record(name, read)
            return
        item = self._catalogue.object(self._storage.storage_id, name)
        if item is None or item.is_foreign:
            self._known.judge(name, None)  # nothing says any more what it is to be
            return
        try:
            state = self._digests.state_of(item)
            is_intact = self._digest(item, read) == item.sha256
            if self._digests.state_of(item) != state:
                return  # what changes just now is checked by the next walk, and by the next search that needs it
        except (FileNotFoundError, NotADirectoryError):
            return  # what isn't there is found by looks
        except OSError as error:
            # The plainest sign of a dying disk, and no look at sizes ever comes upon it.
            self._known.judge(name, (UNREADABLE, f"can't be read ({os.strerror(error.errno or 0)})"))
            return
        self._digests.learn(item, state, intact=is_intact)
        self._known.judge(name, None if is_intact else OTHER_BYTES)

    def _digest(self, item: CatalogueObject, read: Callable[[int], None]) -> str:
        digest = hashlib.sha256()
        with open(self._storage.local_path(item.name), "rb", buffering=0, opener=open_regular) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                read(len(chunk))
        return digest.hexdigest()

    def _check_record(self, name: str, read: Callable[[int], None]) -> None:
        log_id, _, stem = name.removeprefix(RECORDS).partition("/")
        batch = self._catalogue.batch(log_id, int(stem.partition("-")[0]))
        try:
            data = self._storage.read_record(name.removeprefix(RECORDS))
        except StorageError as error:
            self._known.judge(name, (UNREADABLE, str(error)))  # and the walk goes on to the next
            return
        if batch is None or data is None:
            return
        read(len(data))
        self._known.judge(name, None if record_digest(data) == batch.record_digest else OTHER_BYTES)

    def _sizes(self, objects: Collection[CatalogueObject]) -> dict[str, Fault]:
        found: dict[str, Fault] = {}
        for item in objects:
            size = self._storage.size(item.name)
            if size is None:
                events = f"{item.rows} event{'' if item.rows == 1 else 's'}"
                found[item.name] = (MISSING, f"{events} of {item.log_id}, batch {item.first}-{item.last}")
            elif size != item.bytes:
                found[item.name] = (CHANGED, f"is {size} bytes and was {item.bytes} when it was stored")
        return found


def record_name(batch: CatalogueBatch) -> str:
    """The name of a batch's record in its storage."""
    return RECORDS + record_name_of(batch)


def batch_of(record: str) -> tuple[str, int, int] | None:
    """Log, first and last sequence of the batch that a record is of by its name; None if it isn't named like one."""
    match = RECORD_NAME.fullmatch(record.removeprefix(RECORDS))
    return (match[1], int(match[2]), int(match[3])) if match is not None else None

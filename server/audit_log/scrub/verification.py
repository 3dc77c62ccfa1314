"""Whether what is stored is what was stored: existence, size and digest of objects and batch records."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Final

from server.audit_log.batch_record import record_digest
from server.audit_log.cuts import Cut
from server.audit_log.foreign import of_ours
from server.audit_log.rebuilding import RECORD_NAME
from server.audit_log.search.digests import ObjectDigests
from server.state.catalogue import Catalogue, CatalogueBatch, CatalogueObject
from server.state.storage_damage import CHANGED, MISSING, UNLISTED, UNREADABLE, Damage, SqlStorageDamage
from server.storage.ports import EventStorage, StorageError

_log = logging.getLogger(__name__)
RECORDS: Final = "_batches/"
MOST_NEW: Final = 1_000
"""Findings of one look: where a whole disk is gone, the next looks tell of the rest."""
_CHUNK: Final = 1024 * 1024
_Fault = tuple[str, str]
"""Kind and detail."""
_OTHER_BYTES: Final = CHANGED, "its bytes aren't those that were stored"


class Verification:
    """Looks at one storage. Used by one thread; `damage` may be read by any."""

    def __init__(
        self,
        storage: EventStorage,
        catalogue: Catalogue,
        pending: Callable[[], Collection[tuple[str, int]]],
        digests: ObjectDigests,
        store: SqlStorageDamage,
        now_ms: Callable[[], int],
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._pending = pending
        self._digests = digests
        self._store = store
        self._now_ms = now_ms
        self.damage: Mapping[str, Damage] = MappingProxyType({})
        """What is wrong now, by name; replaced, never changed."""

    def begin(self) -> None:
        """Take up what was found before a stop. StateFault if it can't be read."""
        known = [each for each in self._store.all() if each.storage == self._storage.storage_id]
        self.damage = MappingProxyType({each.name: each for each in known})

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
        batches = {_record_name(each): each for each in self._catalogue.batches() if each.storage == storage_id}
        found = self._sizes(objects.values())
        found |= dict.fromkeys(batches.keys() - set(records), (MISSING, "the batch record isn't there"))
        expected = {None, *pending}
        unlisted = [name for name in listed if name not in objects and of_ours(name) not in expected]
        unlisted += [name for name in records if name not in batches and _batch_of(name) not in expected]
        found |= dict.fromkeys(unlisted, (UNLISTED, "no batch record of the catalogue names it"))
        self._take(found)
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
            self._judge(name, None)  # nothing says any more what it is to be
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
            self._judge(name, (UNREADABLE, f"can't be read ({os.strerror(error.errno or 0)})"))
            return
        self._digests.learn(item, state, intact=is_intact)
        self._judge(name, None if is_intact else _OTHER_BYTES)

    def _digest(self, item: CatalogueObject, read: Callable[[int], None]) -> str:
        digest = hashlib.sha256()
        with open(self._storage.local_path(item.name), "rb", buffering=0) as file:
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
            self._judge(name, (UNREADABLE, str(error)))  # and the walk goes on to the next
            return
        if batch is None or data is None:
            return
        read(len(data))
        self._judge(name, None if record_digest(data) == batch.record_digest else _OTHER_BYTES)

    def _judge(self, name: str, fault: _Fault | None) -> None:
        """Keep what a reading came to: what is wrong, or None if it is as it was stored."""
        before = self.damage.get(name)
        if fault is None:
            if before is not None and before.kind != UNLISTED:
                self._mend(before)
        # That what has another size can't be read either is no news: else each look would tell both in turn.
        elif before is None or before.kind not in (fault[0], CHANGED):
            self._find(name, *fault)

    def _sizes(self, objects: Collection[CatalogueObject]) -> dict[str, _Fault]:
        found: dict[str, _Fault] = {}
        for item in objects:
            size = self._storage.size(item.name)
            if size is None:
                found[item.name] = (MISSING, f"{item.rows} events of {item.log_id}, batch {item.first}-{item.last}")
            elif size != item.bytes:
                found[item.name] = (CHANGED, f"is {size} bytes and was {item.bytes} when it was stored")
        return found

    def _take(self, found: Mapping[str, _Fault]) -> None:
        new = 0
        for name, (kind, detail) in found.items():
            before = self.damage.get(name)
            if (before is None or before.kind != kind) and new < MOST_NEW:
                self._find(name, kind, detail)
                new += 1
        for name, damage in self.damage.items():
            # Whether what was missing or changed is right again only its digest tells.
            if name not in found and damage.kind == UNLISTED:
                self._mend(damage)

    def _find(self, name: str, kind: str, detail: str) -> None:
        damage = Damage(self._storage.storage_id, name, kind, detail, self._now_ms())
        self._store.found(damage)
        self.damage = MappingProxyType({**self.damage, name: damage})
        _log.error("an object in the storage isn't as it should be", extra={"fields": {"object": name, "kind": kind}})

    def _mend(self, damage: Damage) -> None:
        self._store.mended(damage)
        self.damage = MappingProxyType({name: each for name, each in self.damage.items() if name != damage.name})
        _log.info("an object in the storage is right again", extra={"fields": {"object": damage.name}})


def _record_name(batch: CatalogueBatch) -> str:
    return RECORDS + Cut(batch.log_id, batch.first, batch.last, batch.storage).record_name


def _batch_of(record: str) -> tuple[str, int] | None:
    """Log and first sequence of the batch that a record is of by its name; None if it isn't named like one."""
    match = RECORD_NAME.fullmatch(record.removeprefix(RECORDS))
    return (match[1], int(match[2])) if match is not None else None

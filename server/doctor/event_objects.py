"""Catalogue against storage: objects of events that are missing, changed, or that the catalogue doesn't know."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from server.audit_log.foreign import RECORD_GONE, of_ours
from server.doctor.data_at_hand import DataAtHand, is_on_its_way
from server.doctor.findings import Fact, Fault, Finding, Severity, Told
from server.regular_files import in_place_of, open_regular
from server.state.catalogue_rows import CatalogueObject
from server.storage.ports import StorageError, StoredObject

_RESTORE = (
    "Put the file back from a copy: its SHA-256 is in the batch record that names it. Until then searches that need it "
    "say so. Keep what is there now apart, and look for who could write to the storage."
)

MISSING: Final = Fault(
    "object_missing", Severity.ERROR, "An object of stored events isn't there; searches that need it say so.", _RESTORE
)
CHANGED: Final = Fault(
    "object_changed",
    Severity.ERROR,
    "An object of stored events doesn't have the bytes that were stored; it is left out of searches, which say so.",
    _RESTORE,
)
UNREADABLE: Final = Fault(
    "object_unreadable",
    Severity.ERROR,
    "An object can't be read, so that nothing is known of what it holds.",
    "Look at the file's owner and mode, and at the disk.",
)
FOREIGN_UNREADABLE: Final = Fault(
    "foreign_unreadable",
    Severity.WARNING,
    "Others put a file among the objects of events that can't be read as one; searches of its date say so.",
    "Have it put right or move it away.",
)
UNLISTED: Final = Fault(
    "object_unlisted",
    Severity.WARNING,
    "A file is named like an object of ours, and no batch record names it. Its events are shown as foreign.",
    "If a batch record was lost, put it back from a copy and restart the server. Else find out who put the file there "
    "and move it away.",
)
FOREIGN: Final = Fault(
    "object_foreign",
    Severity.NOTICE,
    "Others put a file among the objects of events. Its events are shown, marked as foreign.",
    "Nothing, if it is meant to be there. Else move it away.",
)
UNLISTABLE: Final = Fault(
    "storage_unreadable",
    Severity.ERROR,
    "A folder of the storage can't be listed.",
    "Give the folder back to the server's account, mode 700; look at the disk.",
)

FAULTS: Final = (MISSING, CHANGED, UNREADABLE, UNLISTED, FOREIGN, FOREIGN_UNREADABLE, UNLISTABLE)
SAMPLE_OBJECTS: Final = 32
SAMPLE_BYTES: Final = 256 * 1024 * 1024


def check(at: DataAtHand) -> Told:
    """Compare both ways, and the digests of all objects or of some."""
    listed: dict[str, StoredObject] = {}
    try:
        dates = at.events.dates()
    except StorageError as error:
        yield UNLISTABLE.of("storage/events", str(error))
        return
    for date in dates:
        try:
            listed.update({item.name: item for item in at.events.list_date(date)})
        except StorageError as error:
            yield UNLISTABLE.of(f"storage/events/{date}", str(error))
    # In this order: a batch that was on its way at the listing is pending still, or in the catalogue by now.
    pending = at.pending()
    known = {item.name: item for item in at.catalogue().objects(at.events.storage_id)}
    yield from _unknown(at, listed, known, pending)
    whole: list[CatalogueObject] = []
    ours = [item for item in known.values() if not item.is_foreign]
    for item in ours:
        fault = size_fault(at, item)
        if fault is not None:
            yield fault
        else:
            whole.append(item)
    read = whole if at.deep else sample(whole)
    for item in read:
        if changed := digest_fault(at, item):
            yield changed
    yield Fact("objects", len(ours))
    yield Fact("rows", sum(item.rows for item in ours))
    yield Fact("bytes", sum(item.bytes for item in ours))
    yield Fact("digests checked", len(read))


def size_fault(at: DataAtHand, item: CatalogueObject) -> Finding | None:
    """What is wrong with an object of ours as far as a look at its size shows."""
    try:
        size = at.events.size(item.name)
    except StorageError as error:
        return UNREADABLE.of(item.name, str(error))
    if size is None:
        of_batch = f"{item.rows} event{'' if item.rows == 1 else 's'} of {item.log_id}, batch {item.first}-{item.last}"
        instead = in_place_of(at.events.local_path(item.name))
        return MISSING.of(item.name, "; ".join(filter(None, (instead, of_batch))))
    if size != item.bytes:
        return CHANGED.of(item.name, f"is {size} bytes and was {item.bytes} when it was stored")
    return None


def digest_fault(at: DataAtHand, item: CatalogueObject) -> Finding | None:
    """Whether the object has other bytes than were stored."""
    try:
        with open(at.events.local_path(item.name), "rb", opener=open_regular) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return UNREADABLE.of(item.name, error.strerror or "unknown fault")
    at.read(item.bytes)
    return CHANGED.of(item.name, f"has SHA-256 {found} and had {item.sha256}") if found != item.sha256 else None


def sample(objects: Sequence[CatalogueObject]) -> list[CatalogueObject]:
    """Some of them, by chance, so that looking often comes upon all."""
    chosen: list[CatalogueObject] = []
    size = 0
    for item in random.sample(objects, min(len(objects), SAMPLE_OBJECTS)):
        size += item.bytes
        if chosen and size > SAMPLE_BYTES:
            break
        chosen.append(item)
    return chosen


def _unknown(
    at: DataAtHand,
    listed: Mapping[str, StoredObject],
    known: Mapping[str, CatalogueObject],
    pending: frozenset[tuple[str, int]],
) -> Iterator[Finding]:
    for name, item in listed.items():
        row = known.get(name)
        if row is not None and not row.is_foreign:
            continue
        batch = of_ours(name)
        if item.problem or (row is not None and row.rows == 0 and row.foreign_note):
            yield FOREIGN_UNREADABLE.of(name, item.problem or str(row and row.foreign_note))
        elif batch is None:
            yield FOREIGN.of(name, f"{item.size} bytes")
        elif not is_on_its_way(pending, *batch):
            yield UNLISTED.of(name, RECORD_GONE if row is not None and row.foreign_note == RECORD_GONE else "")

"""Batch records: whether they are there, unchanged, and one chain."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Final

from server.audit_log.batch_record import BatchRecord, record_digest
from server.audit_log.batch_rows import record_name_of
from server.audit_log.rebuilding import RECORD_NAME
from server.audit_log.record_chain import batch_chained_before
from server.doctor.data_at_hand import DataAtHand, is_on_its_way
from server.doctor.findings import Fact, Fault, Finding, Severity, Told, Unexamined
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch
from server.storage.ports import StorageError

SAMPLE: Final = 500
_RESTORE = (
    "Put the record back from a copy: it says who emitted the events of its batch. Until then searches by emitter and "
    "receipts miss them, and say so. Look for who could write to the storage."
)
_ANEW = (
    "Stop the server, move state.db away and start it: the catalogue is made anew from the records. Issued "
    "certificates and locks are in state.db alone: keep it, and put it back if that is not what was wrong."
)

MISSING: Final = Fault("record_missing", Severity.ERROR, "The batch record of a stored batch isn't there.", _RESTORE)
CHANGED: Final = Fault(
    "record_changed", Severity.ERROR, "A batch record doesn't have the bytes that were stored.", _RESTORE
)
UNLISTED: Final = Fault(
    "record_unlisted",
    Severity.WARNING,
    "A batch record is in the storage, and the catalogue doesn't know it.",
    "Restart the server: it takes up records that it can read, of a bucket those with its own proof. If this one "
    "stays, put identity/batch-records.key back if it was lost; else find out who put the record there.",
)
CHAIN: Final = Fault(
    "record_chain_broken",
    Severity.ERROR,
    "A batch record doesn't name the one before it by its digest: one was taken out, or another put in.",
    "Compare the records of the log with a copy. A record that both lack was removed before the copy was made.",
)
UNKNOWN_OBJECT: Final = Fault(
    "record_names_unknown_object",
    Severity.ERROR,
    "A batch record names an object that the catalogue doesn't know, so that searches don't read it.",
    _ANEW,
)
OTHER_OBJECT: Final = Fault(
    "record_differs",
    Severity.ERROR,
    "The catalogue has another size, digest or number of events of an object than its batch record, which is what was "
    "stored: searches take the object for changed.",
    _ANEW,
)
GAP: Final = Fault(
    "sequence_gap",
    Severity.ERROR,
    "Between two batches of a log are sequences that no batch has and that aren't named as lost.",
    "Look for the batch's record and objects in a copy, put them back and restart the server.",
)

FAULTS: Final = (MISSING, CHANGED, UNLISTED, CHAIN, UNKNOWN_OBJECT, OTHER_OBJECT, GAP)


def check(at: DataAtHand) -> Told:
    """Look for all records, and read all or some."""
    try:
        listed = set(at.events.list_records())
    except (StorageError, OSError) as error:
        raise Unexamined("the batch records can't be listed") from error
    # In this order: a batch that was on its way at the listing is pending still, or in the catalogue by now.
    pending, catalogue = at.pending(), at.catalogue()
    batches = [batch for batch in catalogue.batches() if batch.storage == at.events.storage_id]
    names = {_name(batch): batch for batch in batches}
    for name in sorted(listed - names.keys()):
        match = RECORD_NAME.fullmatch(name)
        if match is not None and not is_on_its_way(pending, match[1], int(match[2]), int(match[3])):
            yield UNLISTED.of(f"_batches/{name}")
    read = batches if at.deep else random.sample(batches, min(len(batches), SAMPLE))
    chosen = {_name(batch) for batch in read}
    for name, batch in names.items():
        if name in chosen:
            yield from _read(at, catalogue, batch)
        elif name not in listed and at.events.read_record(name) is None:
            yield MISSING.of(f"_batches/{name}")
    # Of all storages: what is in none of them and on its way to none is nowhere.
    yield from _gaps(catalogue.batches(), catalogue.holes(), pending)
    yield Fact("batch records", len(batches))
    yield Fact("read", len(read))


def _read(at: DataAtHand, catalogue: Catalogue, batch: CatalogueBatch) -> Iterator[Finding]:
    name = _name(batch)
    try:
        data = at.events.read_record(name)
    except StorageError as error:
        yield CHANGED.of(f"_batches/{name}", str(error))
        return
    if data is None:
        yield MISSING.of(f"_batches/{name}", f"sequences {batch.first}-{batch.last}")
        return
    at.read(len(data))
    try:
        record = BatchRecord.decode(data)
    except ValueError:
        record = None
    if record is None or record_digest(data) != batch.record_digest:
        yield CHANGED.of(f"_batches/{name}", f"has SHA-256 {record_digest(data)} and had {batch.record_digest}")
        return
    before = batch_chained_before(catalogue, batch.log_id, batch.first, batch.storage, record.diverted_from)
    if record.previous != (before.record_digest if before is not None else ""):
        yield CHAIN.of(f"_batches/{name}", f"names {record.previous or 'none'} as the one before")
    for item in record.objects:
        known = catalogue.object(batch.storage, item.name)
        if known is None:
            yield UNKNOWN_OBJECT.of(item.name, f"named by _batches/{name}")
        elif (known.sha256, known.bytes, known.rows) != (item.sha256, item.bytes, item.rows):
            yield OTHER_OBJECT.of(item.name, f"named by _batches/{name} with SHA-256 {item.sha256}")


def _gaps(
    batches: Sequence[CatalogueBatch], holes: Sequence[tuple[str, int, int]], pending: Collection[tuple[str, int]]
) -> Iterator[Finding]:
    lost = {log_id: sorted((a, b) for log, a, b in holes if log == log_id) for log_id, _, _ in holes}
    for before, after in pairwise(batches):
        if before.log_id != after.log_id:
            continue
        expected = before.last + 1
        for first, last in lost.get(after.log_id, []):
            if first <= expected <= last:
                expected = last + 1
        waits = any(log_id == after.log_id and expected <= first < after.first for log_id, first in pending)
        if expected < after.first and not waits:
            yield GAP.of(after.log_id, f"sequences {expected}-{after.first - 1}")


def _name(batch: CatalogueBatch) -> str:
    return record_name_of(batch)

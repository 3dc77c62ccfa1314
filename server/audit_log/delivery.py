"""Delivery: from a cut to a confirmed batch. Cut, spool, storage, catalogue, known uids, trim, in that order.

Every step can be done again: a stop between any two of them is taken up by the next start.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from server.audit_log.batch_record import BatchObject, BatchRecord, record_digest
from server.audit_log.cuts import Cut
from server.audit_log.journal.journal import Journal
from server.audit_log.known_uids import uid_entries
from server.audit_log.record_chain import batch_chained_before
from server.audit_log.spool import Spool
from server.audit_log.tail import Section, Tail
from server.audit_log.uid_files import UidFiles
from server.state.catalogue import Catalogue, CatalogueBatch, CatalogueObject
from server.storage.ports import EventStorage, NameTaken, StorageError

_log = logging.getLogger(__name__)
_MAX_NAMES = 100
MAX_TYPES = 256
MAX_TYPES_CHARACTERS = 16_384


@dataclass(frozen=True, slots=True)
class Delivered:
    """One confirmed batch."""

    cut: Cut
    objects: int
    rows: int
    bytes: int
    encoding_seconds: float
    """0 where an attempt before had encoded it."""


class Delivery:
    """Delivers the oldest cut section of one storage. Used by one thread at a time."""

    def __init__(
        self,
        storage: EventStorage,
        tail: Tail,
        spool: Spool,
        catalogue: Catalogue,
        uid_files: UidFiles,
        journal: Journal,
        before_leaving: Callable[[], None] = lambda: None,
        leaving: Lock | None = None,
    ) -> None:
        """`before_leaving` is called before the events of a section leave the tail; what it raises stops the delivery,
        which is tried again. `leaving` is held by one delivery at a time while they leave: those of other storages
        share it."""
        self._before_leaving = before_leaving
        self._leaving = leaving or Lock()
        self._storage = storage
        self._tail = tail
        self._spool = spool
        self._catalogue = catalogue
        self._uid_files = uid_files
        self._journal = journal
        self._encoding_seconds = 0.0
        self._uids_kept: Cut | None = None
        """The cut whose uids were written last: an attempt that fails after that must not write them again, or those of
        older ones would have to make room."""

    def deliver_next(self) -> Delivered | None:
        """Deliver the storage's oldest cut section; None if there is none, or it was diverted meanwhile.

        Raises:
            StorageError, OSError: it isn't confirmed; safe to try again.
        """
        section = self._tail.to_deliver(self._storage.storage_id)
        if section is None or section.cut is None:
            return None
        cut = section.cut
        self._encoding_seconds = 0.0
        objects = self._known_objects(cut)
        record = None if objects is not None else self._confirmed_record(section, cut) or self._send(section, cut)
        if record is not None:
            objects = catalogue_objects(record)
        with self._leaving:
            if not self._tail.has(section):
                _tell_late(cut)
                return None
            self._leave(section, cut, record)
        rows, size = (sum(getattr(item, what) for item in objects or ()) for what in ("rows", "bytes"))
        return Delivered(cut, len(objects or ()), rows, size, self._encoding_seconds)

    def _known_objects(self, cut: Cut) -> list[CatalogueObject] | None:
        """What is there of a batch that a stop kept from leaving the tail once it was confirmed; None where it wasn't.

        What is on this machine is looked at again, as somebody may have put an older copy of it back. A bucket isn't
        asked: it may be gone.
        """
        batch = self._catalogue.batch(cut.log_id, cut.first)
        return self._catalogue.objects_of_batch(batch) if batch and self._storage.compares_digests else None

    def _leave(self, section: Section, cut: Cut, record: BatchRecord | None) -> None:
        self._before_leaving()
        if record is not None:
            self._catalogue.add_batch(catalogue_batch(record), catalogue_objects(record))
        self._keep_uids(section, cut)
        self._journal.trim(section.log_id, section.first, damaged=section.damaged)
        # From here on searches find its events in the catalogue's objects, before in the tail.
        self._tail.remove(section)
        self._spool.discard(cut)

    def _keep_uids(self, section: Section, cut: Cut) -> None:
        entries = [uid_entries(item.block.table, item.first, item.received_ms) for item in section.blocks]
        if entries and cut != self._uids_kept:
            self._uid_files.append(cut.log_id, np.concatenate(entries))
            self._uids_kept = cut

    def _confirmed_record(self, section: Section, cut: Cut) -> BatchRecord | None:
        """The batch record in the storage, which is written last: if it is there, all of the batch is.

        Raises:
            StorageError: there is a record of that name, and it isn't one of this batch.
            NameTaken: it is, and an object of the batch has other bytes.
        """
        storage = self._storage
        data = storage.read_record(cut.record_name)
        if data is None:
            return None
        with contextlib.suppress(ValueError):
            record = BatchRecord.decode(data)
            if record.cut == cut and self._is_there(section, cut, record):
                # A stop may have come between its rename and its sync, which the storage then makes up for.
                storage.put_record(cut.record_name, data)
                return record
        raise StorageError(f"the record of batch {cut.name} is not one of this batch; move it away")

    def _is_there(self, section: Section, cut: Cut, record: BatchRecord) -> bool:
        """Whether a record that was found is the batch's own, and its objects are there."""
        storage = self._storage
        if not storage.compares_digests:
            return [storage.size(item.name) for item in record.objects] == [item.bytes for item in record.objects]
        # Others can write there, and names can be guessed: believed, their record would have the events discarded.
        ours = self._spool.record_of(cut) or self._encode(section, cut)
        if replace(ours, previous=record.previous).encode() != record.encode():
            return False
        for item in record.objects:  # put again: what was removed comes back, what was replaced is found out
            storage.put(item.name, str(self._spool.object_path(cut, item.name)), item.sha256, item.bytes)
        return True

    def _send(self, section: Section, cut: Cut) -> BatchRecord:
        storage = self._storage
        record = self._spool.record_of(cut) or self._encode(section, cut)
        for index in range(len(record.objects)):
            record = self._send_object(storage, cut, record, index)
        storage.put_record(cut.record_name, record.encode())
        return record

    def _encode(self, section: Section, cut: Cut) -> BatchRecord:
        started = time.perf_counter()
        record = self._spool.encode(section, cut, self._previous(cut))
        self._encoding_seconds = time.perf_counter() - started
        return record

    def _send_object(self, storage: EventStorage, cut: Cut, record: BatchRecord, index: int) -> BatchRecord:
        """Send one object; where its name is taken by other bytes, send it under the next free one."""
        for _ in range(_MAX_NAMES):
            item = record.objects[index]
            path = self._spool.object_path(cut, item.name)
            try:
                storage.put(item.name, str(path), item.sha256, item.bytes)
            except NameTaken:
                record = record.renamed(index, _next_name(item))
                self._spool.put_record(cut, record)
                fields = {"storage": cut.storage, "taken": item.name, "name": record.objects[index].name}
                _log.error("other bytes have an object's name; it goes out under another", extra={"fields": fields})
            else:
                return record
        raise NameTaken(record.objects[index].name)

    def _previous(self, cut: Cut) -> str:
        before = batch_chained_before(self._catalogue, cut.log_id, cut.first, cut.storage, cut.diverted_from)
        return before.record_digest if before is not None else ""


def _tell_late(cut: Cut) -> None:
    """The batch was diverted while it was delivered: it is the other storage's, whatever is in this one."""
    text = "a batch was diverted while it was delivered; what is stored of it here counts no more"
    _log.warning(text, extra={"fields": {"storage": cut.storage, "batch": cut.name}})


def _next_name(item: BatchObject) -> str:
    stem, attempt = re.fullmatch(r"(.*?)(?:\.r(\d+))?\.parquet", item.name).groups()  # type: ignore[union-attr]
    return f"{stem}.r{int(attempt or 0) + 1}.parquet"


def catalogue_batch(record: BatchRecord) -> CatalogueBatch:
    """The catalogue's row for the batch of a record that is in its storage."""
    return CatalogueBatch(
        record.storage,
        record.log_id,
        record.first,
        record.last,
        record_digest(record.encode()),
        time.time_ns() // 1_000_000,
    )


def catalogue_objects(record: BatchRecord) -> list[CatalogueObject]:
    """The catalogue's rows for the objects of a batch record."""
    return [
        CatalogueObject(
            storage=record.storage,
            name=item.name,
            rows=item.rows,
            bytes=item.bytes,
            first_ms=item.first_ms,
            last_ms=item.last_ms,
            types=_bounded(item.types),
            sha256=item.sha256,
            log_id=record.log_id,
            first=record.first,
            last=record.last,
        )
        for item in record.objects
    ]


def _bounded(types: Sequence[str]) -> frozenset[str] | None:
    """The types for the catalogue, which stays in memory; None, for unknown, where emitters made too many."""
    return frozenset(types) if len(types) <= MAX_TYPES and sum(map(len, types)) <= MAX_TYPES_CHARACTERS else None

"""Delivery: from a cut to a confirmed batch. Cut, spool, storage, catalogue, known uids, trim, in that order.

The objects of several batches go out at once; their records follow one after the other, in the order of their cuts,
since each names the one before it. Every step can be done again: a stop between any two is taken up by the next start.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from server.audit_log.batch_record import BatchRecord
from server.audit_log.batch_rows import catalogue_batch, catalogue_objects, cut_of
from server.audit_log.cuts import Cut
from server.audit_log.journal.journal import Journal
from server.audit_log.known_uids import uid_entries
from server.audit_log.record_chain import batch_chained_before
from server.audit_log.record_proof import RecordProofs
from server.audit_log.spool import Spool
from server.audit_log.tail import Section, Tail
from server.audit_log.taken_names import RECORDS, TakenName, next_name, next_number
from server.audit_log.uid_files import UidFiles
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueObject
from server.storage.ports import EventStorage, NameTaken, RecordUnreadable

_log = logging.getLogger(__name__)
_MAX_NAMES = 20
"""Names that are tried at once; another attempt goes on from there."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One confirmed batch."""

    cut: Cut
    objects: int
    rows: int
    bytes: int
    encoding_seconds: float
    """0 where an attempt before had encoded it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch whose objects are in the storage."""

    section: Section
    cut: Cut
    record: BatchRecord | None
    """As it was found there, or as it is to be but for the record before it; None where the catalogue has the batch."""
    objects: Sequence[CatalogueObject]
    record_number: int | None = None
    """By which of its names the record is there as well; None where it isn't."""
    encoding_seconds: float = 0.0


class Delivery:
    """Delivers the cut sections of one storage."""

    def __init__(
        self,
        storage: EventStorage,
        tail: Tail,
        spool: Spool,
        catalogue: Catalogue,
        uid_files: UidFiles,
        journal: Journal,
        proofs: RecordProofs,
        before_leaving: Callable[[], None] = lambda: None,
        leaving: Lock | None = None,
        encoding: AbstractContextManager[object] | None = None,
        name_taken: Callable[[TakenName], None] = lambda taken: None,
        look_back: Callable[[Cut], None] = lambda cut: None,
    ) -> None:
        """`before_leaving` is called before the events of a section leave the tail; what it raises stops the delivery,
        which is tried again. `leaving` is held by one delivery at a time while they leave: those of other storages
        share it. `encoding` is held while a batch is encoded, which takes a processor and several times its bytes.
        `name_taken` is told of names that others took, before what they were for goes out under others. `look_back` has
        the catalogue know what is before a batch in its storage, or raises StorageError."""
        self._before_leaving = before_leaving
        self._leaving = leaving or Lock()
        self._encoding = encoding or nullcontext()
        self._storage = storage
        self._tail = tail
        self._spool = spool
        self._catalogue = catalogue
        self._uid_files = uid_files
        self._journal = journal
        self._proofs = proofs
        self._name_taken = name_taken
        self._look_back = look_back
        self._told: set[str] = set()
        self._uids_kept: Cut | None = None
        """The cut whose uids were written last: an attempt that fails after that must not write them again, or those of
        older ones would have to make room."""

    def waiting(self, most: int) -> Sequence[Section]:
        """The storage's oldest cut sections, oldest first."""
        return self._tail.to_deliver(self._storage.storage_id, most)

    def deliver_next(self) -> Delivered | None:
        """Deliver the storage's oldest cut section; None if there is none, or it was diverted meanwhile.

        Raises:
            StorageError, OSError: it isn't confirmed; safe to try again.
        """
        section = next(iter(self.waiting(1)), None)
        return None if section is None else self.confirm(self.send(section))

    def send(self, section: Section) -> Sent:
        """Have the objects of a cut section in the storage. Several threads may, each with another section.

        Raises:
            StorageError, OSError: they aren't there; safe to try again.
        """
        if section.cut is None:
            raise RuntimeError("a section that isn't cut grows yet")
        cut = section.cut
        objects = self._known_objects(cut)
        if objects is not None:
            return Sent(section, cut, None, objects)
        recorded, number = self._recorded(cut)
        if recorded is not None:
            return Sent(section, cut, recorded, catalogue_objects(recorded), number)
        record, encoding_seconds = self._spool.record_of(cut), 0.0
        if record is None:
            record, encoding_seconds = self._encode(section, cut)
        for index in range(len(record.objects)):
            record = self._send_object(cut, record, index)
        return Sent(section, cut, record, catalogue_objects(record), encoding_seconds=encoding_seconds)

    def confirm(self, sent: Sent) -> Delivered | None:
        """Have the record of what was sent last in the storage, and its events leave the journal. One at a time, in the
        order of the storage's sections; what is diverted to it meanwhile may be older. None if this one was diverted.

        Raises:
            StorageError, OSError: it isn't confirmed; safe to try again.
        """
        section, cut, record = sent.section, sent.cut, sent.record
        if self._is_behind_another(section, cut):
            raise RuntimeError("a batch is confirmed before an older one, which its record has to name")
        number = sent.record_number or 0
        if record is not None and sent.record_number is None and self._tail.has(section):
            record, number = self._put_record(cut, record)
        with self._leaving:
            if not self._tail.has(section):
                _tell_late(cut)
                return None
            self._leave(section, cut, record, number)
        rows, size = (sum(getattr(item, what) for item in sent.objects) for what in ("rows", "bytes"))
        return Delivered(cut, len(sent.objects), rows, size, sent.encoding_seconds)

    def is_waiting(self, section: Section) -> bool:
        """Whether a section is there yet, and belongs where it did."""
        return self._tail.has(section)

    def _is_behind_another(self, section: Section, cut: Cut) -> bool:
        """Whether an older one of its chain of records waits. A diversion takes a chain away as a whole."""
        sections = self._tail.of_storage(self._storage.storage_id)
        if section not in sections:
            return False
        older = (each.cut for each in sections[: sections.index(section)] if each.cut is not None)
        return any((each.log_id, each.diverted_from) == (cut.log_id, cut.diverted_from) for each in older)

    def _known_objects(self, cut: Cut) -> list[CatalogueObject] | None:
        """What is there of a batch that a stop kept from leaving the tail once it was confirmed; None where it wasn't.

        What is on this machine is looked at again, as somebody may have put an older copy of it back. A bucket isn't
        asked: it may be gone.
        """
        batch = self._catalogue.batch(cut.log_id, cut.first)
        if batch is None or not self._storage.compares_digests:
            return None
        # Another batch that begins where it does is none of it: to leave the tail for that would lose it.
        return self._catalogue.objects_of_batch(batch) if cut_of(batch) == replace(cut, diverted_from="") else None

    def _leave(self, section: Section, cut: Cut, record: BatchRecord | None, number: int) -> None:
        self._before_leaving()
        if record is not None:
            self._catalogue.add_batch(catalogue_batch(record, number), catalogue_objects(record))
        self._keep_uids(section, cut)
        self._journal.trim(section.log_id, section.first, damaged=section.damaged)
        # From here on searches find its events in the catalogue's objects, before in the tail.
        self._tail.remove(section)
        try:
            self._spool.discard(cut)
        except OSError as error:  # it is delivered all the same; what is left of it goes at the next start
            fields = {"batch": cut.name, "reason": error.strerror}
            _log.warning("files of a delivered batch can't be removed from the spool", extra={"fields": fields})

    def _keep_uids(self, section: Section, cut: Cut) -> None:
        entries = [uid_entries(item.block.table, item.first, item.received_ms) for item in section.blocks]
        if entries and cut != self._uids_kept:
            self._uid_files.append(cut.log_id, np.concatenate(entries))
            self._uids_kept = cut

    def _recorded(self, cut: Cut) -> tuple[BatchRecord | None, int]:
        """The batch record in the storage, which is written last: if it is there, all of the batch is. And by which of
        its names it is there.

        Believed only where nobody else writes; there it stands above bytes that another version would encode otherwise.
        """
        storage = self._storage
        for number in range(_MAX_NAMES if not storage.compares_digests else 0):
            name = cut.numbered_record_name(number)
            data = storage.read_record(name)
            if data is None:
                break
            record = _decoded(data)
            if record is None or record.cut != cut:
                continue
            if [storage.size(item.name) for item in record.objects] == [item.bytes for item in record.objects]:
                # A stop may have come between its rename and its sync, which the storage then makes up for.
                storage.put_record(name, data)
                return record, number
        return None, 0

    def _put_record(self, cut: Cut, spooled: BatchRecord) -> tuple[BatchRecord, int]:
        """Put the record behind the one before it, under its next name where others took one; gives what is there of
        it, and the number of its name.

        Raises:
            NameTaken: one name after the other is taken while this is done.
        """
        self._look_back(cut)
        record = self._proofs.proven(replace(spooled, previous=self._previous(cut)))
        number = 0
        for _ in range(_MAX_NAMES):
            name = cut.numbered_record_name(number)
            try:
                self._storage.put_record(name, record.encode())
            except NameTaken:
                found = self._found_again(name, record)
                if found is not None:
                    return found, number
                number = next_number(number)
                self._tell_taken(f"{RECORDS}{name}", f"{RECORDS}{cut.numbered_record_name(number)}")
            else:
                return record, number
        raise NameTaken(cut.record_name)

    def _found_again(self, name: str, record: BatchRecord) -> BatchRecord | None:
        """What an attempt before has put under a name that is taken, maybe when less was known of what stands before
        it; None if others took it."""
        found = _decoded(data := self._read_taken(name))
        if found is None or found.encode() != data:  # its receipts are read by its bytes
            return None
        is_same = self._proofs.proven(replace(found, previous=record.previous)) == record
        return found if is_same and self._proofs.is_own(found) else None

    def _read_taken(self, name: str) -> bytes | None:
        try:
            return self._storage.read_record(name)
        except RecordUnreadable:
            return None

    def _tell_taken(self, name: str, instead: str) -> None:
        """Once for each name, unless the service is begun anew meanwhile."""
        if name not in self._told:
            self._name_taken(TakenName(self._storage.storage_id, name, instead))
            self._told.add(name)

    def _encode(self, section: Section, cut: Cut) -> tuple[BatchRecord, float]:
        with self._encoding:
            started = time.perf_counter()
            return self._spool.encode(section, cut), time.perf_counter() - started

    def _send_object(self, cut: Cut, record: BatchRecord, index: int) -> BatchRecord:
        """Send one object; where its name is taken by other bytes, send it under the next free one."""
        for _ in range(_MAX_NAMES):
            item = record.objects[index]
            path = self._spool.object_path(cut, item.name)
            try:
                self._storage.put(item.name, str(path), item.sha256, item.bytes)
            except NameTaken:
                name = next_name(item.name)
                self._tell_taken(item.name, name)
                record = record.renamed(index, name)
                self._spool.put_record(cut, record)  # synced before it is sent: a stop goes on with the same name
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


def _decoded(data: bytes | None) -> BatchRecord | None:
    """A record that was found, if it is one."""
    with contextlib.suppress(ValueError):
        return BatchRecord.decode(data) if data is not None else None
    return None

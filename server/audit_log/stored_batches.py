"""Stored batches as they were committed: the rows of one, in the order of sequences, and what of it is missing."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from server.audit_log.batch_codec import BatchColumns, UnreadableFooter
from server.audit_log.batch_decoding import decode, in_order
from server.audit_log.batch_record import ReceiptTable, gaps
from server.audit_log.batch_rows import cut_of, record_name_of
from server.audit_log.missing_ranges import lost_range
from server.audit_log.retention import Retention
from server.audit_log.search.origins import Origins, OriginUnknown
from server.audit_log.search.outcomes import Outcomes
from server.audit_log.search.query import Missing, MissingReason, reason_of
from server.audit_log.storages import Storages
from server.regular_files import open_regular
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch, CatalogueObject
from server.storage.ports import (
    ObjectArchived,
    ObjectChanged,
    ObjectMissing,
    ObjectUnreadable,
    RecordUnreadable,
    StorageError,
)

_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.ENOSPC, errno.EDQUOT})
"""Faults of the moment that say nothing of the object; there may be no room for a copy of it."""
_LASTING = (ObjectMissing, ObjectChanged, ObjectArchived, ObjectUnreadable, RecordUnreadable)
"""What becomes of a batch record by somebody's hand: asking again gives the same."""


@dataclass(frozen=True, slots=True)
class BatchRows:
    """One stored batch, whole: about as large as its JSON, which a cut bounds."""

    batch: CatalogueBatch
    columns: BatchColumns
    """Every row that could be read, in the order of sequences."""
    receipts: ReceiptTable | None
    """None where the batch record can't be read; `missing` says so."""
    missing: tuple[Missing, ...]
    """What of the batch can't be given: its objects, its receipts, ranges lost to damage."""


class StoredBatches:
    """Reads the confirmed batches of all storages. Blocking; safe to use from several threads."""

    def __init__(
        self,
        storages: Storages,
        catalogue: Catalogue,
        outcomes: Outcomes | None = None,
        retention: Retention | None = None,
    ) -> None:
        self.storages = storages
        self._catalogue = catalogue
        self._origins = Origins(storages, catalogue)
        self._outcomes = outcomes or Outcomes()
        self._retention = retention or Retention(storages, catalogue)

    def read(self, batch: CatalogueBatch) -> BatchRows:
        """Read a batch whole, and check each object's bytes against the digest that its record had.

        What others removed, changed or archived is named in `missing`, and stops nothing else.

        Raises:
            StorageError: it can't be read now; safe to try again.
        """
        with self._outcomes.counting((batch.storage,)) as outcome:
            if (kept := self._retention.of(batch.storage)).has_expired(batch):
                told = kept.told(record_name_of(batch), batch.first, batch.last)
                return BatchRows(batch, in_order([]), None, (told,))
            outcome.asked.add(batch.storage)
            rows = self._read(batch)
            outcome.lacks(rows.missing)
            return rows

    def _read(self, batch: CatalogueBatch) -> BatchRows:
        parts: list[BatchColumns] = []
        missing: list[Missing] = []
        objects = self._catalogue.objects_of_batch(batch)
        self.storages.of(batch.storage)
        with self.storages.local(objects) as found:
            for item in objects:
                read = self._read_object(item, found[item.key])
                if isinstance(read, Missing):
                    missing.append(read)
                else:
                    parts.append(read)
        columns = in_order(parts)
        # With every object read, what none of them holds was lost before they were written.
        lost = self._known_holes(batch) if missing else _gaps(batch, columns)
        missing += [lost_range(batch.storage, batch.log_id, *gap) for gap in lost]
        receipts = self._receipts_now(batch)
        if receipts is None:
            reason, text = self._origins.without_receipts(batch.log_id, batch.first)
            missing.append(Missing(reason, batch.storage, record_name_of(batch), text))
        return BatchRows(batch, columns, receipts, tuple(missing))

    def receipts(self, batch: CatalogueBatch) -> ReceiptTable | None:
        """The receipts of a batch; None if its record can't be read, or was changed."""
        try:
            return self._origins.receipts(cut_of(batch))
        except OriginUnknown:
            return None

    def _receipts_now(self, batch: CatalogueBatch) -> ReceiptTable | None:
        """The same where a record that can be read later is to be asked for again: what is told as missing stays so.

        Raises:
            StorageError: it can't be read now.
        """
        try:
            return self._origins.receipts(cut_of(batch))
        except OriginUnknown as unknown:
            error = unknown.__cause__
            if isinstance(error, StorageError) and _passes(error):
                raise error from unknown
            return None

    def _read_object(self, item: CatalogueObject, path: str | StorageError) -> BatchColumns | Missing:
        if isinstance(path, ObjectMissing | ObjectChanged | ObjectArchived | ObjectUnreadable):
            return _missing(reason_of(path), item, str(path))
        if isinstance(path, StorageError):
            raise path
        try:
            with open(path, "rb", opener=open_regular) as file:
                # A record may say any size, and room is made for it: whoever can write the storage may have written it.
                data = file.read(min(item.bytes, os.fstat(file.fileno()).st_size) + 1)
        except OSError as error:
            if error.errno in _PASSING:
                raise StorageError("the storage can't be read now") from error
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                return _missing(MissingReason.OBJECT_MISSING, item, "the object isn't there")
            return _missing(MissingReason.OBJECT_UNREADABLE, item, "the object can't be read")
        # The bytes that are decoded are those that were checked, whatever becomes of the file.
        if hashlib.sha256(data).hexdigest() != item.sha256:
            return _missing(MissingReason.OBJECT_CHANGED, item, "its bytes aren't those that were stored")
        try:
            return decode(data)
        except UnreadableFooter:
            return _missing(MissingReason.OBJECT_UNREADABLE, item, "the object isn't one that the service wrote")

    def _known_holes(self, batch: CatalogueBatch) -> Sequence[tuple[int, int]]:
        return [
            (max(first, batch.first), min(last, batch.last))
            for log_id, first, last in self._catalogue.holes()
            if log_id == batch.log_id and first <= batch.last and last >= batch.first
        ]


def _passes(error: StorageError) -> bool:
    """Whether asking again for a batch record may go better."""
    disk = error.__cause__
    return not isinstance(error, _LASTING) and (not isinstance(disk, OSError) or disk.errno in _PASSING)


def _gaps(batch: CatalogueBatch, columns: BatchColumns) -> Sequence[tuple[int, int]]:
    sequences: list[int] = columns.sequences.tolist()
    if len(sequences) == batch.last - batch.first + 1:
        return ()
    return gaps([(sequence, sequence) for sequence in sequences], batch.first, batch.last)


def _missing(reason: MissingReason, item: CatalogueObject, text: str) -> Missing:
    return Missing(reason, item.storage, item.name, text)

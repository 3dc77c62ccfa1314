"""Origins: which sequence and receipt a row of a stored object has, from footers and batch records, cached."""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from server.audit_log.batch_codec import UnreadableFooter, read_sequences
from server.audit_log.batch_record import BatchRecord, ReceiptTable, record_digest
from server.audit_log.cuts import Cut
from server.audit_log.receipts import Emitter, Receipt
from server.audit_log.search.query import MissingReason, Watermark
from server.audit_log.storages import Storages
from server.audit_log.weighted_cache import WeightedCache
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueObject
from server.storage.ports import ObjectArchived, StorageError

_CACHED_ROWS = 4_000_000
_CACHED_RECEIPTS = 1_000_000
_MOST_ARCHIVED = 100_000


class OriginUnknown(Exception):
    """A footer or batch record can't be read."""


class ObjectOrigin(NamedTuple):
    """The sequences of an object's rows in row order, and the receipts of its batch; None for what can't be read."""

    sequences: Sequence[int] | None
    receipts: ReceiptTable | None

    def sequence(self, row: int) -> int:
        """The sequence of a row; 0 if it can't be read."""
        return self.sequences[row] if self.sequences is not None else 0

    def receipt(self, sequence: int) -> Receipt | None:
        """The receipt of a sequence; None if it can't be read."""
        try:
            return self.receipts.receipt(sequence) if self.receipts is not None else None
        except LookupError:
            return None


NO_ORIGIN = ObjectOrigin(None, None)
"""Where there was no time to look."""


class Origins:
    """Looks up sequences and receipts of the storages' own objects. Safe to use from several threads."""

    def __init__(self, storages: Storages, catalogue: Catalogue) -> None:
        self._storages = storages
        self._catalogue = catalogue
        self._sequences: WeightedCache[str, Sequence[int]] = WeightedCache(_CACHED_ROWS)
        self._receipts: WeightedCache[tuple[str, int, int], ReceiptTable] = WeightedCache(_CACHED_RECEIPTS)
        self._archived: dict[tuple[str, int], None] = {}
        """Log and first sequence of batches whose record was archived when it was last asked for."""

    def of(self, object_: CatalogueObject) -> ObjectOrigin:
        """What is known of the rows of an object; asked once a page, as asking costs as much as a receipt."""
        sequences = table = None
        with contextlib.suppress(OriginUnknown):
            sequences = self.sequences(object_)
        with contextlib.suppress(OriginUnknown):
            table = self._table(object_)
        return ObjectOrigin(sequences, table)

    def sequences(self, object_: CatalogueObject) -> Sequence[int]:
        """The sequences of all rows in row order."""

        def read() -> tuple[Sequence[int], int]:
            try:
                with self._storages.one_local(object_) as path:
                    return array("q", read_sequences(path)), object_.rows
            except (UnreadableFooter, StorageError) as error:
                raise OriginUnknown(object_.name) from error

        return self._sequences.get(object_.key, read)

    def rows_by(self, object_: CatalogueObject, wanted: Callable[[Emitter], bool]) -> Sequence[int]:
        """Numbers of the rows whose emitter is wanted.

        Raises:
            OriginUnknown: footer or batch record can't be read.
        """
        table = self._table(object_)
        try:
            return [row for row, sequence in enumerate(self.sequences(object_)) if wanted(table.emitter(sequence))]
        except LookupError as error:
            raise OriginUnknown(object_.name) from error

    def row_of(self, object_: CatalogueObject, sequence: int) -> int | None:
        """The number of the row with this sequence, or None."""
        sequences = self.sequences(object_)
        return next((row for row, found in enumerate(sequences) if found == sequence), None)

    def _table(self, object_: CatalogueObject) -> ReceiptTable:
        return self.receipts(_cut_of(object_))

    def begin_receipts(self, objects: Iterable[CatalogueObject]) -> None:
        """Have the records of their batches fetched beside each other, for whoever then asks for the receipts of one
        object after the other."""
        records: dict[str, dict[str, str]] = {}
        for item in objects:
            if item.is_foreign or (item.log_id, item.first, item.last) in self._receipts:
                continue
            batch = self._catalogue.batch(item.log_id, item.first)
            if batch is not None and self._storages.of(item.storage).compares_digests:
                name = _cut_of(item).numbered_record_name(batch.record_number)
                records.setdefault(item.storage, {})[name] = batch.record_digest
        for storage, digests in records.items():
            self._storages.of(storage).begin_records(digests)

    def receipts(self, cut: Cut) -> ReceiptTable:
        """The receipts of a batch.

        Raises:
            OriginUnknown: its record can't be read, or isn't the one that the catalogue knows.
        """

        def read() -> tuple[ReceiptTable, int]:
            try:
                batch = self._catalogue.batch(cut.log_id, cut.first)
                name = cut.numbered_record_name(batch.record_number if batch is not None else 0)
                digest = batch.record_digest if batch is not None else ""
                data = self._storages.of(cut.storage).read_record(name, digest)
                if data is None or batch is None or record_digest(data) != batch.record_digest:
                    raise OriginUnknown(cut.record_name)
                table = ReceiptTable(BatchRecord.decode(data))
            except (StorageError, ValueError, LookupError, TypeError, OverflowError) as error:
                self._remember(cut, is_archived=isinstance(error, ObjectArchived))
                raise OriginUnknown(cut.record_name) from error
            self._remember(cut, is_archived=False)
            return table, cut.last - cut.first + 1

        return self._receipts.get((cut.log_id, cut.first, cut.last), read)

    def without_receipts(self, log_id: str, first: int) -> tuple[MissingReason, str]:
        """What an answer says that lacks the receipts of a batch."""
        if (log_id, first) not in self._archived:
            return MissingReason.RECEIPTS_UNREADABLE, "who emitted its events can't be read"
        text = "who emitted its events is in a batch record that is archived, and can be read once it was restored"
        return MissingReason.OBJECT_ARCHIVED, text

    def _remember(self, cut: Cut, *, is_archived: bool) -> None:
        key = cut.log_id, cut.first
        if not is_archived:
            self._archived.pop(key, None)
        elif len(self._archived) < _MOST_ARCHIVED:
            self._archived[key] = None


def _cut_of(item: CatalogueObject) -> Cut:
    return Cut(item.log_id, item.first, item.last, item.storage)


class RowSelection:
    """Which rows of each object count for one search: by watermark, and by emitter where the search asks for one."""

    def __init__(self, origins: Origins, watermark: Watermark, wanted: Callable[[Emitter], bool] | None) -> None:
        self._origins = origins
        self._watermark = watermark
        self._wanted = wanted
        self.unknown: set[str] = set()
        """Keys of the objects left out because their sequences or receipts can't be read."""

    def __call__(self, object_: CatalogueObject) -> Sequence[int] | None:
        """Row numbers, ascending; None for all."""
        if object_.is_foreign:
            return [] if self._wanted is not None else None
        newest = self._watermark.logs.get(object_.log_id, 0)
        if object_.last <= newest and self._wanted is None:
            return None
        try:
            return self._rows(object_, newest)
        except OriginUnknown:
            self.unknown.add(object_.key)
            return []

    def _rows(self, object_: CatalogueObject, newest: int) -> Sequence[int]:
        rows = range(object_.rows) if self._wanted is None else self._origins.rows_by(object_, self._wanted)
        if object_.last <= newest:
            return rows
        sequences = self._origins.sequences(object_)
        return [row for row in rows if sequences[row] <= newest]

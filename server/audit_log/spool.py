"""The spool: a batch's objects and record, encoded once, so that every attempt to deliver sends the same bytes."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Collection
from pathlib import Path

from server.audit_log.batch_codec import BatchColumns, encode
from server.audit_log.batch_columns import columns_by_date
from server.audit_log.batch_record import BatchObject, BatchRecord, encode_receipts, gaps
from server.audit_log.cuts import Cut
from server.audit_log.tail import Section
from server.files import Files, write_durably

_RECORD = "record.json"


class Spool:
    """One folder for each cut: its Parquet objects, named by date, and, last of all, its batch record.

    A folder without a record was left by a stop in the middle; nothing of it was sent, so it is encoded anew.
    """

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder

    def record_of(self, cut: Cut) -> BatchRecord | None:
        """The spooled record, or None if the batch isn't wholly encoded, or is damaged: it may have lain there long."""
        folder = self._folder / cut.spool_name
        if _RECORD not in self._files.list(folder):
            return None
        try:
            record = BatchRecord.decode(self._files.read(folder / _RECORD))
            is_whole = all(self._is_whole(cut, item) for item in record.objects)
        except (ValueError, OSError):
            return None
        return record if is_whole else None

    def has(self, cut: Cut) -> bool:
        """Whether anything is spooled of a batch, whole or not."""
        return cut.spool_name in self._files.list(self._folder)

    def _is_whole(self, cut: Cut, item: BatchObject) -> bool:
        return hashlib.sha256(self._files.read(self.object_path(cut, item.name))).hexdigest() == item.sha256

    def object_path(self, cut: Cut, name: str) -> Path:
        """Where the spooled bytes of an object are; spooled under its date alone."""
        return self._folder / cut.spool_name / f"{name.partition('/')[0]}.parquet"

    def encode(self, section: Section, cut: Cut) -> BatchRecord:
        """Encode all objects and the record of a cut, which names none before it yet; durable when it returns."""
        folder = self._folder / cut.spool_name
        self._files.make_folder(folder)
        objects = [self._encode_date(folder, date, rows, cut) for date, rows in columns_by_date(section.blocks)]
        record = BatchRecord(
            cut.log_id,
            cut.first,
            cut.last,
            cut.storage,
            "",
            tuple(objects),
            gaps([(block.first, block.last) for block in section.blocks], cut.first, cut.last),
            encode_receipts(section.blocks),
            cut.diverted_from,
        )
        self.put_record(cut, record)
        return record

    def put_record(self, cut: Cut, record: BatchRecord) -> None:
        """Write the record; it replaces one whose objects had to be given other names."""
        write_durably(self._files, self._folder / cut.spool_name / _RECORD, record.encode())

    def discard(self, cut: Cut) -> None:
        """Remove what is spooled of a confirmed batch; the record first, so that a stop leaves nothing half."""
        self._discard(self._folder / cut.spool_name)
        if cut.diverted_from:
            with contextlib.suppress(OSError):  # an attempt may be under way there; the next start cleans up after it
                self._discard(self._folder / cut.name)

    def _discard(self, folder: Path) -> None:
        names = self._files.list(folder)
        for name in sorted(names, key=lambda name: name != _RECORD):
            self._files.remove(folder / name)
        if names:
            self._files.remove_folder(folder)
            self._files.sync_folder(self._folder)

    def clean(self, pending: Collection[str]) -> None:
        """Remove what earlier stops left of batches that are confirmed: every folder but those of `pending` cuts."""
        for name in self._files.list(self._folder):
            if name not in pending:
                for leftover in self._files.list(self._folder / name):
                    self._files.remove(self._folder / name / leftover)
                self._files.remove_folder(self._folder / name)

    def _encode_date(self, folder: Path, date: str, columns: BatchColumns, cut: Cut) -> BatchObject:
        buffer = io.BytesIO()
        encoded = encode(columns, buffer, log_id=cut.log_id, first=cut.first, last=cut.last)
        write_durably(self._files, folder / f"{date}.parquet", buffer.getvalue())
        return BatchObject(
            f"{date}/{cut.name}.parquet",
            encoded.rows,
            encoded.bytes,
            encoded.sha256,
            encoded.first_ms,
            encoded.last_ms,
            encoded.types,
        )

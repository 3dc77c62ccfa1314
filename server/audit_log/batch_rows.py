"""The catalogue's rows of a batch, and back: its cut, and the name of its record."""

from __future__ import annotations

import time
from collections.abc import Sequence

from server.audit_log.batch_record import BatchRecord, record_digest
from server.audit_log.cuts import Cut
from server.state.catalogue_rows import CatalogueBatch, CatalogueObject

MAX_TYPES = 256
MAX_TYPES_CHARACTERS = 16_384


def catalogue_batch(record: BatchRecord, number: int = 0) -> CatalogueBatch:
    """The catalogue's row for the batch of a record that is in its storage, under the name of this number."""
    return CatalogueBatch(
        record.storage,
        record.log_id,
        record.first,
        record.last,
        record_digest(record.encode()),
        time.time_ns() // 1_000_000,
        number,
    )


def cut_of(batch: CatalogueBatch) -> Cut:
    """The cut that made a batch."""
    return Cut(batch.log_id, batch.first, batch.last, batch.storage)


def record_name_of(batch: CatalogueBatch) -> str:
    """Name of a batch's record below `_batches`."""
    return cut_of(batch).numbered_record_name(batch.record_number)


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

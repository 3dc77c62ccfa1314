"""A storage with many events in it, as the service would have delivered them: objects of 1,000 events with records.

The events of ten days are generated; further spans of ten days are the same rows at earlier times, so that a storage of
ten million events is written in minutes. Nothing in those is of a type that the index of sessions follows: making that
index anew is no part of what is measured, and would take a quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.generate_events import DAY_MS, START_MS, events
from server.audit_log.batch_codec import BatchColumns, BatchRow, columns_of, encode
from server.audit_log.batch_record import BatchObject, BatchRecord
from server.audit_log.cuts import Cut
from server.audit_log.timestamps import utc_date
from server.recordings.sessions.session_events import SESSION_TYPES

PER_OBJECT = 1_000
SPAN_EVENTS = 1_000_000
SPAN_DAYS = 10
OLDER_TYPE = "session.command"
LOG_ID = "0123456789abcdef0123"


@dataclass(frozen=True, slots=True)
class StoredStorage:
    """What was written: the folder of an embedded storage's events, and its objects in the order of time."""

    folder: Path
    objects: tuple[BatchObject, ...]

    def paths(self, from_ms: int, to_ms: int, types: frozenset[str] = frozenset()) -> list[str]:
        """The objects that a plan chooses, newest first."""
        chosen = [
            each
            for each in self.objects
            if each.last_ms >= from_ms and each.first_ms < to_ms and (not types or types & set(each.types))
        ]
        return [str(self.folder / each.name) for each in sorted(chosen, key=lambda each: each.first_ms, reverse=True)]


def write_storage(data: Path, spans: int = 1) -> StoredStorage:
    """Write `spans` million events below a data directory, the newest ten days being those of generate_events."""
    folder = data / "storage" / "events"
    objects: list[BatchObject] = []
    for rows in _objects_of_rows():
        columns = columns_of(rows)
        older_types = pc.if_else(pc.is_in(columns.types, pa.array(sorted(SESSION_TYPES))), OLDER_TYPE, columns.types)
        for span in range(spans):
            # Older spans come first in the log.
            shifted = replace(
                columns,
                types=columns.types if span == 0 else older_types,
                sequences=columns.sequences + (spans - 1 - span) * SPAN_EVENTS,
                times_ms=columns.times_ms - span * SPAN_DAYS * DAY_MS,
            )
            objects.append(_write_batch(folder, shifted))
    return StoredStorage(folder, tuple(sorted(objects, key=lambda each: each.first_ms)))


def _objects_of_rows() -> Iterator[list[BatchRow]]:
    rows: list[BatchRow] = []
    for row in events(SPAN_EVENTS, days=SPAN_DAYS, start_ms=START_MS):
        if rows and (len(rows) == PER_OBJECT or utc_date(row.time_ms) != utc_date(rows[0].time_ms)):
            yield rows
            rows = []
        rows.append(row._replace(sequence=row.sequence + 1))
    yield rows


def _write_batch(folder: Path, columns: BatchColumns) -> BatchObject:
    cut = Cut(LOG_ID, int(columns.sequences.min()), int(columns.sequences.max()), "default")
    date = utc_date(int(columns.times_ms[0]))
    path = folder / date / f"{cut.name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = encode(columns, path, log_id=LOG_ID, first=cut.first, last=cut.last)
    stored = BatchObject(
        f"{date}/{path.name}", done.rows, done.bytes, done.sha256, done.first_ms, done.last_ms, done.types
    )
    receipts = {"emitters": [["user", "bench", "", "", ""]], "runs": [[cut.first, 0, done.first_ms]]}
    record = BatchRecord(LOG_ID, cut.first, cut.last, "default", "", (stored,), (), receipts)
    target = folder / "_batches" / cut.record_name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(record.encode())
    return stored

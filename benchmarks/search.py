"""The narrow search (one hour and a type, 100 rows of 1,000,000 events in 1,000 objects) through mTLS with its trace.

Beside it, interleaved in the same run: bare DuckDB with one open connection, given only the objects the plan chose,
with the same filter, order and limit. `python -m benchmarks.search` prints a JSON line; times are medians in ms, warm.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import grpc
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub

from benchmarks.emit import our_server, settle
from benchmarks.generate_events import DAY_MS, START_MS, events
from server.audit_log.batch_codec import BatchRow, columns_of, encode
from server.audit_log.batch_record import BatchObject, BatchRecord
from server.audit_log.cuts import Cut
from server.audit_log.timestamps import utc_date

EVENTS = 1_000_000
PER_OBJECT = 1_000
ROUNDS = 100
LIMIT = 100
HOUR_MS = 3_600_000
LOG_ID = "0123456789abcdef0123"
KIND = "session.join"


def write_storage(folder: Path) -> list[BatchObject]:
    """Batches as the service would have delivered them, with records, in an embedded storage."""
    objects: list[BatchObject] = []
    rows: list[BatchRow] = []
    for row in events(EVENTS):
        if rows and (len(rows) == PER_OBJECT or utc_date(row.time_ms) != utc_date(rows[0].time_ms)):
            objects.append(_write_batch(folder, rows))
            rows = []
        rows.append(row)
    return [*objects, _write_batch(folder, rows)]


def _write_batch(folder: Path, rows: list[BatchRow]) -> BatchObject:
    cut = Cut(LOG_ID, rows[0].sequence, rows[-1].sequence, "default")
    date = utc_date(rows[0].time_ms)
    path = folder / date / f"{cut.name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = encode(columns_of(rows), path, log_id=LOG_ID, first=cut.first, last=cut.last)
    stored = BatchObject(
        f"{date}/{path.name}", done.rows, done.bytes, done.sha256, done.first_ms, done.last_ms, done.types
    )
    receipts = {"emitters": [["user", "bench", "", "", ""]], "runs": [[cut.first, 0, rows[0].time_ms]]}
    record = BatchRecord(LOG_ID, cut.first, cut.last, "default", "", (stored,), (), receipts)
    target = folder / "_batches" / cut.record_name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(record.encode())
    return stored


def bare_search(folder: Path, objects: list[BatchObject], start_ms: int) -> Callable[[], int]:
    """The floor: bare DuckDB over the planned objects."""
    end_ms = start_ms + HOUR_MS
    planned = [o for o in objects if o.last_ms >= start_ms and o.first_ms < end_ms and KIND in o.types]
    paths = [str(folder / o.name) for o in sorted(planned, key=lambda o: o.first_ms, reverse=True)]
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    sql = (
        'SELECT event_type, epoch_ms(event_time), uid, session_id, "user", event_data FROM read_parquet(?) '
        "WHERE event_time >= make_timestamptz(?::BIGINT) AND event_time < make_timestamptz(?::BIGINT) "
        f"AND event_type = ? ORDER BY event_time DESC, uid DESC LIMIT {LIMIT}"
    )
    values = [paths, start_ms * 1000, end_ms * 1000, KIND]
    return lambda: len(connection.execute(sql, values).fetchall())


def our_search(ready: dict[str, str], start_ms: int) -> Callable[[], int]:
    """The same page from the service."""
    credentials = grpc.ssl_channel_credentials(*(Path(ready[name]).read_bytes() for name in ("ca", "key", "cert")))
    stub = AuditLogServiceStub(grpc.secure_channel(ready["grpc"], credentials))
    request = pb.SearchEventsRequest(types=[KIND], page_size=LIMIT)
    request.from_time.FromMilliseconds(start_ms)
    request.to_time.FromMilliseconds(start_ms + HOUR_MS)

    def search() -> int:
        answer = stub.SearchEvents(request)
        assert answer.complete
        return len(answer.events)

    return search


def _timed(search: Callable[[], int], rows: int) -> float:
    started = time.perf_counter()
    assert search() == rows
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Print the figure."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        os.umask(0o077)
        storage = folder / "data" / "storage" / "events"
        objects = write_storage(storage)
        start_ms = START_MS + 5 * DAY_MS + 10 * HOUR_MS
        with our_server(folder) as ready:
            ours, bare = our_search(ready, start_ms), bare_search(storage, objects, start_ms)
            rows = bare()
            # To the service it is a storage that its state has lost: all of it is read for the index of sessions.
            settle(ready)
            for _ in range(5):
                ours(), bare()
            times = [(_timed(ours, rows), _timed(bare, rows)) for _ in range(ROUNDS)]
    our_ms, bare_ms = (statistics.median(column) for column in zip(*times, strict=True))
    line = {
        "name": "narrow search of 1,000,000 events",
        "rows": rows,
        "ours_ms": round(our_ms, 2),
        "floor_ms": round(bare_ms, 2),
        "target": "<= 1.5 x floor + 3 ms",
        "met": our_ms <= 1.5 * bare_ms + 3,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()

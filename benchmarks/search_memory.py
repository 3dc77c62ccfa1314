"""How much memory wide searches take: `python -m benchmarks.search_memory`.

300,000 events in 300 objects, searched in a process of its own: ten pages oldest first without a filter, and a text
that is nowhere. Prints a JSON line for each; the target is growth of at most 256 MiB.
"""

from __future__ import annotations

import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.generate_events import events
from rbac.identities import SERVICE
from server.audit_log.batch_codec import BatchRow, columns_of, encode
from server.audit_log.batch_record import BatchObject, BatchRecord
from server.audit_log.cuts import Cut
from server.audit_log.rebuilding import rebuild
from server.audit_log.search.query import MAX_PAGE_SIZE, SearchQuery
from server.audit_log.search.search import Search
from server.audit_log.search.tokens import PageTokens
from server.audit_log.storages import Storages
from server.audit_log.tail import Tail
from server.audit_log.timestamps import utc_date
from server.files import DiskFiles
from server.state.catalogue import Catalogue
from server.state.database import open_database
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.query import Filters, Order
from server.storage.scan.engine import DuckScanEngine

EVENTS = 300_000
PER_OBJECT = 1_000
LOG_ID = "0" * 20
TARGET_MIB = 256
ENGINE_BYTES = 128 * 1024 * 1024
PAGES = 10


def write_storage(folder: Path) -> None:
    """Batches with their records, as the service delivers them; each of one date."""
    rows: list[BatchRow] = []
    for row in events(EVENTS):
        if rows and (len(rows) == PER_OBJECT or utc_date(row.time_ms) != utc_date(rows[0].time_ms)):
            _write_batch(folder, rows)
            rows = []
        rows.append(row)
    _write_batch(folder, rows)


def _write_batch(folder: Path, rows: list[BatchRow]) -> None:
    cut = Cut(LOG_ID, min(row.sequence for row in rows), max(row.sequence for row in rows), "default")
    name = f"{utc_date(rows[0].time_ms)}/{cut.name}.parquet"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    done = encode(columns_of(rows), folder / name, log_id=LOG_ID, first=cut.first, last=cut.last)
    stored = BatchObject(name, done.rows, done.bytes, done.sha256, done.first_ms, done.last_ms, done.types)
    receipts = {"emitters": [["user", "bench", "", "", ""]], "runs": [[cut.first, 0, rows[0].time_ms]]}
    record = folder / "_batches" / cut.record_name
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_bytes(BatchRecord(LOG_ID, cut.first, cut.last, "default", "", (stored,), (), receipts).encode())


def measure(folder: Path) -> None:
    """Search in this process and tell how far its peak is above where it began."""
    storage = EmbeddedStorage(DiskFiles(), folder / "events")
    catalogue = Catalogue(open_database(folder / "state.db"))
    rebuild(storage, catalogue)
    engine = DuckScanEngine(threads=2, memory_bytes=ENGINE_BYTES, allowed_directories=[storage.location()])
    search = Search(Storages(storage), engine, Tail(), catalogue, PageTokens(b"k" * 32))
    before = _peak_mib()
    wide = SearchQuery(order=Order.OLDEST_FIRST, page_size=MAX_PAGE_SIZE)
    for name, query in (("wide", wide), ("text_nowhere", replace(wide, filters=Filters(text="nowhere at all")))):
        started = time.monotonic()
        rows = pages = 0
        for _ in itertools.repeat(None, PAGES):
            page = search.page(SERVICE, query, time.monotonic() + 120)
            rows, pages = rows + len(page.rows), pages + 1
            query = replace(query, page_token=page.next_page_token)
            if not page.complete or not page.next_page_token:
                break
        grown = _peak_mib() - before
        line = {"name": name, "pages": pages, "rows": rows, "complete": page.complete, "grown_mib": round(grown)}
        line |= {"seconds": round(time.monotonic() - started, 2), "target": TARGET_MIB, "met": grown <= TARGET_MIB}
        print(json.dumps(line), flush=True)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Write the storage, then measure in a process that has not written it."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_storage(Path(folder) / "events")
        subprocess.run([sys.executable, "-m", "benchmarks.search_memory", folder], check=True)


if __name__ == "__main__":
    main()

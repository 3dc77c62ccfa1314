"""Searches of 1,000,000 events in 1,000 objects through mTLS, each with its trace, beside bare DuckDB in the same run.

The floor is bare DuckDB with one open connection, given only the objects that the plan chose, with the same filter,
order and limit; rounds of the two alternate. The text is looked for as the service promises it, A-Z alike and no other
letters, in the fastest way that DuckDB has for that. Paging walks through 100,000 events; its floor is one query of
bare DuckDB for all of them. `python -m benchmarks.search` prints a JSON line each; times are medians in ms, warm.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import grpc
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub

from benchmarks.emit import our_server, settle
from benchmarks.generate_events import DAY_MS, START_MS, USERS
from benchmarks.stored_storage import StoredStorage, write_storage

LIMIT = 100
PAGE = 2_000
"""The most that the service gives; pages end before, at 1.5 MiB of JSON."""
HOUR_MS = 3_600_000
KIND = "session.join"
START = START_MS + 5 * DAY_MS + 10 * HOUR_MS
COLUMNS = 'event_type, epoch_ms(event_time), uid, session_id, "user", event_data'
ORDER = "ORDER BY event_time DESC, uid DESC"


@dataclass(frozen=True, slots=True)
class Case:
    """A search in both forms: filters of a request, and the floor's condition with `values` bound."""

    name: str
    filters: dict[str, Any]
    where: str
    values: Sequence[Any]
    rounds: int
    from_ms: int = START_MS
    to_ms: int = START_MS + 10 * DAY_MS
    types: frozenset[str] = field(default_factory=frozenset)


HOST = "node-077.eu-west-1.internal"
TEXT = "Node-077.eu-west-1.internal"
CASES = [
    Case("narrow: 1 hour and a type", {"types": [KIND]}, "event_type = ?", [KIND], 100, START, START + HOUR_MS,
         frozenset({KIND})),
    Case("user over 10 days", {"users": [USERS[77]]}, '"user" = ?', [USERS[77]], 15),
    Case("text over 10 days", {"text": TEXT}, "regexp_matches(event_data, ?)",
         ["".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else f"\\{c}" if c in ".-" else c for c in TEXT)], 7),
    Case("field over 1 day", {"fields": [query_pb.FieldEquality(path=["server_hostname"], string_value=HOST)]},
         "json_extract_string(event_data, '$.server_hostname') = ?", [HOST], 15,
         START_MS + 5 * DAY_MS, START_MS + 6 * DAY_MS),
]  # fmt: skip


def bare_query(storage: StoredStorage, case: Case, limit: int) -> Callable[[], int]:
    """The floor: bare DuckDB over the planned objects."""
    paths = storage.paths(case.from_ms, case.to_ms, case.types)
    connection = duckdb.connect(config={"threads": 2})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    between = "event_time >= make_timestamptz(?::BIGINT) AND event_time < make_timestamptz(?::BIGINT)"
    sql = f"SELECT {COLUMNS} FROM read_parquet(?) WHERE {between} AND {case.where} {ORDER} LIMIT {limit}"
    values = [paths, case.from_ms * 1000, case.to_ms * 1000, *case.values]
    return lambda: len(connection.execute(sql, values).fetchall())


class OurSearches:
    """The same from the service."""

    def __init__(self, ready: dict[str, str]) -> None:
        credentials = grpc.ssl_channel_credentials(*(Path(ready[name]).read_bytes() for name in ("ca", "key", "cert")))
        self._stub = AuditLogServiceStub(grpc.secure_channel(ready["grpc"], credentials))

    def page(self, case: Case, size: int, token: str = "") -> pb.SearchEventsResponse:
        """One page; what isn't complete is no measurement."""
        request = pb.SearchEventsRequest(page_size=size, page_token=token, **case.filters)
        request.from_time.FromMilliseconds(case.from_ms)
        request.to_time.FromMilliseconds(case.to_ms)
        answer = self._stub.SearchEvents(request)
        assert answer.complete
        return answer

    def walk(self, case: Case) -> int:
        """Pages to the end; gives the number of rows."""
        rows, token = 0, ""
        while True:
            answer = self.page(case, PAGE, token)
            rows, token = rows + len(answer.events), answer.next_page_token
            if not token:
                return rows


def timed(search: Callable[[], int], rows: int) -> float:
    """Milliseconds of a search that must give so many rows."""
    started = time.perf_counter()
    assert search() == rows
    return (time.perf_counter() - started) * 1000


def compare(ours: Callable[[], int], bare: Callable[[], int], rounds: int) -> tuple[int, float, float]:
    """Rows, and the medians of ours and the floor in ms."""
    rows = bare()
    for _ in range(5 if rounds >= 50 else 1):
        ours(), bare()
    times = [(timed(ours, rows), timed(bare, rows)) for _ in range(rounds)]
    our_ms, bare_ms = (statistics.median(column) for column in zip(*times, strict=True))
    return rows, our_ms, bare_ms


def search_line(searches: OurSearches, storage: StoredStorage, case: Case) -> dict[str, object]:
    """The figures of one page of one search."""
    rows, our_ms, bare_ms = compare(
        lambda: len(searches.page(case, LIMIT).events), bare_query(storage, case, LIMIT), case.rounds
    )
    return {
        "name": f"search of 1,000,000 events, {case.name}",
        "rows": rows,
        "ours_ms": round(our_ms, 2),
        "floor_ms": round(bare_ms, 2),
        "target": "<= 1.5 x floor + 3 ms",
        "met": our_ms <= 1.5 * bare_ms + 3,
    }


def paging_line(searches: OurSearches, storage: StoredStorage, ready: dict[str, str]) -> dict[str, object]:
    """The figures of walking through one day, which has 100,000 events.

    The first walk is told by itself: the process that makes pages ahead is begun behind it, and helps those after it.
    """
    day = Case("", {}, "true", [], 7, START_MS + 5 * DAY_MS, START_MS + 6 * DAY_MS)
    first_ms = timed(lambda: searches.walk(day), 100_000)
    settle(ready)
    rows, our_ms, bare_ms = compare(lambda: searches.walk(day), bare_query(storage, day, 10**7), day.rounds)
    return {
        "name": f"paging through {rows:,} events, pages of 1.5 MiB",
        "rows": rows,
        "ours_ms": round(our_ms),
        "first_walk_ms": round(first_ms),
        "floor_ms": round(bare_ms),
        "target": "<= 2 x one query for all",
        "met": our_ms <= 2 * bare_ms,
    }


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        os.umask(0o077)
        storage = write_storage(folder / "data")
        with our_server(folder) as ready:
            searches = OurSearches(ready)
            searches.page(CASES[0], 1)
            # To the service it is a storage that its state has lost: all of it is read for the index of sessions.
            settle(ready)
            for case in CASES:
                print(json.dumps(search_line(searches, storage, case)), flush=True)
            print(json.dumps(paging_line(searches, storage, ready)), flush=True)


if __name__ == "__main__":
    main()

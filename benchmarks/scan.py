"""Our scan beside bare DuckDB over the same files, interleaved in one process: `scan.py FOLDER [--rounds N]`.

FOLDER is what `generate_events.py` wrote with its defaults. Prints one line of JSON for each search; times are medians
in ms, warm. The target holds for the narrow search: ours <= 1.5 x floor + 3 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.generate_events import DAY_MS, START_MS, USERS
from server.storage.query import FieldEquality, Filters, Order, ScanObject, ScanRequest
from server.storage.scan.engine import DuckScanEngine

HOUR_MS = 3_600_000
LIMIT = 100
FILE_MS = DAY_MS // 100
"""How much time one file of the default data covers; its events may be 2 s earlier."""


@dataclass(frozen=True, slots=True)
class Case:
    """A search in both forms. `where` is the floor's condition, with `values` bound."""

    name: str
    filters: Filters
    where: str
    values: Sequence[Any]
    from_ms: int = START_MS
    to_ms: int = START_MS + 10 * DAY_MS


def _cases(some_uid: str) -> list[Case]:
    start = START_MS + 5 * DAY_MS + 10 * HOUR_MS
    between = "event_time >= make_timestamptz(?::BIGINT) AND event_time < make_timestamptz(?::BIGINT)"
    hour = [start * 1000, (start + HOUR_MS) * 1000]
    narrow = Filters(from_ms=start, to_ms=start + HOUR_MS, types=frozenset({"session.join"}))
    day = START_MS + 5 * DAY_MS
    field = FieldEquality(("server_hostname",), "node-077.eu-west-1.internal")
    host = "json_extract_string(event_data, '$.server_hostname') = ?"
    return [
        Case("narrow", narrow, f"{between} AND event_type = ?", [*hour, "session.join"], start, start + HOUR_MS),
        Case("user_10_days", Filters(users=frozenset({USERS[77]})), '"user" = ?', [USERS[77]]),
        Case("text_10_days", Filters(text="NODE-077.eu-west-2"), "contains(event_data, ?)", ["node-077.eu-west-2"]),
        Case("uid_1_day", Filters(uids=frozenset({some_uid})), "uid = ?", [some_uid], day, day + DAY_MS),
        Case("field_1_day", Filters(fields=(field,)), host, [field.value], day, day + DAY_MS),
    ]


def _paths(folder: Path, case: Case) -> list[str]:
    """The files whose time range may overlap the case's, newest first, as a catalogue would give them."""
    every = sorted(folder.glob("*/*.parquet"))
    first = max(0, (case.from_ms - START_MS) // FILE_MS)
    last = -((START_MS - case.to_ms - 2000) // FILE_MS)
    return [str(path) for path in every[first:last]][::-1]


def _median_ms(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The calls take turns, so that a busy machine is equally unfair to each."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 1):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            if turn:
                taken.append((time.perf_counter() - started) * 1000)
    return [statistics.median(taken) for taken in times]


def _measure(case: Case, folder: Path, engine: DuckScanEngine, floor: Any, rounds: int) -> dict[str, Any]:
    paths = _paths(folder, case)
    objects = [ScanObject(str(Path(path).relative_to(folder)), path) for path in paths]
    request = ScanRequest(objects, case.filters, Order.NEWEST_FIRST, LIMIT)
    columns = 'event_type, epoch_ms(event_time), uid, session_id, "user", event_data'
    sql = f"SELECT {columns} FROM read_parquet(?) WHERE {case.where} ORDER BY event_time DESC, uid DESC LIMIT {LIMIT}"

    def ours() -> list[str]:
        return [row.position.uid for row in engine.scan(request, deadline=time.monotonic() + 60).rows]

    def bare() -> list[str]:
        return [row[2] for row in floor.execute(sql, [paths, *case.values]).fetchall()]

    if ours() != bare():
        raise SystemExit(f"{case.name}: the two answers differ")
    ours_ms, floor_ms = _median_ms([ours, bare], rounds)
    line = {"name": case.name, "files": len(paths), "rows": len(ours()), "ours_ms": round(ours_ms, 2)}
    line |= {"floor_ms": round(floor_ms, 2), "ratio": round(ours_ms / floor_ms, 2)}
    if case.name == "narrow":
        line |= {"target": "<= 1.5 x + 3 ms", "met": ours_ms <= 1.5 * floor_ms + 3}
    return line


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=0, help="0: 101 for the narrow search, 5 for the others")
    args = parser.parse_args()
    engine = DuckScanEngine(threads=2, memory_bytes=1 << 30, allowed_directories=[str(args.folder)])
    floor = duckdb.connect()
    floor.execute("SET threads = 2")
    some_file = str(sorted(args.folder.glob("*/*.parquet"))[550])
    (some_uid,) = floor.execute("SELECT uid FROM read_parquet(?) LIMIT 1 OFFSET 500", [some_file]).fetchall()[0]
    for case in _cases(some_uid):
        rounds = args.rounds or (101 if case.name == "narrow" else 5)
        print(json.dumps(_measure(case, args.folder, engine, floor, rounds)), flush=True)


if __name__ == "__main__":
    main()

"""The scan engine: DuckDB over Parquet objects, shut off from everything else."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from operator import itemgetter
from typing import Any

import duckdb

from server.storage.ports import ScanTimeout, StorageError
from server.storage.query import Position, ScanObject, ScanRequest, ScanResult, ScanRow, UnreadableObject
from server.storage.scan.sql import Condition
from server.storage.scan.statements import Plan, fetch, plan, probe
from server.storage.scan.unreadable import KnownUnreadable, file_state
from server.storage.scan.watchdog import Watchdog

# So many rows are read beyond the limit to see that the last one's millisecond is whole.
_SLACK = 32
_PARSED_STATEMENTS = 256
_TIME_US, _UID, _TEXT = 2, 3, 8
"""Places in a record."""

_Run = Callable[[Condition], list[tuple[Any, ...]]]


class OutOfMemory(StorageError):
    """A scan needs more memory than all scans may use."""


class DuckScanEngine:
    """One in-memory database with a cursor for each scan; any number of threads may scan at once.

    It reads `allowed_directories` and nothing else, writes nothing, loads no extension, and uses at most
    `memory_bytes` and `threads` for all scans together.
    """

    def __init__(self, *, threads: int, memory_bytes: int, allowed_directories: Sequence[str]) -> None:
        self._database = duckdb.connect(":memory:")
        # Parsing takes as long as planning, and searches differ in values far more than in text.
        self._parsed = lru_cache(_PARSED_STATEMENTS)(self._parse)
        self._unreadable = KnownUnreadable()
        self._watchdog = Watchdog()
        for statement in _settings(threads, memory_bytes, allowed_directories):
            self._database.execute(statement)

    def scan(self, request: ScanRequest, *, deadline: float | None = None) -> ScanResult:
        """Run one scan; see `ScanEngine.scan`.

        Raises:
            ScanTimeout: the deadline passed.
            StorageError: no object is to blame, as when memory runs out.
            ValueError: a value that is asked for is none that rows can have, as a text that isn't valid Unicode.
        """
        if not request.objects or request.limit <= 0:
            return ScanResult(rows=[])
        with self._cursor(deadline) as run:
            try:
                return _scan(request, run, self._unreadable)
            except OutOfMemory:
                # Without their JSON and long users rows need far less; whoever wants them fetches them row by row.
                return _scan_sparingly(replace(request, inline_bytes=0), run, self._unreadable)

    def fetch(self, path: str, row_number: int) -> bytes:
        """The whole JSON of one row; see `ScanEngine.fetch`."""
        with self._cursor(None) as run:
            try:
                rows = run(fetch(path, row_number))
            except duckdb.Error as error:
                raise StorageError("the object can't be read") from error
        if not rows:
            raise StorageError("the object has no such row")
        text: str = rows[0][0]
        return text.encode()

    def close(self) -> None:
        """Close the database; scans still running fail."""
        self._watchdog.close()
        self._database.close()

    def _parse(self, sql: str) -> duckdb.Statement:
        (statement,) = self._database.extract_statements(sql)
        return statement

    @contextmanager
    def _cursor(self, deadline: float | None) -> Iterator[_Run]:
        cursor = self._database.cursor()

        def run(statement: Condition) -> list[tuple[Any, ...]]:
            if deadline is not None and time.monotonic() >= deadline:
                raise ScanTimeout
            try:
                rows: list[tuple[Any, ...]] = cursor.execute(self._parsed(statement.sql), statement.values).fetchall()
            except duckdb.InterruptException as error:
                raise ScanTimeout from error
            except duckdb.OutOfMemoryException as error:
                # Not a duckdb.Error any more, so that no object is blamed for it.
                raise OutOfMemory("the search needs more memory than it may use") from error
            except duckdb.InvalidInputException:
                _check_values(cursor, statement.values)
                raise
            return rows

        try:
            if deadline is None:
                yield run
            else:
                with self._watchdog.guard(deadline, cursor.interrupt):
                    yield run
        finally:
            cursor.close()


def _check_values(cursor: duckdb.DuckDBPyConnection, values: Sequence[Any]) -> None:
    """Raise ValueError if DuckDB takes the values as no parameters: objects, which fail alike, aren't to blame then."""
    try:
        cursor.execute(f"SELECT {', '.join('?' * len(values))}", values)
    except duckdb.InvalidInputException as error:
        raise ValueError("a value of the search can't be put to DuckDB") from error


def _settings(threads: int, memory_bytes: int, allowed_directories: Sequence[str]) -> list[str]:
    folders = ", ".join(_quoted(os.path.abspath(folder)) for folder in allowed_directories)
    # GLOBAL, because a plain SET of some of these would be for the first cursor alone.
    return [
        "SET GLOBAL TimeZone = 'UTC'",
        f"SET GLOBAL threads = {int(threads)}",
        # Else eight more threads wake for every file; objects are local and mostly in memory already.
        "SET GLOBAL async_threads = 0",
        "SET GLOBAL enable_external_file_cache = false",
        f"SET GLOBAL memory_limit = '{int(memory_bytes)}B'",
        "SET GLOBAL temp_directory = ''",
        "SET GLOBAL python_enable_replacements = false",
        "SET GLOBAL autoinstall_known_extensions = false",
        "SET GLOBAL autoload_known_extensions = false",
        "SET GLOBAL allow_community_extensions = false",
        "SET GLOBAL parquet_metadata_cache = true",
        f"SET GLOBAL allowed_directories = [{folders}]",
        "SET GLOBAL enable_external_access = false",
        "SET GLOBAL lock_configuration = true",
    ]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _rows(asked: Plan, run: _Run) -> list[ScanRow]:
    most = asked.limit + _SLACK
    # Nearly all objects have whole rows alone, and leaving out the others means reading all JSON first.
    records = run(asked.by_time(most, whole=False))
    if any(record[_UID] is None or record[_TEXT] is None for record in records):
        records = run(asked.by_time(most, whole=True))
    whole = len(records)
    if whole == most:
        # Rows of the last millisecond may be missing, and which of them come first isn't decided by time.
        whole = _start_of_ms(records, most - 1)
        if whole < asked.limit:
            return _in_order(run(asked.by_key()), asked)
    return _in_order(records[: _end_of_ms(records, asked.limit - 1, whole)], asked)[: asked.limit]


def _start_of_ms(records: Sequence[tuple[Any, ...]], index: int) -> int:
    """Where, in an order of time, the millisecond of the record at `index` begins."""
    time_ms = records[index][_TIME_US] // 1000
    while index and records[index - 1][_TIME_US] // 1000 == time_ms:
        index -= 1
    return index


def _end_of_ms(records: Sequence[tuple[Any, ...]], index: int, end: int) -> int:
    """Where the millisecond of the record at `index` ends; at most `end`."""
    if index >= end:
        return end
    time_ms = records[index][_TIME_US] // 1000
    while index < end and records[index][_TIME_US] // 1000 == time_ms:
        index += 1
    return index


def _in_order(records: Sequence[tuple[Any, ...]], asked: Plan) -> list[ScanRow]:
    keys = [item.key for item in asked.objects]
    inline, sha256 = asked.inline_bytes, hashlib.sha256
    rows = []
    for file_index, row_number, time_us, uid, type_, session_id, user, size, text in records:
        data = text.encode() if size <= inline else None
        position = Position(time_us // 1000, uid, text if data is None else sha256(data).hexdigest())
        row = ScanRow(position, keys[file_index], row_number, type_ or "", session_id or "", user or "", size, data)
        rows.append(row)
    rows.sort(key=itemgetter(1, 2))
    rows.sort(key=itemgetter(0), reverse=asked.descending)
    return rows


def _unreadable(objects: Sequence[ScanObject], run: _Run) -> dict[str, UnreadableObject]:
    found = {}
    for item in objects:
        try:
            run(probe(item.path))
        except duckdb.Error:
            missing = not os.path.exists(item.path)
            why = "the object isn't there" if missing else "the object isn't a readable Parquet file of events"
            found[item.key] = UnreadableObject(item.key, why, missing=missing)
    return found


def _scan(request: ScanRequest, run: _Run, known: KnownUnreadable) -> ScanResult:
    try:
        return ScanResult(rows=_rows(plan(request, request.objects), run))
    except duckdb.Error:
        if before := known.among(request.objects):
            with contextlib.suppress(duckdb.Error):
                return _scan_without(before, request, run)
        return _scan_after_probing(request, run, known)


def _scan_after_probing(request: ScanRequest, run: _Run, known: KnownUnreadable) -> ScanResult:
    states = {item.path: file_state(item.path) for item in request.objects}
    found = _unreadable(request.objects, run)
    known.remember(states, request.objects, found)
    try:
        return _scan_without(found, request, run)
    except duckdb.Error as error:
        raise StorageError("the search couldn't be done") from error


def _scan_sparingly(request: ScanRequest, run: _Run, known: KnownUnreadable) -> ScanResult:
    """Scan, leaving out and naming what needs too much memory all by itself."""
    try:
        return _scan(request, run, known)
    except OutOfMemory:
        too_large = {}
        for item in request.objects:
            try:
                _scan(replace(request, objects=[item], limit=1), run, known)
            except OutOfMemory:
                too_large[item.key] = UnreadableObject(item.key, "the object needs more memory than a search may use")
        if not too_large:
            raise
        rest = [item for item in request.objects if item.key not in too_large]
        result = _scan(replace(request, objects=rest), run, known) if rest else ScanResult(rows=[])
        return ScanResult(result.rows, [*too_large.values(), *result.unreadable])


def _scan_without(unreadable: dict[str, UnreadableObject], request: ScanRequest, run: _Run) -> ScanResult:
    left = [item for item in request.objects if item.key not in unreadable]
    rows = _rows(plan(request, left), run) if left else []
    return ScanResult(rows=rows, unreadable=list(unreadable.values()))

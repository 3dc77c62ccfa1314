"""Glue's tables as views of a DuckDB database: which files they have, of which columns."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
from moto.s3.models import FakeKey
from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope

from tests.sandbox.athena_projection import Projection, read_projection
from tests.sandbox.athena_sql import BadQuery, conjuncts, to_duckdb
from tests.sandbox.buckets import newest_objects
from tests.sandbox.delegate import Delegate
from tests.sandbox.encryption import require_readable

_TYPES = {
    "string": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "bigint": "BIGINT",
    "int": "INTEGER",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
}
_READABLE_AS = {
    "VARCHAR": ("VARCHAR", "BLOB", "JSON"),
    "DATE": ("DATE",),
    "TIMESTAMP": ("TIMESTAMP",),
    "BIGINT": ("BIGINT", "INTEGER", "SMALLINT", "TINYINT"),
    "INTEGER": ("INTEGER", "SMALLINT", "TINYINT"),
    "DOUBLE": ("DOUBLE", "FLOAT"),
    "BOOLEAN": ("BOOLEAN",),
}
PATH = "$path"


@dataclass(frozen=True)
class _File:
    url: str
    day: date | None
    local: Path
    size: int


@dataclass(frozen=True)
class _Table:
    columns: Mapping[str, str]
    partition_columns: Mapping[str, str]
    location: str
    projection: Projection | None


class Tables:
    """Makes the tables that one query names. `lock` is held while moto's objects are looked at."""

    def __init__(
        self, database: duckdb.DuckDBPyConnection, folder: Path, delegate: Delegate, lock: threading.Lock
    ) -> None:
        self._database = database
        self._folder = folder
        self._delegate = delegate
        self._lock = lock
        self._numbers = itertools.count(1)
        self.bytes_scanned = 0

    def bind(self, tree: exp.Query, default_database: str) -> None:
        """Make a view for each table that `tree` names, and name the view in its place; raises BadQuery and Denied."""
        named_inside = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
        conditions = _conditions_by_table(tree)
        shows_path = any(column.name == PATH for column in tree.find_all(exp.Column))
        for node in list(tree.find_all(exp.Table)):
            if not node.db and node.name.lower() in named_inside:
                continue
            if node.catalog.lower() not in ("", "awsdatacatalog"):
                raise BadQuery(f"CATALOG_NOT_FOUND: line 1:1: Catalog '{node.catalog}' does not exist")
            database = (node.db or default_database).lower()
            if not database:
                raise BadQuery("MISSING_SCHEMA_NAME: line 1:1: Schema must be specified when session schema is not set")
            view = f"table_{next(self._numbers)}"
            self._make_view(view, database, node.name.lower(), conditions.get(id(node), []), shows_path=shows_path)
            alias = node.alias or node.name
            node.replace(exp.alias_(exp.table_(view), alias, table=True, quoted=True))

    def _make_view(
        self, view: str, database: str, name: str, conditions: list[exp.Expression], *, shows_path: bool
    ) -> None:
        table = _described(self._delegate.table(database, name))
        files = self._chosen(table, self._files(table), conditions)
        self.bytes_scanned += sum(file.size for file in files)
        for file in files:
            if not _is_parquet(file.local):
                raise BadQuery(f"HIVE_BAD_DATA: Not valid Parquet file: {file.url}")
        self._database.execute(f"CREATE TABLE {view}_files (file VARCHAR, url VARCHAR, day DATE)")
        for file in files:
            self._database.execute(f"INSERT INTO {view}_files VALUES (?, ?, ?)", [str(file.local), file.url, file.day])
        wanted = {name: _duckdb_type(name, kind) for name, kind in table.columns.items()}
        source = ", ".join(f"'{file.local}'" for file in files)
        read = f"read_parquet([{source}], union_by_name=true, hive_partitioning=false, filename='{PATH}')"
        found = self._columns_found(read) if files else {}
        parts = [_column(name, kind, found.get(name), name) for name, kind in wanted.items()]
        parts += [f"day AS {_quoted(name)}" for name in table.partition_columns]
        parts += [f"url AS {_quoted(PATH)}"] if shows_path else []
        body = f"FROM {view}_files WHERE false"
        if files:
            body = f"FROM {read} JOIN {view}_files ON {_quoted(PATH)} = file"
        self._database.execute(f"CREATE VIEW {view} AS SELECT {', '.join(parts)} {body}")

    def _columns_found(self, read: str) -> dict[str, str]:
        rows = self._database.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()
        return {str(row[0]).lower(): str(row[1]) for row in rows}

    def _files(self, table: _Table) -> list[tuple[str, date | None, FakeKey]]:
        prefix = table.projection.prefix if table.projection else f"{table.location.rstrip('/')}/"
        bucket_name, _, key_prefix = prefix.removeprefix("s3://").partition("/")
        bucket_arn = self._delegate.bucket_arn(bucket_name)
        self._delegate.require("s3:ListBucket", bucket_arn, s3_prefix=key_prefix)
        found: list[tuple[str, date | None, FakeKey]] = []
        with self._lock:
            for key, newest in newest_objects(self._delegate.bucket(bucket_name), key_prefix):
                url = f"s3://{bucket_name}/{key}"
                day = table.projection.date_of(url) if table.projection else None
                is_of_table = day is not None if table.projection else not table.partition_columns
                if is_of_table and not key.rpartition("/")[2].startswith(("_", ".")) and newest.size:
                    found.append((url, day, newest))
        return found

    def _chosen(
        self, table: _Table, files: list[tuple[str, date | None, FakeKey]], conditions: list[exp.Expression]
    ) -> list[_File]:
        days = {day for _, day, _ in files if day is not None}
        if table.projection:
            days = self._days_where(table.projection.column, days, conditions)
        chosen = []
        for url, day, newest in files:
            if table.projection and day not in days:
                continue
            bucket, _, key = url.removeprefix("s3://").partition("/")
            self._delegate.require("s3:GetObject", self._delegate.bucket_arn(f"{bucket}/{key}"))
            require_readable(self._delegate, self._delegate.bucket(bucket), key)
            local = self._folder / f"{next(self._numbers)}.parquet"
            local.write_bytes(newest.value)
            chosen.append(_File(url, day, local, int(newest.size)))
        return chosen

    def _days_where(self, column: str, days: set[date], conditions: list[exp.Expression]) -> set[date]:
        """Those for which every condition on the date alone holds: Athena reads no others."""
        usable = [
            each
            for each in conditions
            if {node.name.lower() for node in each.find_all(exp.Column)} == {column} and not each.find(exp.Query)
        ]
        if not usable or not days:
            return days
        values = ", ".join(f"(DATE '{day}')" for day in sorted(days))
        asked = " AND ".join(f"({to_duckdb(_unqualified(each))})" for each in usable)
        rows = self._database.execute(
            f"SELECT day FROM (VALUES {values}) AS t(day), LATERAL (SELECT day AS {_quoted(column)}) AS p WHERE {asked}"
        )
        return {day for (day,) in rows.fetchall()}


def _conditions_by_table(tree: exp.Query) -> dict[int, list[exp.Expression]]:
    """For each table that is the only source of a SELECT, by its node's id, what the WHERE there asks."""
    found: dict[int, list[exp.Expression]] = {}
    for scope in traverse_scope(tree):
        select = scope.expression
        if isinstance(select, exp.Select) and len(scope.sources) == 1 and select.args.get("where"):
            for source in scope.sources.values():
                if isinstance(source, exp.Table):
                    found[id(source)] = list(conjuncts(select.args["where"].this))
    return found


def _unqualified(condition: exp.Expression) -> exp.Expression:
    copy = condition.copy()
    for column in copy.find_all(exp.Column):
        column.set("table", None)
    return copy


def _described(table: dict[str, Any]) -> _Table:
    storage = table.get("StorageDescriptor") or {}
    columns = {each["Name"].lower(): each["Type"].lower() for each in storage.get("Columns", [])}
    keys = {each["Name"].lower(): each["Type"].lower() for each in table.get("PartitionKeys") or []}
    location = str(storage.get("Location", ""))
    projection = read_projection(table.get("Parameters") or {}, keys, location, datetime.now(UTC))
    return _Table(columns, keys, location, projection)


def _duckdb_type(name: str, kind: str) -> str:
    if kind not in _TYPES:
        raise BadQuery(f"NOT_SUPPORTED: the sandbox reads no column of type {kind}: {name}")
    return _TYPES[kind]


def _column(name: str, kind: str, found: str | None, shown: str) -> str:
    if found is None:
        return f"CAST(NULL AS {kind}) AS {_quoted(shown)}"
    if not found.startswith(_READABLE_AS[kind]):
        raise BadQuery(f"HIVE_BAD_DATA: Field {name}'s type {found} in a Parquet file is incompatible with type {kind}")
    cast = f"CAST({_quoted(name)} AS {kind})"
    # Athena's timestamps have milliseconds
    cast = f"date_trunc('milliseconds', {cast})" if kind == "TIMESTAMP" else cast
    return f"{cast} AS {_quoted(shown)}"


def _is_parquet(path: Path) -> bool:
    data = path.read_bytes()
    return len(data) > 8 and data[:4] == data[-4:] == b"PAR1"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

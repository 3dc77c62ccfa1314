"""A query's rows as Athena gives them: texts with types, in pages, and as the CSV file beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

_TYPES = {
    "VARCHAR": "varchar",
    "BIGINT": "bigint",
    "INTEGER": "integer",
    "SMALLINT": "smallint",
    "TINYINT": "tinyint",
    "DOUBLE": "double",
    "FLOAT": "float",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "BLOB": "varbinary",
    "JSON": "json",
    "HUGEINT": "bigint",
    '"NULL"': "unknown",
}
_MILLISECONDS = "%Y-%m-%d %H:%M:%S.%g"
Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Results:
    """Names and Athena's types of the columns, and the rows as texts."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[Row, ...]

    def csv(self) -> bytes:
        """Every text in quotes, NULL as nothing."""
        return "".join(f"{','.join(map(_csv_text, row))}\n" for row in (self.names, *self.rows)).encode()

    def page(self, begin: int, count: int) -> tuple[list[dict[str, Any]], int]:
        """Up to `count` rows from the `begin`-th, the header being the first; and where the next page begins, or 0."""
        rows = (self.names, *self.rows)[begin : begin + count]
        end = begin + count
        return [_shown(row) for row in rows], end if end < len(self.rows) + 1 else 0

    def column_info(self) -> list[dict[str, Any]]:
        """The description of the columns."""
        return [
            {
                "CatalogName": "hive",
                "SchemaName": "",
                "TableName": "",
                "Name": name,
                "Label": name,
                "Type": kind,
                "Precision": 2147483647 if kind == "varchar" else 3 if kind == "timestamp" else 0,
                "Scale": 0,
                "Nullable": "UNKNOWN",
                "CaseSensitive": kind == "varchar",
            }
            for name, kind in zip(self.names, self.types, strict=True)
        ]


def run(database: duckdb.DuckDBPyConnection, sql: str) -> Results:
    """What DuckDB finds; raises its errors."""
    described = database.execute(f"DESCRIBE {sql}").fetchall()
    kinds = [str(row[1]) for row in described]
    texts = ", ".join(_text(number, kind) for number, kind in enumerate(kinds, 1))
    rows = database.execute(f"SELECT {texts} FROM ({sql})").fetchall()
    return Results(tuple(str(row[0]) for row in described), tuple(map(_athena_type, kinds)), tuple(rows))


def _athena_type(kind: str) -> str:
    if kind.endswith("]"):
        return "array"
    return _TYPES.get(kind, kind.partition("(")[0].partition("_")[0].lower())


def _text(number: int, kind: str) -> str:
    column = f"#{number}"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"strftime({column}::TIMESTAMP, '{_MILLISECONDS}') || ' UTC'"
    if kind.startswith("TIMESTAMP"):
        return f"strftime({column}, '{_MILLISECONDS}')"
    if kind == "BLOB":
        return f"rtrim(regexp_replace(lower(hex({column})), '(..)', '\\1 ', 'g'))"
    return f"CAST({column} AS VARCHAR)"


def _shown(row: Row) -> dict[str, Any]:
    return {"Data": [{} if text is None else {"VarCharValue": text} for text in row]}


def _csv_text(text: str | None) -> str:
    return "" if text is None else '"' + text.replace('"', '""') + '"'

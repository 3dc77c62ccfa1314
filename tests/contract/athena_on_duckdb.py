"""Athena's SQL on DuckDB, by way of the few differences that conditions meet.

What is translated, and nothing else: Athena's functions that DuckDB lacks become macros; `CAST(… AS ARRAY(VARCHAR))`
and lambdas are written differently; in JSON paths `["key"]` is written `."key"`. What DuckDB does otherwise and this
doesn't hide: it reads any JSON as a text where Athena fails to read a list or an object as one; both come to NULL here,
since the SQL compares what was read with what was there. Where invalid JSON makes Athena's functions NULL, TRY does.
"""

from __future__ import annotations

import re

import duckdb

_MACROS = """
CREATE MACRO trino_json_extract(json, path) AS TRY(json_extract(json, path));
CREATE MACRO trino_json_extract_scalar(json, path) AS
    CASE WHEN TRY(json_type(json, path)) IN ('OBJECT', 'ARRAY', 'NULL') THEN NULL
    ELSE TRY(json_extract_string(json, path)) END;
CREATE MACRO json_format(json) AS json::VARCHAR;
CREATE MACRO regexp_like(text, pattern) AS regexp_matches(text, pattern);
CREATE MACRO arrays_overlap(one, other) AS list_has_any(one, other);
CREATE MACRO cardinality(list) AS len(list);
CREATE MACRO array_except(one, other) AS
    CASE WHEN other IS NOT NULL THEN list_filter(list_distinct(one), lambda each: NOT list_contains(other, each)) END;
"""


class AthenaOnDuckDb:
    """Answers conditions written for Athena."""

    def __init__(self) -> None:
        self._database = duckdb.connect(":memory:")
        self._database.execute(_MACROS)

    def holds(self, sql: str, data: str) -> bool:
        """Whether a row with this JSON is found where `sql` is asked for."""
        statement = f"SELECT count(*) FROM (SELECT ?::VARCHAR AS event_data) WHERE {_translated(sql)}"
        found = self._database.execute(statement, [data]).fetchone()
        assert found is not None
        return bool(found[0] == 1)

    def load(self, events: list[tuple[str, str]]) -> None:
        """Keep uids and JSON for `found`."""
        self._database.execute("CREATE TABLE events (uid VARCHAR, event_data VARCHAR)")
        self._database.executemany("INSERT INTO events VALUES (?, ?)", events)

    def found(self, sql: str) -> set[str]:
        """The uids of the kept events that are found where `sql` is asked for."""
        rows = self._database.execute(f"SELECT uid FROM events WHERE {_translated(sql)}").fetchall()
        return {uid for (uid,) in rows}

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _translated(sql: str) -> str:
    """DuckDB's words for Athena's, outside literals; paths are the only literals that begin with `$[`."""
    parts = re.split(r"('(?:[^']|'')*')", sql)
    return "".join(_path(part) if part.startswith("'") else _words(part) for part in parts)


def _words(sql: str) -> str:
    sql = re.sub(r"\bjson_extract(_scalar)?\(", r"trino_json_extract\1(", sql)
    return sql.replace("AS ARRAY(VARCHAR)", "AS VARCHAR[]").replace("item -> ", "lambda item: ")


def _path(literal: str) -> str:
    return re.sub(r'\["([^"]*)"\]', r'."\1"', literal) if literal.startswith("'$[") else literal

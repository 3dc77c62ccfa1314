"""Conditions written for Athena, on DuckDB, as the sandbox's Athena has it.

What DuckDB does otherwise and this doesn't hide: it reads any JSON as a text where Athena fails to read a list or an
object as one; both come to NULL here, since the SQL compares what was read with what was there. Where invalid JSON
makes Athena's functions NULL, TRY does.
"""

from __future__ import annotations

from functools import cache

import duckdb

from tests.sandbox.athena_sql import MACROS, read_query, to_duckdb


class AthenaOnDuckDb:
    """Answers conditions written for Athena."""

    def __init__(self) -> None:
        self._database = duckdb.connect(":memory:")
        self._database.execute(MACROS)

    def holds(self, sql: str, data: str) -> bool:
        """Whether a row with this JSON is found where `sql` is asked for."""
        statement = _translated(f"SELECT count(*) FROM one WHERE {sql}")
        found = self._database.execute(f"WITH one AS (SELECT ?::VARCHAR AS event_data) {statement}", [data]).fetchone()
        assert found is not None
        return bool(found[0] == 1)

    def load(self, events: list[tuple[str, str]]) -> None:
        """Keep uids and JSON for `found`."""
        self._database.execute("CREATE TABLE events (uid VARCHAR, event_data VARCHAR)")
        self._database.executemany("INSERT INTO events VALUES (?, ?)", events)

    def found(self, sql: str) -> set[str]:
        """The uids of the kept events that are found where `sql` is asked for."""
        rows = self._database.execute(_translated(f"SELECT uid FROM events WHERE {sql}")).fetchall()
        return {uid for (uid,) in rows}

    def close(self) -> None:
        """Close the database."""
        self._database.close()


@cache
def _translated(sql: str) -> str:
    return to_duckdb(read_query(sql))

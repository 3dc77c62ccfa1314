"""Metrics of searches."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from server.observability.instruments import BYTES, CALL_SECONDS, Instruments

REASONS: Final = (
    "OBJECT_MISSING", "OBJECT_CHANGED", "OBJECT_UNREADABLE", "ROWS_UNREADABLE", "JOURNAL_HOLE", "TIME_LIMIT",
    "RECEIPTS_UNREADABLE", "OTHER_STORAGE", "OUTSIDE_TABLE", "EXPIRED", "OBJECT_ARCHIVED",
)  # fmt: skip
"""Why something is missing from an answer."""
_OBJECTS = (0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000)


class SearchMetrics:
    """Searches; each page counts as one."""

    def __init__(self, instruments: Instruments) -> None:
        histogram, counter = instruments.histogram, instruments.counter
        self._seconds = histogram("extaudit_search_seconds", "Length of searches, waiting included.", CALL_SECONDS)
        self._objects = histogram("extaudit_search_objects", "Objects that a search read.", _OBJECTS)
        self._bytes = histogram("extaudit_search_bytes", "Bytes of objects that a search read.", BYTES)
        self._rows = counter("extaudit_search_rows_total", "Rows of objects that searches read.")
        self._found = counter("extaudit_search_found_events_total", "Events that searches gave.")
        self._incomplete = counter("extaudit_search_incomplete_total", "Answers that named something missing.")
        self._missing = counter(
            "extaudit_search_missing_total",
            "Answers that named something missing, by why; one that names several reasons counts under each.",
            ["reason"],
        )
        for reason in REASONS:
            self._missing.labels(reason)
        self._under_way = instruments.gauge(
            "extaudit_searches_under_way", "Searches that run or wait for `search.workers`."
        )

    def ended(
        self, seconds: float, *, objects: int, size: int, rows: int, found: int, missing: Collection[str] = ()
    ) -> None:
        """Count one answered page: what was read (`size` in bytes), what was found, and why something is missing."""
        self._seconds.observe(seconds)
        self._objects.observe(objects)
        self._bytes.observe(size)
        self._rows.inc(rows)
        self._found.inc(found)
        if missing:
            self._incomplete.inc()
        for reason in missing:
            self._missing.labels(reason).inc()

    def record_under_way(self, searches: int) -> None:
        """Record how many there are now."""
        self._under_way.set(searches)

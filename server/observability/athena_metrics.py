"""Metrics of the queries that Amazon Athena is asked."""

from __future__ import annotations

from typing import Final

from server.observability.instruments import CALL_SECONDS, Instruments

OUTCOMES: Final = ("succeeded", "failed", "timed_out")


class AthenaMetrics:
    """Queries for searches; those of connection tests aren't among them."""

    def __init__(self, instruments: Instruments) -> None:
        self._seconds = instruments.histogram(
            "extaudit_athena_query_seconds",
            "How long Athena's queries took, waiting for a turn left out.",
            CALL_SECONDS,
        )
        self._queries = instruments.counter(
            "extaudit_athena_queries_total",
            "Queries by how they ended; timed_out are those that nobody waited for any more.",
            ["outcome"],
        )
        for outcome in OUTCOMES:
            self._queries.labels(outcome)
        self._bytes = instruments.counter(
            "extaudit_athena_read_bytes_total",
            "Bytes that Athena read for queries, whoever waited for them; AWS bills them.",
        )
        self._requests = instruments.counter("extaudit_athena_requests_total", "Calls of Athena's API for queries.")

    def ended(self, outcome: str, seconds: float, size: int, requests: int) -> None:
        """Count a query; `outcome` is one of OUTCOMES, `size` the bytes that it read."""
        self._seconds.observe(seconds)
        self._queries.labels(outcome).inc()
        self._bytes.inc(size)
        self._requests.inc(requests)

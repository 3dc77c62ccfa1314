"""Metrics of exports."""

from __future__ import annotations

from server.observability.instruments import Instruments


class ExportMetrics:
    """What leaves as chunks."""

    def __init__(self, instruments: Instruments) -> None:
        self._events = instruments.counter("extaudit_exported_events_total", "Events that were exported.")
        self._bytes = instruments.counter("extaudit_exported_bytes_total", "Bytes of messages of exports.")
        self._incomplete = instruments.counter(
            "extaudit_export_incomplete_total", "Exports that named something missing."
        )

    def given(self, events: int, size: int) -> None:
        """Count a message."""
        self._events.inc(events)
        self._bytes.inc(size)

    def incomplete(self) -> None:
        """Count an export of which something is missing."""
        self._incomplete.inc()

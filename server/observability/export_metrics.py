"""Metrics of exports."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class ExportMetrics:
    """What leaves as chunks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter("extaudit_exported_events_total", "Events that were exported.", registry=registry)
        self._bytes = Counter("extaudit_exported_bytes_total", "Bytes of messages of exports.", registry=registry)
        self._incomplete = Counter(
            "extaudit_export_incomplete_total", "Exports that named something missing.", registry=registry
        )

    def given(self, events: int, size: int) -> None:
        """Count a message."""
        self._events.inc(events)
        self._bytes.inc(size)

    def incomplete(self) -> None:
        """Count an export of which something is missing."""
        self._incomplete.inc()

"""Metrics of watches."""

from __future__ import annotations

from server.observability.instruments import Instruments


class WatchMetrics:
    """Those who follow the log."""

    def __init__(self, instruments: Instruments) -> None:
        self._open = instruments.gauge("extaudit_watches_under_way", "Watches under way.")
        self._events = instruments.counter("extaudit_watched_events_total", "Events that were given to watches.")
        self._missing = instruments.counter(
            "extaudit_watch_missing_total", "Parts that were named to watches as missing."
        )

    def begun(self) -> None:
        """Count a watch."""
        self._open.inc()

    def ended(self) -> None:
        """Count it no more."""
        self._open.dec()

    def given(self, events: int, missing: int) -> None:
        """Count what one answer gives."""
        self._events.inc(events)
        self._missing.inc(missing)

"""Metrics of the scrub."""

from __future__ import annotations

from collections.abc import Mapping

from server.observability.instruments import Instruments


class ScrubMetrics:
    """What the walk through the storage has read, and what it found."""

    def __init__(self, instruments: Instruments) -> None:
        self._objects = instruments.counter(
            "extaudit_scrub_objects_total", "Objects and batch records whose bytes were checked."
        )
        self._bytes = instruments.counter("extaudit_scrub_bytes_total", "Bytes that were read for that.")
        self._findings = instruments.gauge(
            "extaudit_scrub_findings", "Objects that aren't as they should be now.", ["kind"]
        )
        self._last = instruments.gauge(
            "extaudit_scrub_last_full_pass_timestamp_seconds",
            "When everything in the storage had been read; 0 before the first time.",
        )

    def checked(self) -> None:
        """Count an object."""
        self._objects.inc()

    def read(self, size: int) -> None:
        """Count bytes."""
        self._bytes.inc(size)

    def record_state(self, findings: Mapping[str, int], passed_ms: int | None) -> None:
        """Record findings by kind, and when a walk last came to its end, in ms since 1970."""
        for kind, count in findings.items():
            self._findings.labels(kind).set(count)
        if passed_ms is not None:
            self._last.set(passed_ms / 1000)

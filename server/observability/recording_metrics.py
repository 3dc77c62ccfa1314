"""Metrics of recordings."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter

OUTCOMES: Final = ("completed", "kept_aside", "repeated", "aborted")
"""What becomes of uploads."""


class RecordingMetrics:
    """Bytes of recordings that come and go, and ends of uploads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ended = Counter(
            "extaudit_ended_uploads_total",
            "Answers that an upload has ended, by how; an answer that is asked for again counts again.",
            ["outcome"],
            registry=registry,
        )
        self._ended = {outcome: ended.labels(outcome) for outcome in OUTCOMES}
        self._received = Counter(
            "extaudit_recording_received_bytes_total", "Bytes of chunks that came in.", registry=registry
        )
        self._given = Counter(
            "extaudit_recording_given_bytes_total", "Bytes of recordings that were downloaded.", registry=registry
        )

    def received(self, size: int) -> None:
        """Count the bytes of a chunk."""
        self._received.inc(size)

    def given(self, size: int) -> None:
        """Count bytes that were downloaded."""
        self._given.inc(size)

    def ended(self, outcome: str) -> None:
        """Count an upload that has ended; `outcome` is one of OUTCOMES."""
        self._ended[outcome].inc()

"""Metrics of recordings."""

from __future__ import annotations

from typing import Final

from server.observability.instruments import Instruments

OUTCOMES: Final = ("completed", "kept_aside", "repeated", "aborted")
"""What becomes of uploads."""


class RecordingMetrics:
    """Bytes of recordings that come and go, and ends of uploads."""

    def __init__(self, instruments: Instruments) -> None:
        ended = instruments.counter(
            "extaudit_ended_uploads_total",
            f"Answers that an upload has ended, by how: {', '.join(OUTCOMES)}. One asked for again counts again.",
            ["outcome"],
        )
        self._ended = {outcome: ended.labels(outcome) for outcome in OUTCOMES}
        self._received = instruments.counter("extaudit_recording_received_bytes_total", "Bytes of chunks that came in.")
        self._given = instruments.counter(
            "extaudit_recording_given_bytes_total", "Bytes of recordings that were downloaded."
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


class UploadMetrics:
    """Uploads of recordings."""

    def __init__(self, instruments: Instruments) -> None:
        self._open = instruments.gauge("extaudit_open_uploads", "Uploads that are open.")
        self._abandoned = instruments.gauge("extaudit_abandoned_uploads", "Open uploads that nobody goes on with.")

    def record_state(self, open_uploads: int, abandoned: int) -> None:
        """Record how many there are now."""
        self._open.set(open_uploads)
        self._abandoned.set(abandoned)

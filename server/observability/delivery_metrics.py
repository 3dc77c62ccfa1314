"""Metrics of batches on their way to storages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from server.observability.instruments import BYTES, CALL_SECONDS, Instruments

_EVENTS = (1, 10, 100, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000)
REASONS: Final = ("storage", "disk", "name_taken", "fault")
"""Why deliveries fail: the storage can't take it, the spool can't be written, a name is taken, or a fault of ours."""


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """One batch: its events, the bytes of its objects, and seconds; encoding takes none if an attempt before did it."""

    events: int
    size: int
    encoding_seconds: float
    seconds: float
    """From the attempt's begin to its confirmation, encoding included."""


class DeliveryMetrics:
    """Batches on their way to storages. Storage ids come from administrators, so there are few."""

    def __init__(self, instruments: Instruments) -> None:
        self._deliveries = instruments.counter(
            "extaudit_deliveries_total", "Attempts to deliver a batch: `delivered` or `failed`.", ["storage", "outcome"]
        )
        self._failures = instruments.counter(
            "extaudit_delivery_failures_total", f"Attempts that failed, by reason: {', '.join(REASONS)}.",
            ["storage", "reason"],
        )  # fmt: skip
        self._last = instruments.gauge(
            "extaudit_last_delivery_timestamp_seconds", "When a batch was last confirmed.", ["storage"]
        )
        self._events = instruments.histogram("extaudit_batch_events", "Events of a batch.", _EVENTS)
        self._bytes = instruments.histogram("extaudit_batch_bytes", "Bytes of a batch's objects.", BYTES)
        self._encoding = instruments.histogram(
            "extaudit_batch_encode_seconds", "How long the encoding of a batch took.", CALL_SECONDS
        )
        self._seconds = instruments.histogram(
            "extaudit_delivery_seconds", "How long deliveries took that went well, encoding included.", CALL_SECONDS
        )
        self._waiting = instruments.gauge("extaudit_batches_waiting", "Batches that are cut and not yet delivered.")

    def delivered(self, storage: str, batch: BatchFigures) -> None:
        """Count a batch that was delivered."""
        self._deliveries.labels(storage, "delivered").inc()
        self._events.observe(batch.events)
        self._bytes.observe(batch.size)
        if batch.encoding_seconds:
            self._encoding.observe(batch.encoding_seconds)
        self._seconds.observe(batch.seconds)

    def failed(self, storage: str, reason: str) -> None:
        """Count an attempt that failed; `reason` is one of REASONS."""
        self._deliveries.labels(storage, "failed").inc()
        self._failures.labels(storage, reason).inc()

    def confirmed(self, storage: str, at_ms: int) -> None:
        """Record when a batch was confirmed, in ms since 1970."""
        self._last.labels(storage).set(at_ms / 1000)

    def record_waiting(self, batches: int, storages: Iterable[str]) -> None:
        """Record how many batches wait now, and which storages there are: what none of theirs has come to is 0."""
        self._waiting.set(batches)
        for storage in storages:
            for outcome in ("delivered", "failed"):
                self._deliveries.labels(storage, outcome)
            for reason in REASONS:
                self._failures.labels(storage, reason)

"""Metrics of traces."""

from __future__ import annotations

from server.observability.instruments import Instruments


class TraceMetrics:
    """What becomes of spans; nothing is counted where traces are off."""

    def __init__(self, instruments: Instruments) -> None:
        self._spans = instruments.counter(
            "extaudit_trace_spans_total",
            "Spans by whether the collector took them, `sent` or `failed`, or too many waited: `dropped`.",
            ["outcome"],
        )
        for outcome in ("sent", "failed", "dropped"):
            self._spans.labels(outcome)

    def exported(self, spans: int, *, sent: bool) -> None:
        """Count spans that were sent, or given up."""
        self._spans.labels("sent" if sent else "failed").inc(spans)

    def dropped(self) -> None:
        """Count a span that found no room to wait."""
        self._spans.labels("dropped").inc()

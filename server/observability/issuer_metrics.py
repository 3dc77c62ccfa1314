"""Metrics of the service's own issuer."""

from __future__ import annotations

from typing import Final

from server.observability.instruments import Instruments

DOCUMENTS: Final = ("configuration", "keys", "none")


class IssuerMetrics:
    """What becomes of the keys that sign the service's tokens."""

    def __init__(self, instruments: Instruments) -> None:
        self._tokens = instruments.counter("extaudit_issuer_tokens_signed_total", "Tokens signed for AWS.")
        self._failures = instruments.counter(
            "extaudit_issuer_key_failures_total", "Looks at the signing keys that failed; the old ones stay in force."
        )
        self._asked = instruments.counter(
            "extaudit_issuer_document_requests_total",
            "Requests to the public listener, by what was given; none is anything that isn't there.",
            ["document"],
        )
        for document in DOCUMENTS:
            self._asked.labels(document)
        self._age = instruments.gauge(
            "extaudit_issuer_active_key_age_seconds",
            "How long the key that signs has done so; 0 where no issuer is configured.",
        )
        self._published = instruments.gauge("extaudit_issuer_published_keys", "Keys in the published set.")

    def signed(self) -> None:
        """Count a token."""
        self._tokens.inc()

    def asked(self, document: str) -> None:
        """Count a request to the public listener; `document` is one of DOCUMENTS."""
        self._asked.labels(document).inc()

    def rotation_failed(self) -> None:
        """Count a look at the keys that failed."""
        self._failures.inc()

    def record_keys(self, active_age_ms: int, published: int) -> None:
        """Record how the keys are."""
        self._age.set(max(0, active_age_ms) / 1000)
        self._published.set(published)

"""Metrics of policy, certificates and token issuers."""

from __future__ import annotations

from server.observability.instruments import Instruments


class AccessMetrics:
    """Policy, certificates and token issuers."""

    def __init__(self, instruments: Instruments) -> None:
        self._reloads = instruments.counter(
            "extaudit_policy_reloads_total", "Attempts to load changed roles: `loaded` or `failed`.", ["outcome"]
        )
        for outcome in ("loaded", "failed"):
            self._reloads.labels(outcome)
        self._expiry = instruments.gauge(
            "extaudit_certificate_expiry_timestamp_seconds",
            "When the first certificate of a use ends: `server`, `public`, `operations`, `host_ca` or `user_ca`.",
            ["use"],
        )
        self._issuer_keys = instruments.gauge(
            "extaudit_token_issuer_keys", "Keys of a token issuer that count now.", ["issuer"]
        )
        self._issuer_fetch = instruments.gauge(
            "extaudit_token_issuer_fetch_timestamp_seconds", "Begin of the last fetch of its keys that went well.",
            ["issuer"],
        )  # fmt: skip

    def record_token_issuer(self, issuer: str, keys: int, fetched_ms: int | None) -> None:
        """Record how many keys of a configured issuer count, and when they were last fetched (ms since 1970)."""
        self._issuer_keys.labels(issuer).set(keys)
        if fetched_ms is not None:
            self._issuer_fetch.labels(issuer).set(fetched_ms / 1000)

    def reloaded(self, *, loaded: bool) -> None:
        """Count a reload of the roles; one that failed left the old policy in force."""
        self._reloads.labels("loaded" if loaded else "failed").inc()

    def record_certificate(self, use: str, expires_ms: int) -> None:
        """Record the end, in ms since 1970, of whichever certificate of that use ends first."""
        self._expiry.labels(use).set(expires_ms / 1000)

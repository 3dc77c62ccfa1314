"""Metrics in Prometheus' form, in a registry of their own.

Every label has a bounded set of values: callers choose none of them. What happened is counted when it happens, by
methods named for it; what is, such as the journal's size, is recorded by the `record_…` methods before it is shown.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from server.observability.configuration_metrics import ConfigurationMetrics
from server.observability.export_metrics import ExportMetrics
from server.observability.recording_metrics import RecordingMetrics
from server.observability.scrub_metrics import ScrubMetrics

OTHER = "other"
"""Label of what is in no table, such as an unknown method."""

CODES = frozenset(
    {
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    }
)  # fmt: skip

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_CALL_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COMMIT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
_COMMIT_EVENTS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
_SEARCH_OBJECTS = (0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000)


class Metrics:
    """All metrics of one service. Make it with the full names of the methods that are served.

    Safe to use from several threads.
    """

    def __init__(self, methods: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self.calls = CallMetrics(self.registry, frozenset(methods))
        self.journal = JournalMetrics(self.registry)
        self.deliveries = DeliveryMetrics(self.registry)
        self.searches = SearchMetrics(self.registry)
        self.exports = ExportMetrics(self.registry)
        self.access = AccessMetrics(self.registry)
        self.uploads = UploadMetrics(self.registry)
        self.recordings = RecordingMetrics(self.registry)
        self.scrub = ScrubMetrics(self.registry)
        self.configuration = ConfigurationMetrics(self.registry)

    def render(self) -> bytes:
        """Everything in Prometheus' text form, of content type `CONTENT_TYPE`."""
        return generate_latest(_WithoutCreationTimes(self.registry))


class _Lengths:
    """How long the calls of one method took: their sum in seconds, and how many fell into each bucket."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(_CALL_SECONDS) + 1)
        self.seconds = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds as Prometheus writes them, with the number of calls up to each."""
        bounds = [*(str(bound) for bound in _CALL_SECONDS), "+Inf"]
        return list(zip(bounds, itertools.accumulate(self.counts), strict=True))


class CallMetrics(Collector):
    """Calls of the gRPC listener.

    Counted in plain numbers and put into Prometheus' form when they are shown: its own counters and histograms cost
    four times as much, for every call.
    """

    def __init__(self, registry: CollectorRegistry, methods: frozenset[str]) -> None:
        self._methods = methods
        self._lock = threading.Lock()
        self._ended: dict[tuple[str, str], int] = {}
        self._lengths: dict[str, _Lengths] = {}
        registry.register(self)
        self._denials = Counter("extaudit_denials_total", "Calls that no role allows.", ["method"], registry=registry)
        self._unauthenticated = Counter(
            "extaudit_unauthenticated_calls_total",
            "Calls whose certificate gives no identity. What fails within the TLS handshake is not seen here.",
            ["reason"],
            registry=registry,
        )

    def ended(self, method: str, code: str, seconds: float) -> None:
        """Count a call with its final status, such as `NOT_FOUND`."""
        if method not in self._methods:
            method = OTHER
        if code not in CODES:
            code = "UNKNOWN"
        bucket = bisect_left(_CALL_SECONDS, seconds)
        with self._lock:
            self._ended[method, code] = self._ended.get((method, code), 0) + 1
            lengths = self._lengths.get(method)
            if lengths is None:
                lengths = self._lengths[method] = _Lengths()
            lengths.counts[bucket] += 1
            lengths.seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """The calls that have ended, as the registry asks for them."""
        calls = CounterMetricFamily(
            "extaudit_grpc_calls_total", "Calls that ended, by their status.", labels=["method", "code"]
        )
        seconds = HistogramMetricFamily("extaudit_grpc_call_seconds", "Length of calls.", labels=["method"])
        with self._lock:
            for labels, count in self._ended.items():
                calls.add_metric(labels, count)
            for method, lengths in self._lengths.items():
                seconds.add_metric([method], lengths.buckets(), lengths.seconds)
        yield calls
        yield seconds

    def denied(self, method: str) -> None:
        """Count a refusal by the policy."""
        self._denials.labels(self._known(method)).inc()

    def unauthenticated(self, *, expired: bool) -> None:
        """Count a certificate that gave no identity."""
        self._unauthenticated.labels("expired" if expired else "other").inc()

    def _known(self, method: str) -> str:
        return method if method in self._methods else OTHER


class JournalMetrics:
    """Intake and journal."""

    def __init__(self, registry: CollectorRegistry) -> None:
        emitted = Counter(
            "extaudit_emitted_events_total", "Events by what became of them.", ["outcome"], registry=registry
        )
        self._accepted, self._repeated, self._refused, self._reused = (
            emitted.labels(outcome) for outcome in ("accepted", "repeated", "refused", "uid_reused")
        )
        self._commit_events = Histogram(
            "extaudit_commit_events", "Events that shared a commit.", buckets=_COMMIT_EVENTS, registry=registry
        )
        self._commit_seconds = Histogram(
            "extaudit_commit_seconds", "Length of commits.", buckets=_COMMIT_SECONDS, registry=registry
        )
        self._pending = Gauge(
            "extaudit_journal_pending_events", "Events that are not in a confirmed batch yet.", registry=registry
        )
        self._bytes = Gauge("extaudit_journal_bytes", "Size of the journal on disk.", registry=registry)
        self._oldest = Gauge(
            "extaudit_journal_oldest_age_seconds",
            "Age of the oldest event that is not in a confirmed batch yet.",
            registry=registry,
        )
        self._torn = Gauge(
            "extaudit_journal_torn_tail_bytes", "Bytes cut off as a torn tail at the last start.", registry=registry
        )
        self._holes = Counter("extaudit_journal_holes_total", "Ranges of sequences lost to damage.", registry=registry)
        self._holes_counted = 0

    def emitted(self, *, accepted: int = 0, repeated: int = 0, refused: int = 0, uid_reused: int = 0) -> None:
        """Count events, each under one outcome; one kept in spite of its reused uid is `uid_reused` alone."""
        for counter, count in (
            (self._accepted, accepted),
            (self._repeated, repeated),
            (self._refused, refused),
            (self._reused, uid_reused),
        ):
            if count:
                counter.inc(count)

    def committed(self, events: int, seconds: float) -> None:
        """Count one durable commit."""
        self._commit_events.observe(events)
        self._commit_seconds.observe(seconds)

    def record_state(
        self, *, pending_events: int, size: int, oldest_age_seconds: float, torn_tail_bytes: int, holes: int
    ) -> None:
        """Record how the journal is now; `size` in bytes, `holes` all that are known."""
        self._pending.set(pending_events)
        self._bytes.set(size)
        self._oldest.set(oldest_age_seconds)
        self._torn.set(torn_tail_bytes)
        # A counter, so that an alert on its increase works; it begins with the holes of earlier runs.
        self._holes.inc(max(0, holes - self._holes_counted))
        self._holes_counted = max(holes, self._holes_counted)


class DeliveryMetrics:
    """Batches on their way to storages. Storage ids come from administrators, so there are few."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._deliveries = Counter(
            "extaudit_deliveries_total", "Attempts to store an object.", ["storage", "outcome"], registry=registry
        )
        self._last = Gauge(
            "extaudit_last_delivery_timestamp_seconds", "When a batch was last confirmed.", ["storage"],
            registry=registry,
        )  # fmt: skip

    def attempted(self, storage: str, *, delivered: bool) -> None:
        """Count one attempt."""
        self._deliveries.labels(storage, "delivered" if delivered else "failed").inc()

    def confirmed(self, storage: str, at_ms: int) -> None:
        """Record when a batch was confirmed, in ms since 1970."""
        self._last.labels(storage).set(at_ms / 1000)


class SearchMetrics:
    """Searches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "extaudit_search_seconds", "Length of searches.", buckets=_CALL_SECONDS, registry=registry
        )
        self._objects = Histogram(
            "extaudit_search_objects", "Objects a search read.", buckets=_SEARCH_OBJECTS, registry=registry
        )
        self._incomplete = Counter(
            "extaudit_search_incomplete_total", "Answers that named something missing.", registry=registry
        )

    def ended(self, seconds: float, objects: int, *, complete: bool) -> None:
        """Count one answered page."""
        self._seconds.observe(seconds)
        self._objects.observe(objects)
        if not complete:
            self._incomplete.inc()


class AccessMetrics:
    """Policy, certificates and token issuers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reloads = Counter(
            "extaudit_policy_reloads_total", "Attempts to load changed roles.", ["outcome"], registry=registry
        )
        self._expiry = Gauge(
            "extaudit_certificate_expiry_timestamp_seconds", "When the first certificate of a use ends.", ["use"],
            registry=registry,
        )  # fmt: skip

        self._issuer_keys = Gauge(
            "extaudit_token_issuer_keys", "Keys of a token issuer that count now.", ["issuer"], registry=registry
        )
        self._issuer_fetch = Gauge(
            "extaudit_token_issuer_fetch_timestamp_seconds", "Begin of the last fetch of its keys that went well.",
            ["issuer"], registry=registry,
        )  # fmt: skip

    def record_token_issuer(self, issuer: str, keys: int, fetched_ms: int | None) -> None:
        """Record how many keys of a configured issuer count, and when they were last fetched (ms since 1970)."""
        self._issuer_keys.labels(issuer).set(keys)
        if fetched_ms is not None:
            self._issuer_fetch.labels(issuer).set(fetched_ms / 1000)

    def reloaded(self, *, loaded: bool) -> None:
        """Count a reload of the roles; one that failed left the old policy in force."""
        self._reloads.labels("loaded" if loaded else "failed").inc()

    def record_certificate(self, use: Literal["server", "host_ca", "user_ca"], expires_ms: int) -> None:
        """Record the end, in ms since 1970, of whichever certificate of that use ends first."""
        self._expiry.labels(use).set(expires_ms / 1000)


class UploadMetrics:
    """Uploads of recordings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge("extaudit_open_uploads", "Uploads that are open.", registry=registry)
        self._abandoned = Gauge(
            "extaudit_abandoned_uploads", "Open uploads that nobody goes on with.", registry=registry
        )

    def record_state(self, open_uploads: int, abandoned: int) -> None:
        """Record how many there are now."""
        self._open.set(open_uploads)
        self._abandoned.set(abandoned)


class _WithoutCreationTimes:
    """The registry without the `_created` series, which would double the output and which no one reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric

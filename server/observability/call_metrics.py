"""Metrics of gRPC calls."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from server.observability.instruments import CALL_SECONDS, Instruments

OTHER: Final = "other"
"""Label of what is in no table, such as an unknown method."""
FAULT: Final = "INTERNAL"
"""Reason of what fails by a fault of the service; it is shown from the start, so that an alert sees the first one."""
NOBODY: Final = "none"
"""Kind of a caller that isn't known: of calls that were cut off, refused or failed before."""
KINDS: Final = frozenset({"user", "component", NOBODY})

CODES = frozenset(
    {
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    }
)  # fmt: skip

_MAX_REASONS = 100
"""Reasons are the service's own, so this is only a bound for a fault of ours."""


@dataclass(slots=True)
class Traffic:
    """What one method has begun, got and sent. Plain numbers, which only the event loop changes: there is no cheaper
    way to count every message."""

    begun: int = 0
    received_messages: int = 0
    received_bytes: int = 0
    sent_messages: int = 0
    sent_bytes: int = 0


class _Lengths:
    """How long the calls of one method took: their sum in seconds, and how many fell into each bucket."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(CALL_SECONDS) + 1)
        self.seconds = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds as Prometheus writes them, with the number of calls up to each."""
        bounds = [*(str(bound) for bound in CALL_SECONDS), "+Inf"]
        return list(zip(bounds, itertools.accumulate(self.counts), strict=True))


_CALLS: Final = (
    "extaudit_grpc_calls_total",
    "Calls that ended, by their status and by what kind of caller. One that its client gave up, or that lost its "
    "connection, is `CANCELLED`; the kind is `none` where the caller isn't known, as of one that wasn't authenticated.",
    ("method", "kind", "code"),
)
_SECONDS: Final = "extaudit_grpc_call_seconds", "Length of calls; of streams, how long they lasted.", ("method",)
_STARTED: Final = "extaudit_grpc_started_calls_total", "Calls that began.", ("method",)
_IN_FLIGHT: Final = "extaudit_grpc_calls_in_flight", "Calls that are under way, streams included.", ("method",)
_REASONS: Final = "extaudit_grpc_errors_total", "Calls that failed, by the reason of their error.", ("reason",)
_TRAFFIC: Final = (
    ("received_messages", "extaudit_grpc_received_messages_total", "Request messages."),
    ("received_bytes", "extaudit_grpc_received_bytes_total", "Bytes of request messages."),
    ("sent_messages", "extaudit_grpc_sent_messages_total", "Answer messages."),
    ("sent_bytes", "extaudit_grpc_sent_bytes_total", "Bytes of answer messages."),
)


class CallMetrics(Collector):
    """Calls of the gRPC listeners.

    Counted in plain numbers and put into Prometheus' form when they are shown: its own counters and histograms cost
    four times as much, for every call.
    """

    def __init__(self, instruments: Instruments, methods: frozenset[str]) -> None:
        self._methods = methods
        self._lock = threading.Lock()
        self._ended: dict[tuple[str, str, str], int] = {}
        self._reasons: dict[str, int] = {FAULT: 0}
        self._lengths: dict[str, _Lengths] = {}
        self._traffic: dict[str, Traffic] = {}
        for kind, (name, meaning, labels) in (
            ("counter", _STARTED), ("counter", _CALLS), ("counter", _REASONS), ("gauge", _IN_FLIGHT),
            ("histogram", _SECONDS),
        ):  # fmt: skip
            instruments.describe(name, kind, meaning, labels)
        for _, name, meaning in _TRAFFIC:
            instruments.describe(name, "counter", meaning, ("method",))
        instruments.registry.register(self)
        self._denials = instruments.counter("extaudit_denials_total", "Calls that no role allows.", ["method"])
        self._unauthenticated = instruments.counter(
            "extaudit_unauthenticated_calls_total",
            "Calls whose certificate or token gives no identity; the reason is `expired` or `other`. What fails within "
            "the TLS handshake is not seen here.",
            ["reason"],
        )
        for method in (*sorted(methods), OTHER):
            self._denials.labels(method)
        for reason in ("expired", "other"):
            self._unauthenticated.labels(reason)

    def traffic(self, method: str) -> Traffic:
        """Where the calls of a method are counted while they last. Asked for once, when the method is registered."""
        return self._traffic.setdefault(self._known(method), Traffic())

    def ended(self, method: str, code: str, seconds: float, kind: str = NOBODY, reason: str = "") -> None:
        """Count a call with its final status, such as `NOT_FOUND`, the kind of its caller and the error's reason."""
        if method not in self._methods:
            method = OTHER
        if code not in CODES:
            code = "UNKNOWN"
        if kind not in KINDS:
            kind = NOBODY
        bucket = bisect_left(CALL_SECONDS, seconds)
        key = method, kind, code
        with self._lock:
            self._ended[key] = self._ended.get(key, 0) + 1
            lengths = self._lengths.get(method)
            if lengths is None:
                lengths = self._lengths[method] = _Lengths()
            lengths.counts[bucket] += 1
            lengths.seconds += seconds
            if reason:
                self._count_reason(reason)

    def collect(self) -> Iterator[Metric]:
        """The calls so far, as the registry asks for them."""
        with self._lock:
            ended, reasons = dict(self._ended), dict(self._reasons)
            lengths = [(method, each.buckets(), each.seconds) for method, each in self._lengths.items()]
        calls = CounterMetricFamily(_CALLS[0], _CALLS[1], labels=_CALLS[2])
        for labels, count in ended.items():
            calls.add_metric(labels, count)
        seconds = HistogramMetricFamily(_SECONDS[0], _SECONDS[1], labels=_SECONDS[2])
        for method, buckets, total in lengths:
            seconds.add_metric([method], buckets, total)
        errors = CounterMetricFamily(_REASONS[0], _REASONS[1], labels=_REASONS[2])
        for reason, count in reasons.items():
            errors.add_metric([reason], count)
        yield from (calls, seconds, errors)
        yield from self._collect_traffic(ended)

    def denied(self, method: str) -> None:
        """Count a refusal by the policy."""
        self._denials.labels(self._known(method)).inc()

    def unauthenticated(self, *, expired: bool) -> None:
        """Count a certificate or token that gave no identity."""
        self._unauthenticated.labels("expired" if expired else "other").inc()

    def _collect_traffic(self, ended: dict[tuple[str, str, str], int]) -> Iterator[Metric]:
        started = CounterMetricFamily(_STARTED[0], _STARTED[1], labels=_STARTED[2])
        in_flight = GaugeMetricFamily(_IN_FLIGHT[0], _IN_FLIGHT[1], labels=_IN_FLIGHT[2])
        for method, traffic in self._traffic.items():
            over = sum(count for (name, _, _), count in ended.items() if name == method)
            started.add_metric([method], traffic.begun)
            in_flight.add_metric([method], traffic.begun - over)
        yield from (started, in_flight)
        for field, name, meaning in _TRAFFIC:
            family = CounterMetricFamily(name, meaning, labels=["method"])
            for method, traffic in self._traffic.items():
                family.add_metric([method], getattr(traffic, field))
            yield family

    def _count_reason(self, reason: str) -> None:
        if reason not in self._reasons and len(self._reasons) >= _MAX_REASONS:
            reason = OTHER
        self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def _known(self, method: str) -> str:
        return method if method in self._methods else OTHER

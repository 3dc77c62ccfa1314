"""Traces by OpenTelemetry, sent to one collector. The one module that imports its packages, and is imported itself only
where `traces.endpoint` is set.

A span says which method was called, by what kind of caller, how it ended and how long it and its parts took: no names,
no filters, nothing of events. Callers choose nothing of what is sampled, unless they are configured to.
"""

from __future__ import annotations

import contextlib
import random
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import urlsplit

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from server.config import TracesSection
from server.observability.trace_metrics import TraceMetrics
from server.regular_files import read_regular

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)
_MAX_WAITING = 2048
"""Spans that wait for the collector; what comes beyond them is dropped."""
_AT_ONCE = 512
_EVERY_MS = 1000
_TIMEOUT_SECONDS = 5.0
_SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Codes that OpenTelemetry's conventions count as errors of a server."""


class Tracing:
    """Makes spans and sends them from a thread of its own: a collector that is slow or gone costs spans, no call."""

    def __init__(
        self,
        settings: TracesSection,
        version: str,
        metrics: TraceMetrics,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """OSError if the CA file can't be read."""
        self._ratio = settings.ratio
        self._follows_callers = settings.sampling == "caller"
        self._chance = chance
        self._current: ContextVar[Span | None] = ContextVar("span", default=None)
        # Each with its limits named, as whatever isn't named would come from variables of the environment.
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": settings.service_name, "service.version": version}),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_span_attributes=16, max_events=0, max_links=0, max_span_attribute_length=256),
        )
        exporter = _Counting(_exporter(str(settings.endpoint), settings.ca), metrics)
        self._provider.add_span_processor(_Bounded(exporter))
        self._tracer = self._provider.get_tracer("extaudit")

    def begin_call(self, method: str, traceparent: Callable[[], str]) -> None:
        """As CallSpans has it."""
        sampled = self._chance() < self._ratio
        if not sampled and not self._follows_callers:
            return
        parent = _parent(traceparent())
        if sampled or (parent is not None and parent.trace_flags.sampled):
            context = set_span_in_context(NonRecordingSpan(parent)) if parent is not None else None
            self._current.set(self._tracer.start_span(method.lstrip("/"), context, SpanKind.SERVER))

    def end_call(self, code: str, kind: str, reason: str, request_id: str) -> None:
        """As CallSpans has it."""
        span = self._current.get()
        if span is None:
            return
        self._current.set(None)
        span.set_attributes(
            {
                "rpc.system": "grpc",
                "rpc.grpc.status_code": grpc.StatusCode[code].value[0],
                "extaudit.caller_kind": kind,
                "extaudit.reason": reason,
                "extaudit.request_id": request_id,
            }
        )
        if code in _SERVER_FAULTS:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """As Spans has it."""
        parent = self._current.get()
        if parent is None and self._chance() >= self._ratio:
            yield
            return
        context = set_span_in_context(parent) if parent is not None else None
        span = self._tracer.start_span(name, context)
        try:
            yield
        except BaseException:
            span.set_status(Status(StatusCode.ERROR))  # without its text, which could be anything
            raise
        finally:
            span.end()

    def close(self) -> None:
        """Send what waits, as far as the collector takes it within some seconds. Blocks."""
        self._provider.shutdown()


class _Counting(SpanExporter):
    """Counts what becomes of spans."""

    def __init__(self, exporter: SpanExporter, metrics: TraceMetrics) -> None:
        self._exporter = exporter
        self._metrics = metrics
        self._lock = threading.Lock()
        self._waiting = 0

    def has_room(self) -> bool:
        """Whether another span may wait, which it then does; else it is counted as dropped."""
        with self._lock:
            if self._waiting < _MAX_WAITING:
                self._waiting += 1
                return True
        self._metrics.dropped()
        return False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        finally:
            with self._lock:
                self._waiting -= len(spans)
        self._metrics.exported(len(spans), sent=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Bounded(BatchSpanProcessor):
    """Takes no more spans than may wait: the library's own bound drops others without a word."""

    def __init__(self, exporter: _Counting) -> None:
        super().__init__(exporter, _MAX_WAITING, _EVERY_MS, _AT_ONCE, _TIMEOUT_SECONDS * 1000)
        self._counting = exporter

    def on_end(self, span: ReadableSpan) -> None:
        if self._counting.has_room():
            super().on_end(span)


def _exporter(endpoint: str, ca: Path | None) -> SpanExporter:
    url = urlsplit(endpoint)
    credentials = None
    if url.scheme == "https":
        credentials = grpc.ssl_channel_credentials(read_regular(ca) if ca is not None else None)
    return OTLPSpanExporter(
        endpoint=url.netloc,
        insecure=credentials is None,
        credentials=credentials,
        headers=(("x-sender", "extaudit"),),
        timeout=_TIMEOUT_SECONDS,
        compression=grpc.Compression.Gzip,
    )


def _parent(traceparent: str) -> SpanContext | None:
    """The caller's span; None where what it sent is none. What else it sends of traces isn't looked at."""
    matched = _TRACEPARENT.fullmatch(traceparent)
    if matched is None:
        return None
    parent = SpanContext(
        int(matched[1], 16), int(matched[2], 16), is_remote=True, trace_flags=TraceFlags(int(matched[3], 16))
    )
    return parent if parent.is_valid else None

"""Turning traces on, where they are configured."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from server.config import TracesSection
from server.observability.trace_metrics import TraceMetrics

if TYPE_CHECKING:
    from server.observability.tracing import Tracing

_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc")


class TracingProblem(Exception):
    """Traces are configured and can't be made; the text is for the person who starts the service."""


def check_packages() -> None:
    """TracingProblem if what traces need isn't installed."""
    try:
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    except ModuleNotFoundError:
        missing = list(_PACKAGES)
    if missing:
        raise TracingProblem(
            "the packages that traces.endpoint needs aren't installed: "
            f"{sys.executable} -m pip install --require-hashes -r requirements/tracing.txt"
        )


def open_tracing(settings: TracesSection, version: str, metrics: TraceMetrics) -> Tracing | None:
    """What makes the traces; None, and nothing imported, where they are off. TracingProblem if they can't be made."""
    if settings.endpoint is None:
        return None
    check_packages()
    from server.observability.tracing import Tracing

    try:
        return Tracing(settings, version, metrics)
    except OSError as error:
        raise TracingProblem(f"traces.ca can't be read ({error.strerror})") from error

"""Making metrics, each with what the documentation says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CALL_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for what callers wait for."""
DISK_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
"""Bounds for what waits for a disk."""
BYTES = tuple(float(4**power) for power in range(4, 17))
"""Bounds from 256 bytes to 4 GiB."""


@dataclass(frozen=True, slots=True)
class Description:
    """What the documentation says of a metric."""

    subject: str
    name: str
    """As it is exposed, a histogram without its suffixes."""
    kind: str
    """`counter`, `gauge`, `histogram` or `info`."""
    meaning: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Instruments:
    """Makes the metrics of one subject in a registry, and describes them. The names say the unit."""

    registry: CollectorRegistry
    descriptions: list[Description]
    subject: str = field(default="")

    def of(self, subject: str) -> Instruments:
        """The same registry for another subject."""
        return Instruments(self.registry, self.descriptions, subject)

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        """A counter; its name ends in `_total`."""
        self.describe(name, "counter", meaning, labels)
        return Counter(name, meaning, labels, registry=self.registry)

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        """A gauge."""
        self.describe(name, "gauge", meaning, labels)
        return Gauge(name, meaning, labels, registry=self.registry)

    def histogram(self, name: str, meaning: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
        """A histogram with these upper bounds."""
        self.describe(name, "histogram", meaning, labels)
        return Histogram(name, meaning, labels, buckets=bounds, registry=self.registry)

    def describe(self, name: str, kind: str, meaning: str, labels: Sequence[str] = ()) -> None:
        """Describe a metric that something else exposes."""
        self.descriptions.append(Description(self.subject, name, kind, meaning, tuple(labels)))

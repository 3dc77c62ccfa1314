"""Metrics of the configuration in force."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import InfoMetricFamily
from prometheus_client.registry import Collector

from server.observability.instruments import Instruments

_INFO = "1; the label has the digest of the configuration in force."


class ConfigurationMetrics(Collector):
    """Which configuration is in force, and what becomes of those that are read again."""

    def __init__(self, instruments: Instruments) -> None:
        reloads = instruments.counter(
            "extaudit_configuration_reloads_total",
            "Times that SIGHUP had the configuration read again: `loaded` or `refused`.",
            ["outcome"],
        )
        self._outcomes = {outcome: reloads.labels(outcome) for outcome in ("loaded", "refused")}
        self._waiting = instruments.gauge(
            "extaudit_configuration_settings_waiting",
            "Settings whose new value waits for a restart, as the last SIGHUP found them.",
        )
        self._digest = ""
        instruments.describe("extaudit_configuration_info", "info", _INFO, ("digest",))
        instruments.registry.register(self)

    def record(self, digest: str, waiting: int) -> None:
        """Record the digest of what is in force, and how many settings wait for a restart."""
        self._digest = digest
        self._waiting.set(waiting)

    def reloaded(self, *, loaded: bool) -> None:
        """Count a configuration that was read again; one that was refused left the old one in force."""
        self._outcomes["loaded" if loaded else "refused"].inc()

    def collect(self) -> Iterator[Metric]:
        """The digest in force, as the one value of a label: it changes only when people change the configuration."""
        info = InfoMetricFamily("extaudit_configuration", _INFO)
        info.add_metric([], {"digest": self._digest})
        yield info

"""Metrics in Prometheus' form, in a registry of their own.

Every label has a bounded set of values: callers choose none of them. What happened is counted when it happens, by
methods named for it; what is, such as the journal's size, is recorded by the `record_…` methods before it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from server.observability.access_metrics import AccessMetrics
from server.observability.alert_metrics import AlertMetrics
from server.observability.athena_metrics import AthenaMetrics
from server.observability.call_metrics import CallMetrics
from server.observability.configuration_metrics import ConfigurationMetrics
from server.observability.delivery_metrics import DeliveryMetrics
from server.observability.export_metrics import ExportMetrics
from server.observability.instruments import Description, Instruments
from server.observability.issuer_metrics import IssuerMetrics
from server.observability.journal_metrics import JournalMetrics
from server.observability.recording_metrics import RecordingMetrics, UploadMetrics
from server.observability.scrub_metrics import ScrubMetrics
from server.observability.search_metrics import SearchMetrics
from server.observability.service_metrics import ServiceMetrics
from server.observability.trace_metrics import TraceMetrics
from server.observability.watch_metrics import WatchMetrics

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """All metrics of one service. Make it with the full names of the methods that are served.

    Safe to use from several threads.
    """

    def __init__(self, methods: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self.descriptions: list[Description] = []
        """What is exposed, subject by subject; beside it the `process_` and `python_` metrics of the library."""
        make = Instruments(self.registry, self.descriptions).of
        self.calls = CallMetrics(make("Calls"), frozenset(methods))
        self.journal = JournalMetrics(make("Events and the journal"))
        self.deliveries = DeliveryMetrics(make("Batches"))
        self.searches = SearchMetrics(make("Searches"))
        self.exports = ExportMetrics(make("Exports"))
        self.watches = WatchMetrics(make("Watches"))
        self.recordings = RecordingMetrics(make("Recordings"))
        self.uploads = UploadMetrics(make("Recordings"))
        self.alerts = AlertMetrics(make("Alerts"))
        self.scrub = ScrubMetrics(make("The storage, walked through"))
        self.access = AccessMetrics(make("Roles, certificates and tokens"))
        self.athena = AthenaMetrics(make("Amazon Athena"))
        self.issuer = IssuerMetrics(make("The service's own issuer"))
        self.configuration = ConfigurationMetrics(make("The configuration"))
        self.traces = TraceMetrics(make("Traces"))
        self.service = ServiceMetrics(make("The service"))

    def render(self) -> bytes:
        """Everything in Prometheus' text form, of content type `CONTENT_TYPE`."""
        return generate_latest(_WithoutCreationTimes(self.registry))


class _WithoutCreationTimes:
    """The registry without the `_created` series, which would double the output and which no one reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric

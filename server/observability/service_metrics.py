"""Metrics of the process and of what keeps the service from serving."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Collection, Mapping

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector

from server.observability.instruments import Instruments

_LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class ServiceMetrics:
    """The process, its event loop and threads, and what is wrong."""

    def __init__(self, instruments: Instruments) -> None:
        gauge = instruments.gauge
        self._build = gauge("extaudit_build_info", "1; the labels say what runs.", ["version", "python"])
        self._serving = gauge("extaudit_serving", "1 while events are taken and searches answered, else 0.")
        self._problems = gauge(
            "extaudit_problem", "1 for each problem that GetStatus names now; 0 for those that keep it from serving.",
            ["name"],
        )  # fmt: skip
        self._waiting = gauge(
            "extaudit_executor_waiting", "Pieces of work that wait for a thread, by what the threads do.", ["executor"]
        )
        self._outbox = gauge("extaudit_outbox_events", "The service's own events that wait for the journal.")
        self.loop_lag = instruments.histogram(
            "extaudit_loop_lag_seconds", "How much later than due the event loop came to a timer.", _LAG_SECONDS
        )
        collectors: list[type[Collector]] = [ProcessCollector, PlatformCollector, GCCollector]
        for collector in collectors:
            collector(registry=instruments.registry)  # type: ignore[call-arg]

    def record_build(self, version: str) -> None:
        """Record what runs."""
        self._build.labels(version, platform.python_version()).set(1)

    def record_problems(self, grave: Collection[str], possible: Collection[str], others: Collection[str]) -> None:
        """Record what is wrong now: of the `possible` problems that keep the service from serving the `grave` ones, and
        `others`, which don't."""
        self._serving.set(not grave)
        self._problems.clear()
        for name in possible:
            self._problems.labels(name).set(name in grave)
        for name in others:
            self._problems.labels(name).set(1)

    def record_queues(self, executors: Mapping[str, int], outbox: int) -> None:
        """Record how much waits for threads, and for the journal in the outbox."""
        for name, waiting in executors.items():
            self._waiting.labels(name).set(waiting)
        self._outbox.set(outbox)


class LoopLag:
    """Measures how late the event loop is: whatever holds it up holds up every call."""

    PERIOD_SECONDS = 0.1

    def __init__(self, metrics: ServiceMetrics) -> None:
        self._metrics = metrics
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Make `run` return."""
        self._stopped.set()

    async def run(self) -> None:
        """Measure until `stop`."""
        loop = asyncio.get_running_loop()
        while not self._stopped.is_set():
            due = loop.time() + self.PERIOD_SECONDS
            try:
                async with asyncio.timeout_at(due):
                    await self._stopped.wait()
            except TimeoutError:
                self._metrics.loop_lag.observe(max(0.0, loop.time() - due))

"""The look at what was counted, again and again."""

from __future__ import annotations

import asyncio

from server.observability.alerts.alerts import Alerts


class Evaluation:
    """Has alerts evaluated every `period_seconds`. Lives on the event loop."""

    def __init__(self, alerts: Alerts, period_seconds: float) -> None:
        self.alerts = alerts
        self._period_seconds = period_seconds
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Make `run` return."""
        self._stopped.set()

    async def run(self) -> None:
        """Evaluate until `stop`."""
        while not self._stopped.is_set():
            try:
                await asyncio.wait_for(self._stopped.wait(), self._period_seconds)
            except TimeoutError:
                self.alerts.evaluate()

"""Metrics of alerts, and of recordings that wait for their storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from server.observability.alerts.alerts import Alert
from server.observability.alerts.kinds import RATES, STANDING
from server.observability.instruments import Instruments

_IDS = (*(kind.value for kind in RATES), *STANDING)


class AlertMetrics:
    """Which alerts are raised. Storage ids come from administrators, so there are few."""

    def __init__(self, instruments: Instruments) -> None:
        self._alerts = instruments.gauge(
            "extaudit_alert", "1 while an alert is raised, else 0; alerts.md has them.", ["storage", "alert"]
        )
        self._recordings = instruments.gauge(
            "extaudit_recordings_waiting",
            "Recordings that are complete and couldn't be brought to their storage yet.",
            ["storage"],
        )

    def record(self, storages: Iterable[str], alerts: Iterable[Alert], waiting: Mapping[str, int]) -> None:
        """Record all alerts of these storages, and how many recordings wait of each that has some."""
        raised = {(each.storage_id, each.id) for each in alerts}
        for storage in {*storages, *waiting, *(storage for storage, _ in raised)}:
            for name in _IDS:
                self._alerts.labels(storage, name).set((storage, name) in raised)
            self._recordings.labels(storage).set(waiting.get(storage, 0))

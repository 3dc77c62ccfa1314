"""Puts together the walk in the background: events of the default storage, and recordings of all storages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from server.audit_log.scrub.known_damage import KnownDamage
from server.audit_log.scrub.scrubbing import Pace, Scrubbing
from server.audit_log.scrub.subjects import Subject, Subjects
from server.config import Config
from server.observability.alerts.alerts import Alerts
from server.observability.scrub_metrics import ScrubMetrics
from server.recordings.storages import RecordingStorages
from server.recordings.verification import RecordingVerification
from server.state.storage_damage import SqlStorageDamage, is_recording
from server.state.uploads import SqlUploads


@dataclass(frozen=True, slots=True)
class StoredRecordings:
    """What the walk needs of recordings."""

    storages: RecordingStorages
    others: Callable[[], Iterable[str]]
    """Ids of the storages beside the default one."""
    store: SqlUploads
    alerts: Alerts


def assemble_scrub(
    config: Config,
    events: Subject,
    recordings: StoredRecordings,
    damage: SqlStorageDamage,
    metrics: ScrubMetrics,
    gives_way: Callable[[], bool],
    now_ms: Callable[[], int],
) -> Scrubbing:
    """The walk, which looks at storages as they come."""
    known: dict[str, Subject] = {}

    def verification(storage_id: str, alerts: Alerts | None) -> RecordingVerification:
        found = KnownDamage(damage, storage_id, is_recording, now_ms)
        return RecordingVerification(lambda: recordings.storages.of(storage_id), recordings.store, found, alerts)

    def others() -> Mapping[str, Subject]:
        default = recordings.storages.default.storage_id
        for storage_id in (default, *recordings.others()):
            if _prefix(storage_id) not in known:
                # Of what lies on this machine's own disk no alert is raised; status and doctor tell of it.
                alerts = None if storage_id == default else recordings.alerts
                known[_prefix(storage_id)] = verification(storage_id, alerts)
        return known

    pace = Pace(config.scrub.period_seconds, config.scrub.max_bytes_per_second, gives_way)
    return Scrubbing(Subjects(events, others), damage, metrics, pace, now_ms)


def _prefix(storage_id: str) -> str:
    """What names of its recordings begin with in the walk: behind all names of events."""
    return f"~{storage_id}/"

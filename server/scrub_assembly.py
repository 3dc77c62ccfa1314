"""Puts together the walk in the background: events and recordings of all storages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from server.audit_log.foreign_looks import ForeignLooks
from server.audit_log.retention import Retention
from server.audit_log.scrub.bucket_verification import BucketVerification, can_read_events
from server.audit_log.scrub.known_damage import KnownDamage
from server.audit_log.scrub.scrubbing import Pace, Scrubbing
from server.audit_log.scrub.subjects import Subject, Subjects
from server.audit_log.scrub.verification import Verification
from server.audit_log.scrub.whole_storage import WholeStorage
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.storages import Storages
from server.audit_log.taken_names import TakenNames
from server.config import Config
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.observability.scrub_metrics import ScrubMetrics
from server.recordings.storages import RecordingStorages
from server.recordings.verification import RecordingVerification, can_read_recordings
from server.state.catalogue import Catalogue
from server.state.storage_damage import SqlStorageDamage, is_recording
from server.state.uploads import SqlUploads
from server.storage.ports import EventStorage


@dataclass(frozen=True, slots=True)
class StoredRecordings:
    """What the walk needs of recordings."""

    storages: RecordingStorages
    others: Callable[[], Iterable[str]]
    """Ids of the storages beside the default one."""
    store: SqlUploads
    alerts: Alerts


@dataclass(frozen=True, slots=True)
class StoredEvents:
    """What the walk needs of events."""

    storages: Storages
    catalogue: Catalogue
    pending: Callable[[], Collection[tuple[str, int, int]]]
    digests: ObjectDigests
    looks: ForeignLooks
    taken: TakenNames
    without_versions: Callable[[str], Sequence[str]]
    """Gives of a storage, by its id, what was to keep versions and doesn't any more."""


def assemble_scrub(
    config: Config,
    events: StoredEvents,
    recordings: StoredRecordings,
    damage: SqlStorageDamage,
    metrics: ScrubMetrics,
    gives_way: Callable[[], bool],
    now_ms: Callable[[], int],
) -> Scrubbing:
    """The walk, which looks at storages as they come."""
    known: dict[str, Subject] = {}
    retention = Retention(events.storages, events.catalogue, now_ms)

    def verification(storage_id: str, alerts: Alerts | None) -> RecordingVerification:
        found = KnownDamage(damage, storage_id, is_recording, now_ms)
        return RecordingVerification(
            lambda: recordings.storages.of(storage_id),
            lambda: retention.of(storage_id),
            recordings.store,
            found,
            alerts,
        )

    default = Verification(
        events.storages.all()[0], events.catalogue, events.pending, events.digests, damage, now_ms, events.taken
    )

    def events_of(storage: EventStorage) -> BucketVerification:
        found = KnownDamage(damage, storage.storage_id, lambda name: not is_recording(name), now_ms)
        return BucketVerification(
            storage, events.catalogue, events.pending, events.looks, retention, found, events.taken
        )

    def whole(storage: EventStorage) -> WholeStorage:
        storage_id = storage.storage_id
        reads = {
            AlertKind.EVENT_SEARCH: lambda: can_read_events(storage, events.catalogue),
            AlertKind.SESSION_DOWNLOAD: lambda: can_read_recordings(
                recordings.storages.of(storage_id), recordings.store
            ),
        }
        return WholeStorage(storage_id, events.without_versions, reads, recordings.alerts)

    def others() -> Mapping[str, Subject]:
        for storage in events.storages.all():
            if storage.keeps_versions and (prefix := f"{_EVENTS}{storage.storage_id}/") not in known:
                known[prefix] = events_of(storage)
                known[f"{_WHOLE}{storage.storage_id}/"] = whole(storage)
        default = recordings.storages.default.storage_id
        for storage_id in (default, *recordings.others()):
            if _prefix(storage_id) not in known:
                # Of what lies on this machine's own disk no alert is raised; status and doctor tell of it.
                alerts = None if storage_id == default else recordings.alerts
                known[_prefix(storage_id)] = verification(storage_id, alerts)
        return known

    pace = Pace(config.scrub.period_seconds, config.scrub.max_bytes_per_second, gives_way)
    return Scrubbing(Subjects(default, others), damage, metrics, pace, now_ms)


_EVENTS: Final = "|"
"""What names of events in buckets begin with in the walk: behind those of the default storage."""
_WHOLE: Final = "^"
"""What stands there for what is asked of a storage as a whole, which has no names."""


def _prefix(storage_id: str) -> str:
    """What names of its recordings begin with in the walk: behind all names of events."""
    return f"~{storage_id}/"

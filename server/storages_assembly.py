"""The ways of events to their storages, put together: for each storage its own deliveries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from server.audit_log.cuts import Cut, CutLimits
from server.audit_log.deliveries import Deliveries
from server.audit_log.deliveries_by_storage import DeliveriesByStorage
from server.audit_log.delivery import Delivery
from server.audit_log.diverting import Diverting
from server.audit_log.known_uids import UidLimits
from server.audit_log.opening import OpenLog, Places, open_log
from server.audit_log.record_proof import RecordProofs
from server.audit_log.storages import DEFAULT, Storages
from server.audit_log.taken_names import TakenNames
from server.audit_log.validation import Validator
from server.config import Config
from server.data_directory import RECORDS_KEY, DataDirectory, kept_secret
from server.files import Files
from server.observability.alerts.alerts import Alerts
from server.observability.delivery_metrics import DeliveryMetrics
from server.observability.spans import Spans
from server.state.catalogue import Catalogue
from server.state.outbox import Outbox
from server.storage.finding import ObjectFinder
from server.storage.ports import EventStorage, StorageError
from server.storage.recording_port import RecordingStorage

_log = logging.getLogger(__name__)
_PATIENCE_SECONDS = 30.0
"""How long what is beyond a network may be out of reach before the service says that it fails."""


class OtherStorages(Protocol):
    """The storages beside the default one, as the state has them."""

    def ids(self) -> Sequence[str]:
        """Every one that was ever active."""
        ...

    def open(self, storage_id: str) -> EventStorage:
        """The storage with this id. Connects to nothing.

        Raises:
            StorageError: nothing says where it is.
        """
        ...

    def finder(self, storage_id: str) -> ObjectFinder | None:
        """What tells which objects of a storage hold what a search looks for; None where nothing does."""
        ...

    def problems(self) -> Sequence[str]:
        """Why there are no credentials for them, or there soon will be none. Blocks on nothing."""
        ...

    def open_recordings(self, storage_id: str) -> RecordingStorage:
        """The recordings of the storage with this id. Connects to nothing.

        Raises:
            StorageError: nothing says where it is.
        """
        ...

    def without_versions(self, storage_id: str) -> Sequence[str]:
        """What a storage consists of that was to keep versions and doesn't any more, by name.

        Raises:
            StorageError: it can't be told now.
        """
        ...

    def give_up(self) -> None:
        """Have what waits for another service end soon: a stop waits for it."""
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...


def known_storages(default: EventStorage, others: OtherStorages, active: str) -> Storages:
    """All that can be known at a start. One that nothing can be said of any more holds up none of the others: its
    batches wait, and status says so."""
    storages = Storages(default, active=active)
    for storage_id in others.ids():
        if storage_id != DEFAULT:
            try:
                storages.add(others.open(storage_id))
            except StorageError as error:
                fields = {"storage": storage_id, "reason": str(error)}
                _log.error("a storage can't be opened; its batches wait", extra={"fields": fields})
    return storages


def open_audit_log(
    config: Config,
    limits: CutLimits,
    files: Files,
    directory: DataDirectory,
    storages: Storages,
    catalogue: Catalogue,
    outbox: Outbox,
    on_cut: Callable[[], None],
    validator: Validator,
) -> OpenLog:
    """Open the log in a data directory; see `open_log`."""
    journal = config.journal
    return open_log(
        files,
        Places(directory.journal, directory.spool, directory.path / "known_uids", directory.token_keys),
        storages,
        catalogue,
        outbox,
        limits,
        UidLimits(journal.known_uids_minimum, journal.known_uids_bound, journal.known_uids_hours),
        on_cut,
        validator,
        RecordProofs(kept_secret(files, directory, RECORDS_KEY)),
    )


@dataclass(frozen=True, slots=True)
class Ways:
    """What the deliveries of all storages share."""

    log: OpenLog
    catalogue: Catalogue
    before_leaving: Callable[[], None]
    threads: Executor
    metrics: DeliveryMetrics
    gives_way: Callable[[], bool]
    spans: Spans
    alerts: Alerts
    taken_names: TakenNames
    look_back: Callable[[Cut], None]
    """See Delivery."""
    at_once: int
    """Batches that are sent at once to each storage beside the default one, which is a disk."""
    longest_pause_seconds: float
    """Between attempts to deliver to a storage that fails."""
    leaving: Lock = field(default_factory=Lock)
    """Held while a batch leaves the tail, and while what waits for a storage is diverted."""


def deliveries_to(storages: Storages, ways: Ways) -> DeliveriesByStorage:
    """Deliveries to these storages, and to those that are added later."""
    encoding, log = Lock(), ways.log

    def make(storage: EventStorage) -> Deliveries:
        delivery = Delivery(
            storage,
            log.tail,
            log.spool,
            ways.catalogue,
            log.uid_files,
            log.journal,
            log.proofs,
            ways.before_leaving,
            ways.leaving,
            encoding,
            ways.taken_names.tell,
            ways.look_back,
        )
        patience, at_once = (0.0, 1) if storage.storage_id == DEFAULT else (_PATIENCE_SECONDS, ways.at_once)
        shared = ways.threads, ways.metrics, storage.storage_id, ways.gives_way, ways.spans
        return Deliveries(delivery, *shared, patience, ways.alerts, at_once, ways.longest_pause_seconds)

    deliveries = DeliveriesByStorage(make)
    for storage in storages.all():
        deliveries.add(storage)
    return deliveries


def diverting_from(storages: Storages, ways: Ways, deliveries: DeliveriesByStorage) -> Diverting:
    """What takes batches out of the ways of these deliveries to others; made on the event loop."""
    loop = asyncio.get_running_loop()

    def diverted(storage_id: str) -> None:
        loop.call_soon_threadsafe(deliveries.diverted, storage_id)

    return Diverting(ways.log.tail, ways.catalogue, storages, ways.leaving, diverted)

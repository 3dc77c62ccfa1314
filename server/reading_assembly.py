"""Puts together what reads events: searches, exports and watches."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, Protocol

from server.audit_log.commit_notice import CommitNotice
from server.audit_log.export.exports import Exports, most_exports
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.foreign_looks import ForeignLooks
from server.audit_log.opening import OpenLog
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.search.elsewhere import Elsewhere
from server.audit_log.search.narrowing import Narrowing
from server.audit_log.search.outcomes import Outcomes
from server.audit_log.search.page_process import PageProcess
from server.audit_log.search.page_reader import PAGE_BOUNDS
from server.audit_log.search.search import Search
from server.audit_log.search.searches import Searches
from server.audit_log.search.tokens import PageTokens
from server.audit_log.service_log import ServiceLog
from server.audit_log.storages import Storages
from server.audit_log.stored_batches import StoredBatches
from server.audit_log.watching.log_reader import LogReader
from server.audit_log.watching.watches import Watches
from server.config import Config
from server.grpc_api.row_encoding import encoded_rows
from server.observability.alerts.alerts import Alerts
from server.observability.metrics import Metrics
from server.observability.spans import Spans
from server.state.active_storage import active_periods
from server.state.catalogue import Catalogue
from server.state.database import Database
from server.storage.finding import ObjectFinder
from server.storage.ports import ScanEngine

PAGE_PROCESS: Final = (sys.executable, "-P", "-m", "server.page_process")
"""Begins it, without the working directory among the places where its code is looked for."""


class Threads(Protocol):
    """The threads that reading runs on."""

    @property
    def searches(self) -> Executor:
        """Search what is on this machine."""
        ...

    @property
    def remote_searches(self) -> Executor:
        """Search what may have to be fetched."""
        ...

    @property
    def exports(self) -> Executor:
        """Read and encode batches for exports."""
        ...

    @property
    def reading(self) -> Executor:
        """Read batches for those who watch."""
        ...

    @property
    def remote_reading(self) -> Executor:
        """Read batches that may have to be fetched."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What reading needs of the rest of the service."""

    storages: Storages
    scan: ScanEngine
    finder: Callable[[str], ObjectFinder | None]
    log: OpenLog
    catalogue: Catalogue
    state: Database
    digests: ObjectDigests
    threads: Threads
    service_log: ServiceLog
    notice: CommitNotice
    metrics: Metrics
    spans: Spans
    alerts: Alerts


@dataclass(frozen=True, slots=True)
class ReadingPart:
    """The use cases that read events."""

    searches: Searches
    exports: Exports
    watches: Watches
    looks: ForeignLooks
    """Into storages that others can write to."""
    pages: PageProcess


def assemble(config: Config, around: Surroundings, *, token_key: bytes) -> ReadingPart:
    """The parts over what the log and the storages have."""
    storages, catalogue, log, threads = around.storages, around.catalogue, around.log, around.threads
    elsewhere = Elsewhere(lambda: active_periods(around.state), lambda: storages.switches, catalogue.diversions.all)
    scan_bytes = min(config.athena.scan_bytes, config.external_storage.cache_bytes)
    narrowing = Narrowing(storages, around.finder, scan_bytes=scan_bytes)
    looks = ForeignLooks(storages, catalogue, log.tail.pending, around.alerts)
    outcomes, tokens = Outcomes(around.alerts, has_own_alert=looks.has_alert), PageTokens(token_key)
    pages = PageProcess(PAGE_PROCESS, PAGE_BOUNDS)
    search = Search(
        storages,
        around.scan,
        log.tail,
        catalogue,
        tokens,
        around.digests,
        elsewhere,
        narrowing,
        outcomes,
        looks,
        write=encoded_rows,
        making_elsewhere=pages,
    )
    searches = Searches(
        search,
        threads.searches,
        threads.remote_searches,
        around.service_log,
        around.metrics.searches,
        limit_seconds=config.search.time_limit_seconds,
        spans=around.spans,
    )
    stored = StoredBatches(storages, catalogue, outcomes)
    exports = Exports(
        ChunkListing(storages, log.tail, catalogue, ChunkTokens(token_key), looks.refresh),
        stored,
        catalogue,
        threads.exports,
        around.service_log,
        around.metrics.exports,
        most=most_exports(config.journal.cut_bytes + config.grpc.message_bytes),
        remote_threads=threads.remote_reading,
    )
    watches = Watches(
        LogReader(log.tail, catalogue, stored, log.journal.log_id),
        threads.reading,
        around.service_log,
        around.notice,
        around.metrics.watches,
        storages,
        remote_threads=threads.remote_reading,
    )
    return ReadingPart(searches, exports, watches, looks, pages)

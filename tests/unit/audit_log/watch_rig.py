"""Watches over a real log, with what their answers are encoded with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from rbac.formulas import Formula, Operator, Test
from rbac.identities import Identity, IdentityKind
from server.audit_log.access import Access
from server.audit_log.commit_notice import CommitNotice
from server.audit_log.search.query import FoundEvent
from server.audit_log.service_log import ServiceLog
from server.audit_log.stored_batches import StoredBatches
from server.audit_log.watching.log_reader import LogReader
from server.audit_log.watching.query import Watched, WatchQuery
from server.audit_log.watching.watch import Watch, WatchLimits
from server.audit_log.watching.watches import Watches
from server.errors import AuditStoreError
from server.observability.instruments import Instruments
from server.observability.watch_metrics import WatchMetrics
from tests.contract.search_rig import SearchRig, duck_engine, event_json
from tests.unit.audit_log.test_service_log import OwnJournal

CALLER = Access(Identity(IdentityKind.USER, "alice", frozenset({"auditor"}), "anchor", "5e"), "ipv4:192.0.2.7:1", "r-1")


AT_ONCE = WatchLimits(look_seconds=0.0, looks_per_second=1e9)


@dataclass
class WatchRig:
    """A log, and watches of it; `access` is what the next look at the caller's rights gives, or raises."""

    log: SearchRig
    threads: ThreadPoolExecutor
    limits: WatchLimits = AT_ONCE
    access: Access | AuditStoreError = CALLER
    journal: OwnJournal = field(default_factory=OwnJournal)
    notice: CommitNotice = field(default_factory=CommitNotice)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        rig = self.log
        batches = StoredBatches(rig.storages, rig.catalogue)
        reader = LogReader(rig.log.tail, rig.catalogue, batches, rig.log.journal.log_id)
        service_log = ServiceLog(self.journal)  # type: ignore[arg-type]  # all that it uses
        metrics = WatchMetrics(Instruments(self.registry, []))
        self.watches = Watches(reader, self.threads, service_log, self.notice, metrics, rig.storages, self.limits)

    def rights(self) -> Access:
        if isinstance(self.access, AuditStoreError):
            raise self.access
        return self.access

    async def watch(self, query: WatchQuery | None = None) -> Watch:
        return await self.watches.begin(self.rights, query or WatchQuery(after={}), encoded)

    def counted(self) -> list[float | None]:
        """Watches under way, events and missing parts that were given."""
        names = "extaudit_watches_under_way", "extaudit_watched_events_total", "extaudit_watch_missing_total"
        return [self.registry.get_sample_value(name) for name in names]

    def emit(self, *uids: str, **members: object) -> None:
        self.log.emit(*(event_json(uid, **members) for uid in uids))
        self.notice.tell()

    def deliver(self) -> None:
        self.log.cut()
        self.log.deliver()


@contextlib.asynccontextmanager
async def watching(
    folder: Path, workers: int = 1, others: tuple[str, ...] = (), **members: Any
) -> AsyncIterator[WatchRig]:
    log = SearchRig(folder, duck_engine(folder), others=others)
    with ThreadPoolExecutor(workers) as threads:
        yield WatchRig(log, threads, **members)
    log.close()


def encoded(events: Sequence[FoundEvent]) -> bytes:
    return b"".join(event.position.uid.encode() for event in events)


def uids(watched: Watched | None) -> list[str]:
    assert watched is not None
    assert watched.encoded == encoded(watched.events)
    return [event.position.uid for event in watched.events]


def condition(user: str) -> Formula:
    return Test(("user",), Operator.ONE_OF, (user,), holds=True)

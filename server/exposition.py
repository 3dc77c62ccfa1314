"""All metrics as Prometheus reads them: what is counted as it happens, and what is only looked at now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from server.audit_log.intake import Intake
from server.audit_log.outbox_drain import OutboxDrain
from server.audit_log.search.searches import Searches
from server.audit_log.status import PROBLEMS, Status
from server.observability.metrics import Metrics
from server.recordings.uploads.open_uploads import OpenUploads
from server.tokens.token_issuers import TokenIssuers


class Exposition:
    """Looks at the parts and renders. Lives on the event loop, and blocks on nothing."""

    def __init__(
        self,
        metrics: Metrics,
        status: Status,
        tokens: TokenIssuers,
        uploads: OpenUploads,
        intake: Intake,
        searches: Searches,
        outbox: OutboxDrain,
        executors: Mapping[str, ThreadPoolExecutor],
        looks: Sequence[Callable[[], None]] = (),
    ) -> None:
        """`executors` by what they do; `looks` are called before anything is shown: each records what it knows."""
        self._metrics = metrics
        self._status = status
        self._tokens = tokens
        self._uploads = uploads
        self._intake = intake
        self._searches = searches
        self._outbox = outbox
        self._executors = executors
        self._looks = looks
        metrics.service.record_build(status.version)

    def render(self) -> bytes:
        """Everything, in Prometheus' text form."""
        self._look_at_journal()
        self._look_at_access()
        self._look_at_service()
        self._look_at_alerts()
        for look in self._looks:
            look()
        metrics = self._metrics
        metrics.uploads.record_state(self._uploads.open, self._uploads.abandoned)
        metrics.searches.record_under_way(self._searches.places.taken)
        return metrics.render()

    def _look_at_journal(self) -> None:
        metrics, status = self._metrics, self._status
        journal = status.journal_state()
        metrics.journal.record_state(
            pending_events=journal.pending_events,
            size=journal.bytes,
            oldest_age_seconds=journal.oldest_age_ms / 1000,
            torn_tail_bytes=journal.torn_tail_bytes,
            holes=len(journal.holes),
        )
        metrics.journal.record_room(
            quota=journal.quota_bytes,
            free=journal.free_disk_bytes,
            waiting=self._intake.pending_bytes(),
            next_sequence=journal.next_sequence,
        )
        metrics.deliveries.record_waiting(status.batches_waiting, status.storage_ids())
        for storage, at_ms in status.last_deliveries_ms().items():
            metrics.deliveries.confirmed(storage, at_ms)

    def _look_at_alerts(self) -> None:
        status = self._status
        waiting = {storage: each.recordings for storage, each in status.waiting_recordings().items()}
        self._metrics.alerts.record(status.storage_ids(), status.alerts(), waiting)

    def _look_at_access(self) -> None:
        metrics = self._metrics.access
        ends: dict[str, int] = {}
        for state in self._status.certificates():
            ends[state.use] = min(ends.get(state.use, state.expires_ms), state.expires_ms)
        for use, end in ends.items():
            metrics.record_certificate(use, end)
        for issuer in self._tokens.states():
            metrics.record_token_issuer(issuer.issuer, len(issuer.key_ids), issuer.fetched_ms)

    def _look_at_service(self) -> None:
        service, status = self._metrics.service, self._status
        service.record_problems(
            {each.name for each in status.problems()}, PROBLEMS, {each.name for each in status.warnings()}
        )
        service.record_queues(
            {name: _waiting(executor) for name, executor in self._executors.items()}, self._outbox.waiting
        )


def _waiting(executor: ThreadPoolExecutor) -> int:
    # The library tells it in no other way, and has had the queue under this name since it has executors.
    return executor._work_queue.qsize()

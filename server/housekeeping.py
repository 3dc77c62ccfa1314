"""What the service looks at a few times a second: disk, journal, files that people change, and its own health."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from rbac.holder import PolicyHolder, ReloadResult
from server.access.lock_table import LockTable
from server.audit_log.changes import Changes
from server.audit_log.clock_steps import ClockSteps
from server.audit_log.gate import IntakeGate
from server.audit_log.journal.trimming import DAMAGED
from server.audit_log.kept_policies import KeptPolicies
from server.audit_log.log_writer import LogWriter
from server.audit_log.status import Status
from server.certificates.certificates_in_force import Certificates
from server.certificates.issued import SerialTable
from server.data_directory import DataDirectory
from server.errors import AuditStoreError
from server.http_api.public_listener import PublicServer
from server.observability.access_metrics import AccessMetrics
from server.recordings.disk_room import DiskRoom
from server.recordings.uploads.open_uploads import OpenUploads

_log = logging.getLogger(__name__)
PERIOD_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at."""

    directory: DataDirectory
    gate: IntakeGate
    status: Status
    writer: LogWriter
    serials: SerialTable
    locks: LockTable
    certificates: Certificates
    policy: PolicyHolder
    metrics: AccessMetrics
    pending_bytes: Callable[[], int]
    """Bytes of events that wait for a commit."""
    changes: Changes
    policies: KeptPolicies
    clock: ClockSteps
    room: DiskRoom
    uploads: OpenUploads
    public: PublicServer | None
    """The public HTTP listener; None where there is none."""


class Housekeeping:
    """Runs every PERIOD_SECONDS; the looks that block run on a thread, cuts on the journal's.

    The state database is looked at beside all else, as one that is locked or damaged must hold up neither a change of
    roles and trust anchors nor what the gate is told.
    """

    def __init__(self, watched: Watched, journal_thread: Executor, set_serving: Callable[[bool], None]) -> None:
        self._watched = watched
        self._journal_thread = journal_thread
        self._set_serving = set_serving
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Make `run` return after the look that is under way."""
        self._stopped.set()

    async def run(self) -> None:
        """Look until `stop`. A look that fails is logged and tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self.look))
            group.create_task(self._repeat(self._look_at_state))

    async def _repeat(self, look: Callable[[], Awaitable[None]]) -> None:
        while not self._stopped.is_set():
            try:
                await look()
            except Exception:
                _log.exception("a look at the service's surroundings failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), PERIOD_SECONDS)

    async def _look_at_state(self) -> None:
        loop, watched = asyncio.get_running_loop(), self._watched
        await loop.run_in_executor(None, watched.locks.refresh)
        await loop.run_in_executor(None, watched.serials.refresh)
        await loop.run_in_executor(None, watched.changes.write)
        await loop.run_in_executor(None, watched.uploads.look)

    async def look(self) -> None:
        """Look once at everything but the state database."""
        loop, watched = asyncio.get_running_loop(), self._watched
        written = watched.gate.admitted - watched.pending_bytes()
        journal_bytes, free_bytes = await loop.run_in_executor(None, self._look)
        watched.gate.observe(journal_bytes, free_bytes, written)
        watched.room.observe(free_bytes)
        watched.status.observe(journal_bytes, free_bytes)
        if not watched.writer.journal.closed:
            await loop.run_in_executor(self._journal_thread, self._cut_if_old)
        self._set_serving(not watched.status.problems())

    def _look(self) -> tuple[int, int]:
        watched = self._watched
        watched.certificates.reload_if_changed()
        if watched.public is not None:
            watched.public.reload_if_changed()
        before = watched.policy.current.digest
        outcome = watched.policy.reload_if_changed()
        if outcome.result is not ReloadResult.UNCHANGED:
            self._tell_of_policy(before, outcome.error)
        self._keep_policy()
        if step := watched.clock.step():
            _log.warning("the machine's clock was set", extra={"fields": {"seconds": round(step, 3)}})
            watched.changes.clock_stepped(step)
        return _folder_bytes(watched.directory.journal), watched.directory.free_bytes()

    def _tell_of_policy(self, before: str, error: Exception | None) -> None:
        self._watched.metrics.reloaded(loaded=error is None)
        if error is None:
            policy = self._watched.policy.current
            self._watched.changes.roles_reloaded(before, policy.digest, sorted(policy.roles))
            _log.info("roles reloaded", extra={"fields": {"policy_digest": policy.digest}})
        else:
            self._watched.changes.roles_refused(before, str(error))
            _log.error("changed roles are refused; the old ones stay", extra={"fields": {"reason": str(error)}})

    def _keep_policy(self) -> None:
        policy = self._watched.policy.current
        try:
            self._watched.policies.keep(policy.digest, policy.document)
        except OSError as error:
            _log.error("the policy in force can't be kept", extra={"fields": {"reason": error.strerror}})

    def _cut_if_old(self) -> None:
        try:
            if self._watched.writer.journal.failing:
                self._watched.writer.journal.try_writing()
            self._watched.writer.cut_if_old(time.time_ns() // 1_000_000)
        except AuditStoreError as error:
            _log.error("the journal can't be written", extra={"fields": {"reason": error.reason}})


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path, folders, names in os.walk(folder):
        if DAMAGED in folders:
            folders.remove(DAMAGED)  # kept for people, outside the quota
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_size
            except FileNotFoundError:  # trimmed meanwhile
                continue
    return total

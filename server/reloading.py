"""SIGHUP: reads the configuration again and puts into force what can change while the service runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.audit_log.changes import Changes
from server.audit_log.cuts import CutLimits
from server.audit_log.gate import IntakeGate
from server.audit_log.intake import Intake
from server.audit_log.log_writer import LogWriter
from server.audit_log.search.searches import Searches
from server.audit_log.state_of_service import Problem
from server.config import Config, ConfigProblems, digest
from server.config.changing import Change, change_to
from server.grpc_api.server import GrpcServer, Limits
from server.issuer_assembly import IssuerPart
from server.observability import logs
from server.observability.configuration_metrics import ConfigurationMetrics
from server.recordings_assembly import RecordingsPart

_log = logging.getLogger(__name__)
MAX_PROBLEMS = 50
"""Problems of a refused configuration that are kept; a file can be made to have any number."""
_MAX_PROBLEM_CHARACTERS = 300


class Settings:
    """The configuration in force, and what became of the last one that was read again."""

    def __init__(self, config: Config, metrics: ConfigurationMetrics) -> None:
        self._metrics = metrics
        self._waiting: tuple[str, ...] = ()
        self._is_refused = False
        self.put(config)

    def put(self, config: Config, waiting: Sequence[str] = ()) -> None:
        """Note what is in force now, and the settings whose new value waits for a restart."""
        self.config, self._waiting, self._is_refused = config, tuple(waiting), False
        self.digest = digest(config)
        self._metrics.record(self.digest, len(waiting))

    def refuse(self) -> None:
        """Note that what was read last is refused."""
        self._is_refused = True

    def warnings(self) -> list[Problem]:
        """What people should know of it."""
        found = []
        if self._is_refused:
            text = (
                "the configuration that was read again is refused, the old one stays; `extaudit serve --check` says why"
            )
            found.append(Problem("configuration_refused", text))
        if self._waiting:
            text = f"these settings were changed and wait for a restart: {', '.join(self._waiting)}"
            found.append(Problem("restart_needed", text))
        return found


@dataclass(frozen=True, slots=True)
class Held:
    """The parts that are held to settings which can change."""

    gate: IntakeGate
    writer: LogWriter
    intake: Intake
    searches: Searches
    recordings: RecordingsPart
    grpc: GrpcServer
    issuer: IssuerPart

    def hold_to(self, config: Config) -> None:
        """Hold all parts to what is configured; logs are the process's own. Called on the loop."""
        journal = config.journal
        self.gate.quota_bytes, self.gate.disk_floor_bytes = journal.quota_bytes, journal.disk_floor_bytes
        self.writer.limits = cut_limits(config)
        self.intake.max_pending_bytes = journal.max_pending_bytes
        self.searches.limit_seconds = config.search.time_limit_seconds
        self.recordings.hold_to(config)
        self.grpc.hold_to(Limits.of(config))
        self.issuer.hold_to(config)


def cut_limits(config: Config) -> CutLimits:
    """When a cut closes."""
    journal = config.journal
    return CutLimits(journal.cut_events, journal.cut_bytes, journal.cut_dates, int(journal.cut_age_seconds * 1000))


class Reloading:
    """Reads the sources again whenever it is asked to. Lives on the event loop.

    What is wrong changes nothing at all: neither does a part of it come into force.
    """

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Config],
        held: Held,
        changes: Changes,
        metrics: ConfigurationMetrics,
    ) -> None:
        """`read` reads all sources, blocks, and raises ConfigProblems."""
        self._settings = settings
        self._read = read
        self._held = held
        self._changes = changes
        self._metrics = metrics
        self._asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._is_stopped = False

    def ask(self) -> None:
        """Have the sources read soon; what is asked while they are read counts for one more time. From any thread."""
        self._loop.call_soon_threadsafe(self._asked.set)

    def stop(self) -> None:
        """Make `run` return."""
        self._is_stopped = True
        self._asked.set()

    async def run(self) -> None:
        """Read whenever asked, until `stop`."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            if self._is_stopped:
                return
            try:
                await self._reload()
            except Exception:  # a fault of ours must not end the service, nor keep it from the next signal
                _log.exception("the configuration could not be read again; the old one stays")

    async def _reload(self) -> None:
        before = self._settings
        try:
            change = await self._loop.run_in_executor(None, self._read_change)
        except ConfigProblems as error:
            problems = [each[:_MAX_PROBLEM_CHARACTERS] for each in error.problems[:MAX_PROBLEMS]]
            before.refuse()
            self._metrics.reloaded(loaded=False)
            self._changes.configuration_refused(before.digest, problems)
            _log.error("the configuration is refused; the old one stays", extra={"fields": {"problems": problems}})
            return
        self._put_into_force(change)

    def _read_change(self) -> Change:
        return change_to(self._settings.config, self._read())

    def _put_into_force(self, change: Change) -> None:
        settings, old = self._settings, self._settings.digest
        quieter = _severity(change.config) > _severity(settings.config)
        self._held.hold_to(change.config)
        settings.put(change.config, change.waiting)
        self._metrics.reloaded(loaded=True)
        self._changes.configuration_reloaded(old, settings.digest, change.changed, change.waiting)
        # Said at whichever of both levels says more.
        if not quieter:
            _configure_logs(change)
        fields = {"changed": change.changed, "waiting_for_a_restart": change.waiting, "configuration": settings.digest}
        _log.info("the configuration was read again", extra={"fields": fields})
        if quieter:
            _configure_logs(change)


def _severity(config: Config) -> int:
    return logging.getLevelNamesMapping()[config.log.level.upper()]


def _configure_logs(change: Change) -> None:
    if {"log.level", "log.format"} & set(change.changed):
        logs.configure(change.config.log.level, change.config.log.format)

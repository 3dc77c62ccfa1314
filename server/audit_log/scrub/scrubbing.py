"""The walk in the background: evenly over its period, within its rate, behind everything that callers wait for."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from server.audit_log.scrub.subjects import Subject
from server.audit_log.state_of_service import Problem
from server.observability.scrub_metrics import ScrubMetrics
from server.state.database import StateFault
from server.state.storage_damage import KINDS, UNLISTED, SqlStorageDamage, Walk
from server.storage.ports import StorageError

_log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 3600.0
"""Between looks at what is there and how large it is, which cost little, while the walk reads digests."""
_KEEP_SECONDS: Final = 10.0
"""Between notes of how far the walk is."""
_RETRY_SECONDS: Final = 60.0
_WAY_SECONDS: Final = 0.05
_MOST_WAY_SECONDS: Final = 10.0
"""How long the next reading gives way at most, so that a busy service is looked at too."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast it goes."""

    period_seconds: float
    """In which everything is read once, if the rate lets."""
    bytes_per_second: int
    gives_way: Callable[[], bool]
    """Whether somebody waits for the machine."""


class _Stopped(Exception):
    """The service stops; the next start goes on."""


class Scrubbing:
    """Runs the walk on a thread of its own, again and again. `stop` ends it; the next start goes on where it was."""

    def __init__(
        self,
        verification: Subject,
        store: SqlStorageDamage,
        metrics: ScrubMetrics,
        pace: Pace,
        now_ms: Callable[[], int],
    ) -> None:
        self._verification = verification
        self._store = store
        self._metrics = metrics
        self._pace = pace
        self._now_ms = now_ms
        self._thread = ThreadPoolExecutor(1, "scrub")
        self._stopped = threading.Event()
        self._walk = Walk()
        self._next_look = 0.0
        self._next_keep = 0.0
        self._is_stuck = False

    async def run(self) -> None:
        """Walk until `stop`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._work)

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stopped.set()

    def close(self) -> None:
        """Wait for the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def warnings(self) -> list[Problem]:
        """What people should know of it."""
        found = []
        counts = self.counts()
        if any(counts.values()):
            told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
            text = (
                f"objects in the storage aren't as they should be: {told}; `extaudit doctor` names them and what to do"
            )
            found.append(Problem("storage_damaged", text))
        if self._is_stuck:
            text = "the storage can't be looked through now, so that damage isn't found; `extaudit doctor` says why"
            found.append(Problem("storage_unchecked", text))
        return found

    def counts(self) -> Mapping[str, int]:
        """How many findings there are of each kind."""
        damage = self._verification.damage.values()
        return {kind: sum(each.kind == kind for each in damage) for kind in KINDS}

    def record(self) -> None:
        """Record in the metrics how things are now."""
        self._metrics.record_state(self.counts(), self._walk.passed_ms)

    def _work(self) -> None:
        is_begun = False
        while not self._stopped.is_set():
            try:
                if not is_begun:
                    self._verification.begin()
                    self._walk, is_begun = self._store.walk(), True
                self._go_round()
            except _Stopped:
                break
            except (StorageError, StateFault, OSError) as error:
                fields = {"reason": type(error).__name__}
                _log.warning("the storage can't be looked through now", extra={"fields": fields})
                self._rest()
            except Exception:
                # The rest of the service works without it.
                _log.exception("the storage can't be looked through")
                self._rest()

    def _rest(self) -> None:
        self._is_stuck = True
        self._stopped.wait(_RETRY_SECONDS)

    def _go_round(self) -> None:
        """Walk from where it is to the end, or, after a whole walk, wait for the next one's time and begin that."""
        names = self._look()
        if self._is_done:
            self._wait(self._left())
            names = self._look()
        if self._is_done or not self._walk.begun_ms:
            self._walk = self._begun()
        todo = [name for name in names if name > self._walk.position]
        try:
            for index, name in enumerate(todo):
                self._wait(self._left() / (len(todo) - index))
                self._verification.check(name, self._read)
                self._metrics.checked()
                self._walk = replace(self._walk, position=name)
                self._keep_now_and_then()
        finally:
            self._store.keep_walk(self._walk)
        # The clock may have been set back meanwhile: a walk that ended before it began would end again and again.
        self._walk = replace(self._walk, passed_ms=max(self._now_ms(), self._walk.begun_ms))
        self._store.keep_walk(self._walk)

    def _begun(self) -> Walk:
        """A walk that begins now, which the one before it ended before, whatever the clock said then."""
        now_ms, passed_ms = self._now_ms(), self._walk.passed_ms
        return Walk(begun_ms=now_ms, passed_ms=None if passed_ms is None else min(passed_ms, now_ms - 1))

    def _look(self) -> list[str]:
        """Look at what is there; what was found missing or changed before is read again at once."""
        names = self._verification.look()
        self._is_stuck = False
        for name, damage in self._verification.damage.items():
            if damage.kind != UNLISTED:
                self._verification.check(name, self._read)
        self._next_look = time.monotonic() + min(LOOK_SECONDS, self._pace.period_seconds)
        return names

    @property
    def _is_done(self) -> bool:
        return self._walk.passed_ms is not None and self._walk.passed_ms >= self._walk.begun_ms > 0

    def _left(self) -> float:
        """Seconds that are left of the period; never more than all of it, also where the clock was set back."""
        period = self._pace.period_seconds
        return min(period, self._walk.begun_ms / 1000 + period - self._now_ms() / 1000)

    def _wait(self, seconds: float) -> None:
        """Wait, and look at what is there whenever that is due."""
        end = time.monotonic() + seconds
        while True:
            if time.monotonic() >= self._next_look:
                self._look()
            if self._stopped.wait(max(0.0, min(end, self._next_look) - time.monotonic())):
                raise _Stopped
            if time.monotonic() >= end:
                return

    def _read(self, size: int) -> None:
        self._metrics.read(size)
        if self._stopped.wait(size / self._pace.bytes_per_second):
            raise _Stopped
        give_up = time.monotonic() + _MOST_WAY_SECONDS
        while self._pace.gives_way() and time.monotonic() < give_up:
            if self._stopped.wait(_WAY_SECONDS):
                raise _Stopped

    def _keep_now_and_then(self) -> None:
        if time.monotonic() >= self._next_keep:
            self._next_keep = time.monotonic() + _KEEP_SECONDS
            self._store.keep_walk(self._walk)

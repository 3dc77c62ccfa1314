"""The alerts of a service: counted where storages are used, raised and cleared when `evaluate` looks at the counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from server.observability.alerts.kinds import RATES, STANDING, AlertKind, Severity
from server.observability.alerts.tally import Tally, Verdict, told

QUIET_MS: Final = 600_000
"""After the last failure."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that is raised."""

    id: str
    """An AlertKind's value, or a name of STANDING."""
    storage_id: str
    since_ms: int
    severity: Severity
    message: str
    """What is wrong, without names of AWS."""
    detail: str
    """The last error's text, or what a standing condition was found at; it may have names of AWS."""
    remedy: str

    @property
    def text(self) -> str:
        """The whole of what is wrong, for those who may see names of AWS."""
        return f"{self.message}: {self.detail}" if self.detail else self.message


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of one kind at one storage: when, in ms since 1970, and why, in our own words."""

    at_ms: int
    error: str


class Alerts:
    """Keeps them in memory: a start begins with none. Safe to use from any thread, and blocks on nothing.

    Only the service's own failures are counted: never a caller's bad request, what isn't there, a denial, or a call
    that its caller gave up.
    """

    def __init__(
        self,
        now_ms: Callable[[], int] = _now_ms,
        raised: Callable[[Alert], None] = lambda alert: None,
        cleared: Callable[[Alert], None] = lambda alert: None,
    ) -> None:
        """`raised` and `cleared` are told each once, in order, and must not block nor use the alerts."""
        self._now_ms = now_ms
        self._on_raise = raised
        self._on_clear = cleared
        self._lock = threading.Lock()
        self._tallies: dict[tuple[str, AlertKind], Tally] = {}
        self._raised: dict[tuple[str, str], Alert] = {}
        """By storage and id."""

    def failed(self, storage_id: str, kind: AlertKind, error: str) -> None:
        """Count a failure; `error` in our own words."""
        with self._lock:
            tally = self._tally(storage_id, kind)
            tally.errors += 1
            tally.last_error, tally.failed_ms = told(error), self._now_ms()

    def succeeded(self, storage_id: str, kind: AlertKind) -> None:
        """Count a success."""
        with self._lock:
            self._tally(storage_id, kind).successes += 1

    def ended(self, storage_id: str, kind: AlertKind) -> None:
        """Nothing is left to do of this kind there: what was counted is past, and its alert is cleared."""
        with self._lock:
            self._tallies.pop((storage_id, kind), None)
            self._clear(storage_id, kind.value)

    def is_quiet(self, storage_id: str, kind: AlertKind) -> bool:
        """Whether its alert stands, and nothing of this kind has failed there for QUIET_MS."""
        with self._lock:
            return self._is_quiet(storage_id, kind)

    def seen_well(self, storage_id: str, kind: AlertKind) -> None:
        """A trial of the service's own went well: where it is quiet the alert is cleared. Else it counts for
        nothing, as it tells less than a use."""
        with self._lock:
            if self._is_quiet(storage_id, kind):
                tally = self._tally(storage_id, kind)
                tally.errors = tally.successes = 0
                self._clear(storage_id, kind.value)

    def _is_quiet(self, storage_id: str, kind: AlertKind) -> bool:
        failed_ms = self._tally(storage_id, kind).failed_ms
        is_raised = (storage_id, kind.value) in self._raised
        return is_raised and not (failed_ms is not None and 0 <= self._now_ms() - failed_ms < QUIET_MS)

    @contextmanager
    def counting(
        self,
        storage_id: str,
        kind: AlertKind,
        failures: tuple[type[Exception], ...],
        but: tuple[type[Exception], ...] = (),
    ) -> Iterator[None]:
        """Count what the block does: one of `failures` is one unless it is of `but`; any other exception is nothing."""
        try:
            yield
        except failures as error:
            if not isinstance(error, but):
                self.failed(storage_id, kind, str(error))
            raise
        self.succeeded(storage_id, kind)

    def raise_standing(self, storage_id: str, name: str, text: str) -> None:
        """A condition stands: `name` is one of STANDING, `text` says what it was found at. Again, the text is new."""
        condition = STANDING[name]
        with self._lock:
            before = self._raised.get((storage_id, name))
            if before is not None:
                self._raised[storage_id, name] = replace(before, detail=told(text))
            else:
                self._raise(storage_id, name, condition.severity, condition.text, told(text), condition.remedy)

    def clear_standing(self, storage_id: str, name: str) -> None:
        """A condition stands no more; nothing where it didn't."""
        with self._lock:
            if name in STANDING:
                self._clear(storage_id, name)

    def evaluate(self) -> None:
        """Raise and clear by what was counted."""
        with self._lock:
            for (storage_id, kind), tally in self._tallies.items():
                verdict = tally.judge(is_raised=(storage_id, kind.value) in self._raised)
                if verdict is Verdict.CLEAR:
                    self._clear(storage_id, kind.value)
                elif verdict is Verdict.RAISE:
                    self._raise_rate(storage_id, kind, tally)

    def listed(self) -> tuple[Alert, ...]:
        """Those that are raised, oldest first."""
        with self._lock:
            return tuple(sorted(self._raised.values(), key=lambda each: (each.since_ms, each.storage_id, each.id)))

    def last_failure(self, storage_id: str, kind: AlertKind) -> Failure | None:
        """The last one since the start, also where what followed went well; None if nothing has failed."""
        with self._lock:
            tally = self._tallies.get((storage_id, kind))
            if tally is None or tally.failed_ms is None:
                return None
            return Failure(tally.failed_ms, tally.last_error)

    def _tally(self, storage_id: str, kind: AlertKind) -> Tally:
        return self._tallies.setdefault((storage_id, kind), Tally(RATES[kind]))

    def _raise_rate(self, storage_id: str, kind: AlertKind, tally: Tally) -> None:
        before = self._raised.get((storage_id, kind.value))
        if before is not None:
            self._raised[storage_id, kind.value] = replace(before, detail=tally.last_error)
            return
        message = f"elevated error rate {RATES[kind].doing}"
        self._raise(storage_id, kind.value, Severity.HIGH, message, tally.last_error, RATES[kind].remedy)

    def _raise(self, storage_id: str, name: str, severity: Severity, message: str, detail: str, remedy: str) -> None:
        alert = Alert(name, storage_id, self._now_ms(), severity, message, detail, remedy)
        self._raised[storage_id, name] = alert
        self._on_raise(alert)

    def _clear(self, storage_id: str, name: str) -> None:
        alert = self._raised.pop((storage_id, name), None)
        if alert is not None:
            self._on_clear(alert)

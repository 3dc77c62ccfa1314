"""Refused calls as audit events: one for each identity, method and reason a minute, with a count."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from rbac.identities import SERVICE
from server.audit_log.access import Access
from server.audit_log.timestamps import format_rfc3339
from server.errors import AuditStoreError

_log = logging.getLogger(__name__)
MINUTE = 60.0
MAX_KEYS = 1_000
"""Combinations of identity, method and reason that are told apart within a minute; those beyond are counted as one."""
_OTHERS = Access(SERVICE, "", "")


class Refusal(NamedTuple):
    """Why a call was refused."""

    method: str
    status: str
    """Name of the status code."""
    reason: str
    """The reason that the caller was told."""
    hidden: str
    """What the caller wasn't told."""


class DenialLog(Protocol):
    """Where the events go."""

    def denied(self, access: Access, **members: object) -> Awaitable[object]:
        """Record refusals of one identity; what is returned resolves when the event is durable."""
        ...


@dataclass(slots=True)
class _Window:
    """The refusals of one key within a minute."""

    access: Access
    refusal: Refusal | None
    """None for what is beyond MAX_KEYS."""
    began: float
    count: int = 0
    """Refusals that no event has told of."""
    first_ms: int = 0
    last_ms: int = 0
    under_way: set[asyncio.Future[object]] = field(default_factory=set)


_Key = tuple[tuple[str, str, str], Refusal] | None


class Denials:
    """Aggregates refusals in memory. Lives on the event loop.

    The first of a minute is written at once, the rest of it when the minute is over or the service stops. What can't be
    journalled is counted into the next minute.
    """

    def __init__(
        self,
        log: DenialLog,
        steady: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._log = log
        self._steady = steady
        self._now_ms = now_ms
        self._windows: dict[_Key, _Window] = {}
        self._stopped = asyncio.Event()

    def refused(self, access: Access, refusal: Refusal, count: int = 1) -> None:
        """Take note of a refused call of a known identity, or of `count` events that a stream of it refused."""
        key: _Key = (access.identity.key, refusal)
        window = self._windows.get(key)
        if window is None and len(self._windows) >= MAX_KEYS:
            key = None
            window = self._windows.get(key)
        now_ms = self._now_ms()
        if window is not None:
            window.first_ms = window.first_ms if window.count else now_ms
            window.count += count
            window.last_ms = now_ms
            return
        if key is None:
            access = _OTHERS
        window = _Window(access, refusal if key else None, self._steady(), count, now_ms, now_ms)
        self._windows[key] = window
        self._write(window)

    def stop(self) -> None:
        """Make `run` return."""
        self._stopped.set()

    async def run(self) -> None:
        """Write what each minute leaves, until `stop`."""
        while not self._stopped.is_set():
            self.write_due()
            try:
                await asyncio.wait_for(self._stopped.wait(), 1.0)
            except TimeoutError:
                continue

    def write_due(self) -> None:
        """Write the rest of every minute that is over, and forget those that had none."""
        now = self._steady()
        for key, window in list(self._windows.items()):
            if now - window.began < MINUTE:
                continue
            if window.count:
                window.began = now
                self._write(window)
            else:
                del self._windows[key]

    async def flush(self) -> None:
        """Write everything that is not told yet, and wait until it is durable or refused."""
        for window in self._windows.values():
            if window.count:
                self._write(window)
        waiting = [future for window in self._windows.values() for future in window.under_way]
        await asyncio.gather(*waiting, return_exceptions=True)

    def _write(self, window: _Window) -> None:
        count, window.count = window.count, 0
        first, last = format_rfc3339(window.first_ms), format_rfc3339(window.last_ms)
        members: dict[str, object] = window.refusal._asdict() if window.refusal else {"overflow": True}
        try:
            told = asyncio.ensure_future(
                self._log.denied(window.access, **members, count=count, first_time=first, last_time=last)
            )
        except AuditStoreError as error:
            self._failed(window, count, error.reason)
            return
        window.under_way.add(told)

        def ended(future: asyncio.Future[object]) -> None:
            window.under_way.discard(future)
            if future.cancelled() or (error := future.exception()) is not None:
                reason = error.reason if not future.cancelled() and isinstance(error, AuditStoreError) else "INTERNAL"
                self._failed(window, count, reason)

        told.add_done_callback(ended)

    def _failed(self, window: _Window, count: int, reason: str) -> None:
        window.count += count
        _log.error("refused calls can't be audited yet", extra={"fields": {"reason": reason, "calls": count}})

"""Brings the outbox's events into the journal, in order, and forgets each once it is durable there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import orjson

from rbac.identities import SERVICE
from server.audit_log.access import Access
from server.errors import AuditStoreError, InvalidRequest
from server.service_events import CODES, EVENT_REFUSED
from server.state.database import StateFault
from server.state.outbox import Outbox, WaitingEvent

_log = logging.getLogger(__name__)
PERIOD_SECONDS = 0.5
PATIENCE_SECONDS = 5.0
"""How long it may fail before the service says that it isn't well: an overload of a moment is no failure."""
_AT_ONCE = 100
_MAX_ORIGINAL_CHARACTERS = 16_384
_OWN = Access(SERVICE, "", "")

Answer = TypeVar("Answer")


class OwnEvents(Protocol):
    """What takes the service's own events."""

    def submit_own(self, access: Access, payload: bytes) -> Awaitable[object]:
        """Take one; what is returned resolves when it is durable."""
        ...


class OutboxDrain:
    """Drains the outbox until it is stopped. Lives on the event loop.

    What can't be journalled now stays in the outbox and is tried again. An event that was durable before a crash and is
    drained again is a repeated one to the journal, by its uid, and adds nothing.
    """

    def __init__(self, outbox: Outbox, intake: OwnEvents, switching_to: Callable[[], str] = lambda: "") -> None:
        """`switching_to` reads the state: the storage that it calls active where the journal isn't there yet, or ''."""
        self._outbox = outbox
        self._intake = intake
        self._switching_to = switching_to
        self._wake = asyncio.Event()
        self._stopping = False
        self._draining = asyncio.Lock()
        self._failing_since: float | None = None
        self.waiting = 0
        """Events that were found waiting when it last looked; no more than 100 are counted."""

    @property
    def failing(self) -> bool:
        """Whether events have been waiting for longer than an overload of a moment explains."""
        since = self._failing_since
        return since is not None and time.monotonic() - since >= PATIENCE_SECONDS

    def wake(self) -> None:
        """Look at once instead of within PERIOD_SECONDS; called on the loop."""
        self._wake.set()

    def stop(self) -> None:
        """Make `run` return after what is under way."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Drain until `stop`: every PERIOD_SECONDS, as other processes add events too."""
        while not self._stopping:
            self._wake.clear()
            await self.drain()
            try:
                await asyncio.wait_for(self._wake.wait(), PERIOD_SECONDS)
            except TimeoutError:
                continue

    async def drain(self) -> bool:
        """Bring everything that waits into the journal. Says whether that is done; failures are logged once."""
        try:
            async with self._draining:
                while waiting := await self._on_thread(self._next):
                    self.waiting = len(waiting)
                    await self._bring(waiting)
                self.waiting = 0
        except (AuditStoreError, StateFault) as error:
            self._failed(error.reason if isinstance(error, AuditStoreError) else "STATE_UNAVAILABLE")
            return False
        except Exception:
            # A fault of ours. What waits is tried again, and health says that it waits.
            _log.exception("the service's own events can't be brought to the journal")
            self._failed("INTERNAL")
            return False
        self._failing_since = None
        return True

    def _next(self) -> list[WaitingEvent]:
        """What can be brought now: all but what belongs to a storage that isn't active yet.

        Of a storage that was active before, it goes to the one that is: late, and not where it belongs, but not lost.
        """
        waiting = self._outbox.first(_AT_ONCE)
        if not any(item.storage for item in waiting):
            return waiting
        # Read after what waits: where a change of the active storage is told of, the state has it.
        to_come = self._switching_to()
        return [item for item in waiting if not item.storage or item.storage != to_come]

    async def _bring(self, waiting: list[WaitingEvent]) -> None:
        done: list[int] = []
        try:
            for item in waiting:
                # One after the other: a later one must not be journalled where an earlier one can't be.
                await self._submit(item.data)
                done.append(item.number)
        finally:
            await self._on_thread(lambda: self._outbox.remove(done))

    async def _submit(self, data: bytes) -> None:
        try:
            await self._intake.submit_own(_OWN, data)
        except InvalidRequest as error:
            # The clock was set back, say. It must neither be lost nor hold up those behind it.
            await self._intake.submit_own(_OWN, _refused(data, error))

    def _failed(self, reason: str) -> None:
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            _log.error("the service's own events wait for the journal", extra={"fields": {"reason": reason}})

    async def _on_thread(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(None, work)


def _refused(data: bytes, error: InvalidRequest) -> bytes:
    """An event that carries another as text: always the same bytes for the same one, so that a retry is known."""
    digest = hashlib.sha256(data).hexdigest()
    event = {
        "event": EVENT_REFUSED,
        "code": CODES[EVENT_REFUSED],
        "uid": digest,
        "sha256": digest,
        "original": data.decode()[:_MAX_ORIGINAL_CHARACTERS],
        "violations": [{"field": item.field, "description": item.description} for item in error.violations],
    }
    return orjson.dumps(event)

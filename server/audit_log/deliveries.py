"""Deliveries in the background: some at once, again and again with growing pauses while the storage fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from server.audit_log.delivery import Delivered, Delivery, Sent
from server.audit_log.tail import Section
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.observability.delivery_metrics import BatchFigures, DeliveryMetrics
from server.observability.spans import NO_SPANS, Spans
from server.state.catalogue import BatchOverlaps
from server.storage.ports import NameTaken, StorageError

_T, _R = TypeVar("_T"), TypeVar("_R")
_log = logging.getLogger(__name__)
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_GIVEN_WAY_SECONDS = 0.02
"""How long a delivery that gives way to the intake waits before it looks again."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A batch whose objects are being sent, or are there."""

    sending: asyncio.Task[Sent]
    started: float
    """Of time.perf_counter."""


class Deliveries:
    """Runs Delivery whenever a section is cut. Lives on the event loop; the work is done on other threads: of `threads`
    it has at most one more than batches that are sent at once, so that a storage that hangs takes no other's."""

    def __init__(
        self,
        delivery: Delivery,
        threads: Executor,
        metrics: DeliveryMetrics,
        storage_id: str,
        gives_way: Callable[[], bool],
        spans: Spans = NO_SPANS,
        patience_seconds: float = 0.0,
        alerts: Alerts | None = None,
        at_once: int = 1,
        longest_pause_seconds: float = _LONGEST_PAUSE,
    ) -> None:
        """`gives_way` says whether the next delivery had better wait: callers do for the journal, and it has room.
        Attempts fail for `patience_seconds` before `is_failing` says so: what is far away is out of reach now and then.
        Objects of `at_once` batches are sent at once; of one while the storage fails.
        """
        self._patience_seconds = patience_seconds
        self._failing_since: float | None = None
        self._gives_way = gives_way
        self._spans = spans
        self._delivery = delivery
        self._threads = threads
        self._at_once = at_once
        self._under_way: dict[Section, _UnderWay] = {}
        """What was sent stays here when an older one fails."""
        self._metrics = metrics
        self._storage_id = storage_id
        self._alerts = alerts or Alerts()
        self._wake = asyncio.Event()
        self._stopping = False
        self._longest_pause = longest_pause_seconds
        self._next_pause = _FIRST_PAUSE
        """Grows with each failure since the last batch that was delivered, whatever waits behind that."""
        self.last_error = ""
        """Why the last attempt failed, in our own words; '' when it went well."""

    @property
    def is_failing(self) -> bool:
        """Whether attempts have failed for longer than is borne."""
        since = self._failing_since
        return since is not None and time.monotonic() - since >= self._patience_seconds

    def diverted(self) -> None:
        """What couldn't be delivered needn't be any more; called on the loop."""
        self.last_error, self._failing_since = "", None
        self._alerts.ended(self._storage_id, AlertKind.EVENT_EMIT)

    def wake(self) -> None:
        """Look for a cut section; called on the loop."""
        self._wake.set()

    def stop(self) -> None:
        """Make `run` return once what is under way is done. What is not delivered stays in the journal."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until `stop`."""
        while not self._stopping:
            self._wake.clear()
            if await self._deliver_all():
                await self._wake.wait()
            else:
                seconds, self._next_pause = self._next_pause, min(2 * self._next_pause, self._longest_pause)
                await self._pause(seconds * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads load, guards nothing

    async def _deliver_all(self) -> bool:
        """Whether everything that is cut is delivered."""
        try:
            while not self._stopping:
                self._wake.clear()
                gave_way = self._begin()
                oldest = next((each for each in self._delivery.waiting(1) if each in self._under_way), None)
                if oldest is not None and self._under_way[oldest].sending.done():
                    await self._confirm(oldest)
                elif oldest is not None or gave_way:
                    await self._until_woken(_GIVEN_WAY_SECONDS if gave_way else None)
                else:
                    return True
            return True
        except Exception as error:
            if not self._delivery.waiting(1):  # it was diverted meanwhile: nothing is left that could go well
                self._recovered()
                return True
            self._failed(error)
            return False
        finally:
            await self._settle()

    def _begin(self) -> bool:
        """Send further sections, as many as may be; gives whether it would have and gave way."""
        sending = sum(not each.sending.done() for each in self._under_way.values())
        at_once = 1 if self._failing_since is not None else self._at_once
        # Some that are sent and wait for an older one keep no other from being sent.
        for section in self._delivery.waiting(2 * at_once - 1):
            if section in self._under_way:
                continue
            if sending >= at_once:
                break
            if self._gives_way():
                return True
            self._under_way[section] = _UnderWay(asyncio.create_task(self._send(section)), time.perf_counter())
            sending += 1
        return False

    async def _send(self, section: Section) -> Sent:
        try:
            with self._spans.span("batch.send"):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._delivery.send, section)
        finally:
            self._wake.set()

    async def _confirm(self, section: Section) -> None:
        under_way = self._under_way[section]
        sent = under_way.sending.result()
        with self._spans.span("batch.confirm"):
            loop = asyncio.get_running_loop()
            delivered = await loop.run_in_executor(self._threads, self._delivery.confirm, sent)
        del self._under_way[section]
        self._recovered()
        if delivered is not None:
            self._confirmed(delivered, time.perf_counter() - under_way.started)

    async def _settle(self) -> None:
        """Wait for what is being sent, and forget what failed, and what was diverted meanwhile."""
        sending = {section: each.sending for section, each in self._under_way.items()}
        await asyncio.gather(*sending.values(), return_exceptions=True)
        for section, task in sending.items():
            if task.cancelled() or task.exception() is not None or not self._delivery.is_waiting(section):
                del self._under_way[section]

    def _recovered(self) -> None:
        if self.last_error:
            _log.info("batches can be delivered again", extra={"fields": {"storage": self._storage_id}})
        self.last_error, self._failing_since, self._next_pause = "", None, _FIRST_PAUSE

    def _failed(self, error: Exception) -> None:
        reason, kind = _told(error)
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        self._metrics.failed(self._storage_id, kind)
        self._alerts.failed(self._storage_id, AlertKind.EVENT_EMIT, reason)
        if reason != self.last_error:  # once for each state: metrics and status go on telling
            fields = {"storage": self._storage_id, "reason": reason}
            fault = error if kind == "fault" else None
            _log.error("a batch can't be delivered; it stays in the journal", extra={"fields": fields}, exc_info=fault)
        self.last_error = reason

    def _confirmed(self, delivered: Delivered, seconds: float) -> None:
        figures = BatchFigures(delivered.rows, delivered.bytes, delivered.encoding_seconds, seconds)
        self._metrics.delivered(delivered.cut.storage, figures)
        self._alerts.succeeded(delivered.cut.storage, AlertKind.EVENT_EMIT)
        fields = {"batch": delivered.cut.name, "objects": delivered.objects, "events": delivered.rows}
        _log.info("batch delivered", extra={"fields": fields})

    async def _pause(self, seconds: float) -> None:
        async def until_stop() -> None:
            while not self._stopping:
                self._wake.clear()
                await self._wake.wait()

        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(until_stop(), seconds)

    async def _until_woken(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)


def _told(error: Exception) -> tuple[str, str]:
    """Why an attempt failed, in our own words, and what kind of failure that is."""
    if isinstance(error, StorageError):
        return str(error), "storage"
    if isinstance(error, NameTaken):
        return f"other bytes have the name of {error} and stay there; move them away", "name_taken"
    if isinstance(error, BatchOverlaps):
        return str(error), "fault"
    if isinstance(error, OSError):
        return "the batch can't be written to disk", "disk"
    return "a fault of the service; its log has the details", "fault"

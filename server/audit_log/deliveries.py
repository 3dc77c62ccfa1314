"""Deliveries in the background: one after the other, again and again with growing pauses while the storage fails."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import Executor

from server.audit_log.delivery import Delivered, Delivery
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.observability.delivery_metrics import BatchFigures, DeliveryMetrics
from server.observability.spans import NO_SPANS, Spans
from server.storage.ports import NameTaken, StorageError

_log = logging.getLogger(__name__)
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_GIVEN_WAY_SECONDS = 0.02
"""How long a delivery that gives way to the intake waits before it looks again."""


class Deliveries:
    """Runs Delivery whenever a section is cut. Lives on the event loop; the work is done on its own thread."""

    def __init__(
        self,
        delivery: Delivery,
        thread: Executor,
        metrics: DeliveryMetrics,
        storage_id: str,
        gives_way: Callable[[], bool],
        spans: Spans = NO_SPANS,
        patience_seconds: float = 0.0,
        alerts: Alerts | None = None,
    ) -> None:
        """`gives_way` says whether the next delivery had better wait: callers do for the journal, and it has room.
        Attempts fail for `patience_seconds` before `is_failing` says so: what is far away is out of reach now and then.
        """
        self._patience_seconds = patience_seconds
        self._failing_since: float | None = None
        self._gives_way = gives_way
        self._spans = spans
        self._delivery = delivery
        self._thread = thread
        self._metrics = metrics
        self._storage_id = storage_id
        self._alerts = alerts or Alerts()
        self._wake = asyncio.Event()
        self._stopping = False
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
        pause = _FIRST_PAUSE
        while not self._stopping:
            self._wake.clear()
            if await self._deliver_all():
                pause = _FIRST_PAUSE
                await self._wake.wait()
            else:
                await self._pause(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads load, guards nothing
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _deliver_all(self) -> bool:
        """Whether everything that is cut is delivered."""
        loop = asyncio.get_running_loop()
        while not self._stopping:
            if self._gives_way():
                await asyncio.sleep(_GIVEN_WAY_SECONDS)
                continue
            started = time.perf_counter()
            try:
                with self._spans.span("batch.deliver"):
                    delivered = await loop.run_in_executor(self._thread, self._delivery.deliver_next)
            except StorageError as error:
                self._failed(str(error), "storage")
                return False
            except NameTaken as error:
                self._failed(f"other bytes have the name of {error} and stay there; move them away", "name_taken")
                return False
            except OSError:
                self._failed("the batch can't be written to disk", "disk")
                return False
            except Exception:
                _log.exception("a batch can't be delivered")
                self._failed("a fault of the service; its log has the details", "fault")
                return False
            self.last_error, self._failing_since = "", None
            if delivered is None:
                return True
            self._confirmed(delivered, time.perf_counter() - started)
        return True

    def _failed(self, reason: str, kind: str) -> None:
        self.last_error = reason
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        self._metrics.failed(self._storage_id, kind)
        self._alerts.failed(self._storage_id, AlertKind.EVENT_EMIT, reason)
        _log.error("a batch can't be delivered; it stays in the journal", extra={"fields": {"reason": reason}})

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

        try:
            await asyncio.wait_for(until_stop(), seconds)
        except TimeoutError:
            return

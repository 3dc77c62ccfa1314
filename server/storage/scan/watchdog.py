"""The watchdog: interrupts scans whose deadline has passed, with one thread for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_INTERRUPT_AGAIN_SECONDS = 0.02


class Watchdog:
    """Calls `interrupt` of every guarded scan from its deadline on until the scan is done."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._guarded: dict[object, tuple[float, Callable[[], object]]] = {}
        self._wakes_at = float("inf")
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="scan-watchdog", daemon=True)
        self._thread.start()

    @contextmanager
    def guard(self, deadline: float, interrupt: Callable[[], object]) -> Iterator[None]:
        """Guard what runs inside. `deadline` is of time.monotonic; `interrupt` isn't called once this has returned."""
        key = object()
        with self._changed:
            self._guarded[key] = deadline, interrupt
            # The thread is woken only for an earlier deadline than it waits for, as waking it costs as much as a scan.
            if deadline < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                del self._guarded[key]

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                due = [interrupt for deadline, interrupt in self._guarded.values() if deadline <= now]
                for interrupt in due:
                    interrupt()
                later = (deadline for deadline, _ in self._guarded.values() if deadline > now)
                # An interrupt between two statements is lost, so one isn't enough.
                self._wakes_at = now + _INTERRUPT_AGAIN_SECONDS if due else min(later, default=float("inf"))
                self._changed.wait(None if self._wakes_at == float("inf") else self._wakes_at - now)

"""Ctrl-C and SIGTERM while events are exported: the work ends between two of its steps.

Within one it is left only where that doesn't end: in a write to a pipe that nobody reads. What is durable then is what
the state says, as after a kill.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


def interruptible(
    work: Callable[[], Result], stop: threading.Event, cancel: Callable[[], object], patience: float | None = None
) -> Result:
    """Do the work on a thread of its own, away from signals: one that came while gRPC waits would harm its locks.

    A signal sets `stop` and calls `cancel`, which must end what the work waits for; the work is then waited for, for
    `patience` seconds if that is given. KeyboardInterrupt says that it hasn't ended, or that there was a second signal.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whoever waits gets it
            future.set_exception(error)

    with _terminated_as_interrupted():
        try:
            threading.Thread(target=run, name="export", daemon=True).start()
            return future.result()
        except KeyboardInterrupt:
            stop.set()
            cancel()
            if not wait([future], patience).done:
                raise
            return future.result()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A service manager stops a feed by SIGTERM: it is left as well as by Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

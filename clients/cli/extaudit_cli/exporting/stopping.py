"""Ctrl-C and SIGTERM while events are exported: the work ends between two of its steps, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


def interruptible(work: Callable[[], Result], stop: threading.Event, cancel: Callable[[], object]) -> Result:
    """Do the work on a thread of its own, away from signals: one that came while gRPC waits would harm its locks.

    A signal sets `stop` and calls `cancel`, which must end what the work waits for; the work is then waited for. A
    second one raises KeyboardInterrupt.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whoever waits gets it
            future.set_exception(error)

    threading.Thread(target=run, name="export", daemon=True).start()
    with _terminated_as_interrupted():
        try:
            return future.result()
        except KeyboardInterrupt:
            stop.set()
            cancel()
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

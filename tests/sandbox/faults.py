"""Errors on demand: the next requests for an action fail, with a code that can't be brought about otherwise."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from tests.sandbox.refusals import Refused


@dataclass
class Fault:
    """The next `times` requests for `action` ("s3:PutObject", or an operation's name) fail."""

    action: str
    code: str
    status: int
    times: int
    message: str = "An error on demand."


class Faults:
    """Faults that are still to come."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.no_conditions = False
        """Whether S3 passes over `If-None-Match`, as stores of other makers do."""

    def add(self, fault: Fault) -> None:
        """One more, after those there are."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """None any more."""
        with self._lock:
            self._faults.clear()
            self.no_conditions = False

    def raise_for(self, names: set[str]) -> None:
        """Raise the first fault that is due for one of these actions or operations."""
        with self._lock:
            due = next((fault for fault in self._faults if fault.action in names), None)
            if due is None:
                return
            due.times -= 1
            if due.times <= 0:
                self._faults.remove(due)
        raise Refused(due.code, due.message, due.status)

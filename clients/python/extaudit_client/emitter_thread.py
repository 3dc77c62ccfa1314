"""The thread of an emitter: sends for as long as it lives, whatever comes between."""

from __future__ import annotations

import threading
import time
from typing import Final

from extaudit_client.calling import Caller
from extaudit_client.connection import Connection
from extaudit_client.emitter_state import EmitterState, Trouble
from extaudit_client.errors import ExtauditError, PermissionDenied, ServiceFault, Unauthenticated
from extaudit_client.pace import Pace
from extaudit_client.retries import Retries
from extaudit_client.sending import FAULTS, Faults, Sending
from extaudit_client.spool.files import Files
from extaudit_client.spool.reading import Reader
from extaudit_client.spool.spool import Spool

_DENIED_SECONDS: Final = 10.0
"""Rights and identities change by somebody's hand, so they are asked for less often."""
_TELLING_SECONDS: Final = 2.0
_BREAKS_THE_STREAM: Final = frozenset({"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE"})


class EmitterThread:
    """Started once and stopped once."""

    def __init__(
        self,
        connection: Connection,
        files: Files,
        spool: Spool,
        state: EmitterState,
        pace: Pace,
        retries: Retries,
    ) -> None:
        self._connection = connection
        self._files = files
        self._spool = spool
        self._state = state
        self._pace = pace
        self._retries = retries
        self._stopping = threading.Event()
        self._caller: Caller | None = None
        self._failures = 0
        self._telling = False
        self._faults = Faults()
        self._thread = threading.Thread(target=self._run, name="extaudit-emitter", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more; returns when the thread has ended, or has nothing left to do but to tell of a failure.

        Who takes what it logs may wait for who stops it: a handler of logging that closes the emitter has its own lock.
        """
        self._stopping.set()
        with self._spool.changed:
            self._spool.changed.notify_all()
        telling_until = time.monotonic() + _TELLING_SECONDS
        while self._thread.is_alive() and not (self._telling and time.monotonic() > telling_until):
            if self._caller is not None:
                self._caller.close()
            self._thread.join(0.05)

    def _run(self) -> None:
        alone = False
        while not self._stopping.is_set():
            if not self._more(self._spool.settled, None):
                continue
            try:
                self._send(alone=alone)
                alone = False
                self._failures = 0
                self._spool.rest()
            except (ExtauditError, OSError) as error:
                if self._stopping.is_set():
                    return
                at_once = not alone and _may_be_one_event(error)
                if not at_once:
                    self._wait_after(error)
                # A service that fails again and again may do so over one event, which would hold up all others.
                alone = at_once or (isinstance(error, ServiceFault) and self._failures >= FAULTS)
            except Exception as error:  # a fault of ours must not end the sending in silence
                self._wait_after(ExtauditError("INTERNAL", "", f"the emitter failed: {_named(error)}"))

    def _send(self, *, alone: bool) -> None:
        if self._caller is None:
            channel = self._connection.channel()
            self._caller = Caller(self._connection, channel, self._pace.seconds, Retries(attempts=0))
        self._caller.timeout = self._pace.seconds
        reader = Reader(self._files, self._spool)
        sending = Sending(self._caller, reader, self._pace, self._state, self._more, self._faults)
        settled = self._spool.settled
        try:
            with self._caller.errors():
                if alone:
                    sending.one_by_one()
                else:
                    sending.run()
        finally:
            if self._spool.settled > settled:
                self._failures = 0

    def _more(self, number: int, seconds: float | None) -> bool:
        """Wait for committed events beyond a number; False when none came in time or none shall be sent."""
        with self._spool.changed:
            found = self._spool.changed.wait_for(
                lambda: self._stopping.is_set() or self._spool.committed > number, seconds
            )
            return found and not self._stopping.is_set()

    def _wait_after(self, error: ExtauditError | OSError) -> None:
        self._failures += 1
        asked = error.retry_after if isinstance(error, ExtauditError) else None
        delay = self._retries.delay(self._failures, asked)
        if isinstance(error, (PermissionDenied, Unauthenticated)):
            delay = max(delay, min(_DENIED_SECONDS, self._retries.first_delay * 2**self._failures))
        self._telling = True
        self._state.troubled(Trouble(error, self._failures, delay))
        self._telling = False
        self._stopping.wait(delay)


def _named(error: Exception) -> str:
    """What failed and where; what the error says may hold an event."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace is not None else ""
    return type(error).__name__ + where


def _may_be_one_event(error: ExtauditError | OSError) -> bool:
    """Whether a stream may have ended for what is in one event, which is found by sending them one by one."""
    return isinstance(error, ExtauditError) and error.code in _BREAKS_THE_STREAM and error.retry_after is None

"""The port to the record of issued certificates, and the in-memory table of serials made from it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from threading import Lock
from typing import Final, Protocol

from server.state.issued_certificates import IssuedCertificate

__all__ = ["IssuedCertificate", "IssuedCertificates", "SerialTable"]
MAX_WAITING: Final = 16
"""Calls that wait at a time for what they show to be looked for."""
WAIT_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


class IssuedCertificates(Protocol):
    """The durable record of what the local CAs issued. A certificate that isn't in it is refused."""

    def record(self, cert: IssuedCertificate, *, renews: bool = False) -> None:
        """Record one certificate with its audit event, durable when this returns.

        Any error means that it must not be given out.
        """
        ...

    def all(self) -> list[IssuedCertificate]:
        """Every recorded certificate, oldest first."""
        ...

    def serials(self) -> frozenset[str]:
        """The serials of all of them, lower-case hex without leading zeros."""
        ...

    def has(self, serial: str) -> bool:
        """Whether one is recorded."""
        ...


class SerialTable:
    """The recorded serials in memory, so that a call never waits for the database.

    `identity issue` runs as another process, so the table is as old as the last `refresh`, but for serials that a
    caller came with meanwhile.
    """

    def __init__(self, issued: IssuedCertificates) -> None:
        self._issued = issued
        self._serials: frozenset[str] = frozenset()
        self._reading = Lock()
        """Held from a reading to what it changes: else an older one could take away what a newer one added."""
        self._unrecorded: frozenset[str] = frozenset()
        """Serials that were looked for since the last reading and aren't recorded. What is recorded later isn't shown
        before, so no caller can have a look made again and again."""
        self._waiting = 0

    def refresh(self) -> None:
        """Read the recorded serials; blocks. On an error the table keeps what it had and the error is raised."""
        with self._reading:
            self._serials = self._issued.serials()
            self._unrecorded = frozenset()

    async def learn(self, serial: str) -> None:
        """Look whether one was recorded since, on a thread; called on the event loop.

        Returns at once where as many as may be are looked for, or where it was looked for since the last reading. Never
        raises: a database that can't tell it now leaves it unknown.
        """
        if self._waiting >= MAX_WAITING or serial in self._unrecorded:
            return
        looking = asyncio.get_running_loop().run_in_executor(None, self._look_for, serial)
        self._waiting += 1
        looking.add_done_callback(self._looked)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(looking), WAIT_SECONDS)

    def _looked(self, looking: asyncio.Future[None]) -> None:
        self._waiting -= 1

    def _look_for(self, serial: str) -> None:
        try:
            with self._reading:
                if self._issued.has(serial):
                    self._serials |= {serial}
                else:
                    self._unrecorded |= {serial}
        except Exception:
            _log.warning("whether a certificate is on record can't be read now", exc_info=True)

    def current(self) -> frozenset[str]:
        """The serials of the last refresh; none before the first."""
        return self._serials

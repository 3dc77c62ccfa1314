"""Channels that are made anew when their certificate's files are: which one a call gets, and when one can go.

A gRPC channel keeps the credentials that it was made with. So a call gets a channel of the files as they are now, and
calls under way go on over the one they began on, which is closed when the last of them has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import grpc

from extaudit_client.certificate_files import CertificateFiles
from extaudit_client.errors import ConnectionFailed

C = TypeVar("C")


class Lease(Generic[C]):
    """A channel, and how many calls are under way over it."""

    def __init__(self, channel: C) -> None:
        self.channel = channel
        self.calls = 0


class Renewal(Generic[C]):
    """Lends the channel of the newest files; safe to use from several threads.

    `make` makes a channel of credentials.

    Raises:
        ConnectionFailed: a file can't be read, or isn't what it should be; later only that is told which no channel
            made before can stand in for.
    """

    def __init__(self, files: CertificateFiles, make: Callable[[grpc.ChannelCredentials], C]) -> None:
        self._files = files
        self._make = make
        self._lock = threading.Lock()
        self._stamp = files.stamp()
        self._current = Lease(make(files.credentials()))
        self._retired: list[Lease[C]] = []

    def take(self) -> Lease[C]:
        """Lend the channel for a call, which must be given back."""
        with self._lock:
            self._renew()
            self._current.calls += 1
            return self._current

    def give_back(self, lease: Lease[C]) -> None:
        """Say that a call has ended."""
        with self._lock:
            lease.calls -= 1

    def ended(self) -> list[C]:
        """The channels that nothing needs any more, each given once."""
        with self._lock:
            ended = [lease for lease in self._retired if lease.calls == 0]
            self._retired = [lease for lease in self._retired if lease.calls]
        return [lease.channel for lease in ended]

    def every(self) -> list[C]:
        """All channels, to be closed."""
        with self._lock:
            return [lease.channel for lease in (*self._retired, self._current)]

    def _renew(self) -> None:
        stamp = self._files.stamp()
        if stamp == self._stamp or None in stamp or not self._files.belong_together():
            return
        try:
            channel = self._make(self._files.credentials())
        except ConnectionFailed:
            return
        if self._files.stamp() == stamp:  # else they are being replaced, and the next call looks again
            self._stamp = stamp
            self._retired.append(self._current)
            self._current = Lease(channel)

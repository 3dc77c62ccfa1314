"""The port to the record of issued certificates, and the in-memory table of serials made from it."""

from __future__ import annotations

from typing import Protocol

from server.state.issued_certificates import IssuedCertificate

__all__ = ["IssuedCertificate", "IssuedCertificates", "SerialTable"]


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


class SerialTable:
    """The recorded serials in memory, so that a call never waits for the database.

    `identity issue` runs as another process, so the table is as old as the last `refresh`.
    """

    def __init__(self, issued: IssuedCertificates) -> None:
        self._issued = issued
        self._serials: frozenset[str] = frozenset()

    def refresh(self) -> None:
        """Read the recorded serials; blocks. On an error the table keeps what it had and the error is raised."""
        self._serials = self._issued.serials()

    def current(self) -> frozenset[str]:
        """The serials of the last refresh; none before the first."""
        return self._serials

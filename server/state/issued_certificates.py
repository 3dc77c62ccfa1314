"""The certificates that the local CAs issued, kept in the state database."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select

from server.service_events import IDENTITY_ISSUED, IDENTITY_RENEWED
from server.state import outbox
from server.state.tables import issued_certificates as table


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """One certificate that a local CA signed for a caller. Times are ms since 1970."""

    serial: str
    """Lower-case hex without leading zeros."""
    kind: str
    """A value of IdentityKind: `user` or `component`."""
    name: str
    roles: tuple[str, ...]
    not_before_ms: int
    expires_ms: int
    issued_ms: int


class SqlIssuedCertificates:
    """IssuedCertificates on an engine of `open_database`. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, cert: IssuedCertificate, *, renews: bool = False) -> None:
        """Record one certificate and its audit event; both are durable when this returns.

        Raises:
            sqlalchemy.exc.DBAPIError: it isn't recorded; the certificate must not be given to anyone.
        """
        row = {
            "serial": cert.serial,
            "kind": cert.kind,
            "name": cert.name,
            "roles": json.dumps(cert.roles, ensure_ascii=False),
            "not_before_ms": cert.not_before_ms,
            "expires_ms": cert.expires_ms,
            "issued_ms": cert.issued_ms,
        }
        with self._engine.begin() as connection:
            connection.execute(insert(table).values(row))
            outbox.add(connection, _event_of(cert, renews=renews))

    def all(self) -> list[IssuedCertificate]:
        """Every recorded certificate, oldest first."""
        columns = (table.c.serial, table.c.kind, table.c.name, table.c.roles)
        times = (table.c.not_before_ms, table.c.expires_ms, table.c.issued_ms)
        statement = select(*columns, *times).order_by(table.c.issued_ms, table.c.serial)
        with self._engine.connect() as connection:
            rows = connection.execute(statement).all()
        return [
            IssuedCertificate(serial, kind, name, tuple(json.loads(roles)), not_before, expires, issued)
            for serial, kind, name, roles, not_before, expires, issued in rows
        ]

    def serials(self) -> frozenset[str]:
        """The serials of all of them."""
        with self._engine.connect() as connection:
            return frozenset(connection.execute(select(table.c.serial)).scalars())

    def has(self, serial: str) -> bool:
        """Whether one is recorded."""
        with self._engine.connect() as connection:
            return connection.execute(select(table.c.serial).where(table.c.serial == serial)).first() is not None


def _event_of(cert: IssuedCertificate, *, renews: bool) -> dict[str, object]:
    return {
        "event": IDENTITY_RENEWED if renews else IDENTITY_ISSUED,
        "identity": {
            "kind": cert.kind,
            "name": cert.name,
            "roles": cert.roles,
            "certificate_serial": cert.serial,
            "not_before_ms": cert.not_before_ms,
            "expires_ms": cert.expires_ms,
        },
        # Whoever can read the CA's key may issue: the account is all that is known of them.
        "issued_by_uid": os.getuid(),
    }

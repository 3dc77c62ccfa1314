"""Why a connection failed, in one line: what the transport said, and what the local files show."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from extaudit_client.connection import Connection
from extaudit_client.errors import ConnectionFailed, ExtauditError
from extaudit_client.pem import is_pair, validities

_TRANSPORT_CODES = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"})

_UNRESOLVED = ("DNS resolution failed", "Name or service not known", "errors resolving")

# Words of the C library for a connection that the other side ended, at the handshake or after it.
_CLOSED = ("Ssl", "SSL", "TSI_", "Socket closed", "reset by peer", "Broken pipe")


def explain(error: ExtauditError, connection: Connection, now: datetime | None = None) -> ExtauditError:
    """Give back an error of the service, or one that tells its cause already, as it is; one of the transport as
    ConnectionFailed with the likely cause."""
    if error.reason or error.code not in _TRANSPORT_CODES or isinstance(error, ConnectionFailed):
        return error
    cause = _cause(error.message, error.code, connection, now or datetime.now(UTC))
    return ConnectionFailed(f"can't talk to {connection.address}: {cause}", error.code)


def _cause(text: str, code: str, connection: Connection, now: datetime) -> str:
    if "Connection refused" in text:
        return "nothing is listening there"
    if any(words in text for words in _UNRESOLVED):
        return "the host name can't be resolved"
    if "Peer name" in text or "Hostname" in text:
        return "the server's certificate is for another name (see --server-name)"
    local = _local_fault(connection, now)
    if local:
        return local
    # A bad signature: a CA of the same name as the right one, with another key.
    if "CERTIFICATE_VERIFY_FAILED" in text or "BAD_SIGNATURE" in text:
        return f"the server's certificate has expired or isn't signed by {connection.ca} (wrong CA)"
    if "WRONG_VERSION_NUMBER" in text:
        return "what listens there doesn't speak TLS"
    if code == "UNIMPLEMENTED":
        return "what listens there is not this service, or an older version of it"
    if code == "DEADLINE_EXCEEDED":
        return "no answer in time"
    if any(sign in text for sign in _CLOSED):
        return "the connection was closed; the server may be stopping, " + (
            "or may take no tokens there"
            if connection.cert is None
            else f"or may not trust the signer of {connection.cert}"
        )
    return "the service can't be reached, or went away during the call"


def _local_fault(connection: Connection, now: datetime) -> str:
    """Tell what is wrong with the local files; empty when nothing is."""
    try:
        fault = _pair_fault(connection.cert, connection.key, now) if connection.cert and connection.key else ""
        authority = _validities(connection.ca)
    except _Unreadable as unreadable:
        return f"{unreadable} can't be read as PEM"
    if fault:
        return fault
    faults = [_date_fault(validity, connection.ca, now) for validity in authority]
    # A bundle may keep an old CA beside the one that replaced it.
    return faults[0] if all(faults) else ""


def _pair_fault(cert: Path, key: Path, now: datetime) -> str:
    validity = _validities(cert)[0]
    try:
        if not is_pair(cert, key):
            return f"the private key {key} doesn't belong to the certificate {cert}"
    except (OSError, ValueError) as error:
        raise _Unreadable(key) from error
    return _date_fault(validity, cert, now)


def _date_fault(validity: tuple[datetime, datetime], path: Path, now: datetime) -> str:
    begins, ends = validity
    if now >= ends:
        return f"the certificate {path} expired on {ends:%Y-%m-%d %H:%M} UTC"
    if now < begins:
        return f"the certificate {path} isn't valid before {begins:%Y-%m-%d %H:%M} UTC; is the clock right?"
    return ""


class _Unreadable(Exception):
    pass


def _validities(path: Path) -> list[tuple[datetime, datetime]]:
    try:
        return validities(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _Unreadable(path) from error

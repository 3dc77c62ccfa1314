"""A TLS handshake with the service, to look at the certificate that it shows; no call is made."""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime

from extaudit_client.connection import Connection
from extaudit_client.errors import ConnectionFailed
from extaudit_client.pem import validities

_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ServedCertificate:
    """What the service showed, verified with the connection's CA and name."""

    start_time: datetime
    expire_time: datetime
    sha256: str
    """Digest of its DER, lower-case hex."""
    tls_version: str


def shake_hands(connection: Connection) -> ServedCertificate:
    """Connect with the connection's certificates, and give what the service showed.

    Raises:
        ConnectionFailed: a file can't be used, nothing answers, or one side doesn't trust the other's certificate; says
            which.
    """
    host, _, port = connection.address.rpartition(":")
    host = host.strip("[]")
    try:
        context = ssl.create_default_context(cafile=connection.ca)
        context.set_alpn_protocols(["h2"])
        if connection.cert is not None:
            context.load_cert_chain(connection.cert, connection.key)
    except (OSError, ValueError) as error:
        raise ConnectionFailed(f"a certificate or key can't be used: {_reason(error)}", "FAILED_PRECONDITION") from None
    try:
        with (
            socket.create_connection((host, int(port)), _SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=connection.server_name or host) as secured,
        ):
            der, version = secured.getpeercert(binary_form=True) or b"", secured.version() or ""
            is_taken = _is_taken(secured)
        start, end = validities(ssl.DER_cert_to_PEM_cert(der).encode())[0]
    except (OSError, ValueError) as error:
        text = f"no TLS with {connection.address}: {_reason(error)}"
        raise ConnectionFailed(text, "UNAVAILABLE") from None
    if not is_taken:
        of = f"the signer of {connection.cert}" if connection.cert is not None else "a caller without a certificate"
        text = f"{connection.address} ended the connection after the handshake; it may not trust {of}"
        raise ConnectionFailed(text, "UNAVAILABLE")
    return ServedCertificate(start, end, hashlib.sha256(der).hexdigest(), version)


def _is_taken(secured: ssl.SSLSocket) -> bool:
    """Whether the service goes on. In TLS 1.3 it looks at the caller's certificate when the caller's side of the
    handshake is over; then its first frame of HTTP/2 comes, or an alert."""
    try:
        return bool(secured.recv(1))
    except TimeoutError:
        raise
    except OSError:
        return False


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, TimeoutError):  # whose own text can be a line of OpenSSL's source
        return f"no answer within {_SECONDS:g} s"
    if isinstance(error, ssl.SSLError):
        return error.reason or "the handshake failed"
    return (error.strerror if isinstance(error, OSError) else "") or str(error)

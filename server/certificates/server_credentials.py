"""The server's side of the TLS handshake: its certificate and key, the CAs asked of clients, and their replacement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from server.certificates.anchors import MAX_FILE_BYTES
from server.certificates.problems import CertificateProblem
from server.regular_files import open_regular


@dataclass(frozen=True, slots=True)
class ServerPair:
    """The server's certificate, with its chain as it is in the file, and the key that belongs to it."""

    certificate: x509.Certificate
    chain_pem: bytes
    key_pem: bytes


def load_server_pair(certificate: Path, key: Path, now: datetime) -> ServerPair:
    """Read the server's certificate and key.

    Raises:
        CertificateProblem: one can't be read or parsed, they don't belong together, or the certificate has expired.
    """
    chain_pem, key_pem = _read(certificate), _read(key)
    try:
        leaf = x509.load_pem_x509_certificate(chain_pem)
    except ValueError as error:
        raise CertificateProblem(f"the server certificate {certificate.name} is not a PEM certificate") from error
    try:
        private = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateProblem(f"the server key {key.name} is not an unencrypted PEM key") from error
    if leaf.public_key() != private.public_key():
        raise CertificateProblem(f"the server certificate {certificate.name} and key {key.name} don't belong together")
    if now > leaf.not_valid_after_utc:
        raise CertificateProblem(f"the server certificate {certificate.name} has expired")
    return ServerPair(leaf, chain_pem, key_pem)


def configuration(pair: ServerPair, client_cas: bytes | None) -> grpc.ServerCertificateConfiguration:
    """What a handshake uses: the pair, and the PEM of the CAs that a client's certificate must come from.

    None for the listener that asks for no client certificate.
    """
    return grpc.ssl_server_certificate_configuration([(pair.key_pem, pair.chain_pem)], client_cas)


def credentials(
    current: Callable[[], grpc.ServerCertificateConfiguration], *, client_certificates: bool = True
) -> grpc.ServerCredentials:
    """Credentials of one listener that use whatever is current at each handshake.

    They require a client certificate, or ask for none where callers bring tokens. `current` is called on gRPC's own
    threads. It must not raise: gRPC would end the handshake.
    """
    initial = current()
    return grpc.dynamic_ssl_server_credentials(
        initial, _Changes(initial, current), require_client_authentication=client_certificates
    )


class _Changes:
    """Tells gRPC the configuration only when it is another one: each new one costs it a new TLS context."""

    def __init__(
        self, initial: grpc.ServerCertificateConfiguration, current: Callable[[], grpc.ServerCertificateConfiguration]
    ) -> None:
        self._told = initial
        self._current = current

    def __call__(self) -> grpc.ServerCertificateConfiguration:
        found = self._current()
        if found is self._told:
            # gRPC reads None as "unchanged"; its stubs don't say so.
            return cast(grpc.ServerCertificateConfiguration, None)
        self._told = found
        return found


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=open_regular) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CertificateProblem(f"{path.name} can't be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise CertificateProblem(f"{path.name} is larger than {MAX_FILE_BYTES} bytes")
    return content

"""Small public key infrastructures for tests, as PEM files."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pki:
    """Files of one CA, a server and a client."""

    folder: Path
    ca: Path
    server_cert: Path
    server_key: Path
    cert: Path
    key: Path


def make_pki(
    folder: Path,
    *,
    server_host: str = "127.0.0.1",
    client_from: float = -1,
    client_to: float = 1,
    server_to: float = 1,
    ca_name: str = "ca",
) -> Pki:
    """Make one below `folder`; validity is in days from now."""
    folder.mkdir(parents=True)
    names = ("ca.crt", "server.crt", "server.key", "client.crt", "client.key")
    pki = Pki(folder, *(folder / name for name in names))
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate(ca_name, ca_key, ca_name, ca_key, -2, 2, x509.BasicConstraints(ca=True, path_length=0))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.key").write_bytes(ca_key.private_bytes(*form))
    pki.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    host = x509.SubjectAlternativeName([_general_name(server_host)])
    _leaf(pki.server_cert, pki.server_key, ca_name, ca_key, -1, server_to, host)
    _leaf(pki.cert, pki.key, ca_name, ca_key, client_from, client_to, x509.BasicConstraints(ca=False, path_length=None))
    return pki


def renew_client(pki: Pki, name: str) -> tuple[bytes, bytes]:
    """Another certificate and key of the client, to be put in place; `name` is its common name."""
    ca_key = serialization.load_pem_private_key((pki.folder / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    cert, key = pki.folder / f"{name}.crt", pki.folder / f"{name}.key"
    ca_name = x509.load_pem_x509_certificate(pki.ca.read_bytes()).subject.rfc4514_string().removeprefix("CN=")
    _leaf(cert, key, ca_name, ca_key, -1, 1, x509.BasicConstraints(ca=False, path_length=None))
    return cert.read_bytes(), key.read_bytes()


def _leaf(
    cert: Path,
    key: Path,
    ca_name: str,
    ca_key: ec.EllipticCurvePrivateKey,
    start: float,
    end: float,
    extension: x509.ExtensionType,
) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(cert.stem, own, ca_name, ca_key, start, end, extension)
    cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(own.private_bytes(*form))


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    start: float,
    end: float,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=start))
        .not_valid_after(now + timedelta(days=end))
        .add_extension(extension, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

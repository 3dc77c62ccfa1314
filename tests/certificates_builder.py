"""Certificates of every shape, right and wrong, for tests."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.certificates.authorities import Authority as LocalCa
from server.certificates.authorities import certificate_pem, key_pem
from server.certificates.authorities import server_certificate as sign_server

CLUSTER = "example.test"
LIFETIME = timedelta(hours=12)
"""How long a client's certificate holds: longer than a slow machine takes for all tests that share one."""
NAMES = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "POSTALCODE": NameOID.POSTAL_CODE,
    "CLUSTER": x509.ObjectIdentifier("1.3.9999.1.7"),
    "SYSTEM_ROLE": x509.ObjectIdentifier("1.3.9999.2.11"),
    "PINNED_IP": x509.ObjectIdentifier("1.3.9999.2.15"),
}
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, signs_certificates, False, False, False)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def name(*pairs: tuple[str, str]) -> x509.Name:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.Name([x509.NameAttribute(NAMES[key], value, _validate=False) for key, value in pairs])


def shared_rdn(*pairs: tuple[str, str]) -> x509.Name:
    """A name whose values of one type share one RDN, as Go writes them."""
    groups: dict[str, list[x509.NameAttribute[str]]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(x509.NameAttribute(NAMES[key], value, _validate=False))
    return x509.Name([x509.RelativeDistinguishedName(attributes) for attributes in groups.values()])


def put(path: Path, data: bytes) -> None:
    """Put a file where another may be: of one size and within one tick of the clock, its inode tells them apart."""
    draft = path.with_name(f"{path.name}.draft")
    draft.write_bytes(data)
    draft.chmod(0o600)
    draft.replace(path)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return certificate_pem(self.certificate)

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key)

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:x}"

    @property
    def id(self) -> str:
        public = self.certificate.public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()

    def write(self, folder: Path, stem: str) -> tuple[Path, Path]:
        certificate, key = folder / f"{stem}.crt", folder / f"{stem}.key"
        put(certificate, self.pem)
        put(key, self.key_pem)
        return certificate, key


@dataclass(frozen=True)
class Ca(Pair):
    """A CA that signs whatever a test asks for."""

    def leaf(
        self,
        subject: x509.Name,
        *,
        begins: datetime | None = None,
        ends: datetime | None = None,
        usage: x509.ObjectIdentifier | None = CLIENT,
        is_ca: bool = False,
        extension: x509.ExtensionType | None = None,
        authority_identifier: bool = True,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        ends = ends or now() + LIFETIME
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            issuer = self.certificate.subject
        builder = _builder(subject, issuer, key, begins, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        if extension is not None:
            builder = builder.add_extension(extension, critical=True)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if authority_identifier:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        if is_ca:
            identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        return Pair(builder.sign(self.key, hashes.SHA256()), key)

    def user(self, common_name: str = "alice", roles: tuple[str, ...] = ("auditor",), **options: Any) -> Pair:
        return self.leaf(name(("CN", common_name), *(("O", role) for role in roles)), **options)

    def component(self, host_id: str = "host-1", role: str = "Node", **options: Any) -> Pair:
        return self.leaf(name(("CN", f"{host_id}.{CLUSTER}"), ("O", role)), **options)

    def intermediate(self, **options: Any) -> Ca:
        pair = self.leaf(name(("O", CLUSTER), ("CN", "between")), is_ca=True, usage=None, **options)
        return Ca(pair.certificate, pair.key)

    def server(self) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        return Pair(sign_server(LocalCa(self.certificate, self.key), key.public_key(), now()), key)


@dataclass(frozen=True)
class CaShape:
    """How a CA is made. Several of one shape differ in their key only."""

    subject: x509.Name = field(default_factory=lambda: name(("O", CLUSTER), ("CN", "a CA")))
    begins: datetime | None = None
    ends: datetime | None = None
    is_ca: bool = True
    extension: x509.ExtensionType | None = None

    def make(self) -> Ca:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(self.subject, self.subject, key, self.begins, self.ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=self.is_ca, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        if self.extension is not None:
            builder = builder.add_extension(self.extension, critical=True)
        return Ca(builder.sign(key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: datetime | None,
    ends: datetime | None,
) -> x509.CertificateBuilder:
    begins = begins or now() - timedelta(hours=1)
    ends = ends or now() + 2 * LIFETIME
    return x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), begins, ends)

"""Trust anchors: the CA certificates whose key may vouch for callers, and what kind of caller each vouches for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from rbac.identities import IdentityKind
from rbac.writers import refusal_of
from server.certificates.authorities import certificate_pem
from server.certificates.problems import CertificateProblem
from server.regular_files import open_regular

MAX_FILE_BYTES = 1 << 20
MAX_FILES = 32
MAX_CERTIFICATES = 64
"""Over all files. Each costs a comparison for every new certificate, and its name goes to every client at handshake."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """One CA certificate. Two certificates of one key have the same id: they are one anchor."""

    id: str
    """SHA-256 of the SubjectPublicKeyInfo, lower-case hex."""
    kind: IdentityKind
    certificate: x509.Certificate
    local: bool
    """Whether its key is one of the local CAs', whose certificates are all on record."""


@dataclass(frozen=True, slots=True)
class TrustAnchors:
    """All anchors in force; never empty, and no key in two kinds."""

    anchors: tuple[Anchor, ...]

    @property
    def bundle(self) -> bytes:
        """Their certificates as PEM, for the TLS handshake."""
        return b"".join(certificate_pem(anchor.certificate) for anchor in self.anchors)


def anchor_id(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate's SubjectPublicKeyInfo, lower-case hex."""
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki).hexdigest()


def load_anchors(
    host_files: Sequence[Path],
    user_files: Sequence[Path],
    local: Sequence[x509.Certificate] = (),
    account: int | None = None,
) -> TrustAnchors:
    """Read the anchors from PEM files, several certificates a file. `local` are the local CAs' certificates.

    `account` is the service's; None where it doesn't matter who else can write the files.

    Raises:
        CertificateProblem: a file can't be read, is too large or holds something else than CA certificates, or others
            than `account` and root can write it; there are too many or none, or a key is listed as host CA and as user
            CA.
    """
    if len(host_files) + len(user_files) > MAX_FILES:
        raise CertificateProblem(f"more than {MAX_FILES} CA files are configured")
    local_ids = frozenset(anchor_id(certificate) for certificate in local)
    sources = [(IdentityKind.COMPONENT, path) for path in host_files] + [
        (IdentityKind.USER, path) for path in user_files
    ]
    anchors = tuple(
        Anchor(identifier := anchor_id(certificate), kind, certificate, identifier in local_ids)
        for kind, path in sources
        for certificate in read_authorities(path, account)
    )
    return _checked(anchors)


def read_authorities(path: Path, account: int | None = None) -> list[x509.Certificate]:
    """The CA certificates of a PEM file; at least one. CertificateProblem as `load_anchors`."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            refusal = refusal_of(path, os.fstat(file.fileno()), account) if account is not None else ""
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CertificateProblem(f"the CA file {path.name} can't be read: {error.strerror}") from error
    if refusal:
        raise CertificateProblem(f"the CA file {path.name} {refusal}")
    if len(content) > MAX_FILE_BYTES:
        raise CertificateProblem(f"the CA file {path.name} is larger than {MAX_FILE_BYTES} bytes")
    try:
        certificates = x509.load_pem_x509_certificates(content)
        usable = all(_may_sign_certificates(certificate) for certificate in certificates)
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise CertificateProblem(f"the CA file {path.name} holds no well-formed PEM certificates") from error
    if not usable:
        raise CertificateProblem(f"the CA file {path.name} holds a certificate that is not a CA's")
    return certificates


def _may_sign_certificates(certificate: x509.Certificate) -> bool:
    extensions = certificate.extensions
    try:
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid == x509.KeyUsage.oid


def _checked(anchors: tuple[Anchor, ...]) -> TrustAnchors:
    if not anchors:
        raise CertificateProblem("no CA is configured: nobody could call")
    if len(anchors) > MAX_CERTIFICATES:
        raise CertificateProblem(f"the CA files hold more than {MAX_CERTIFICATES} certificates")
    kinds: dict[str, IdentityKind] = {}
    for anchor in anchors:
        if kinds.setdefault(anchor.id, anchor.kind) is not anchor.kind:
            raise CertificateProblem(
                "the same CA key is configured as host CA and as user CA; it can be one of them only"
            )
    return TrustAnchors(anchors)

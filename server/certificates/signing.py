"""Signing a certificate for a caller: the claim is checked, and the record is durable before anyone sees the key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from rbac.identities import IdentityKind
from server.certificates.authorities import Authority, new_key, serial_of
from server.certificates.claims import is_component_role, is_host_id, is_user_name, is_user_role
from server.certificates.issued import IssuedCertificate, IssuedCertificates
from server.certificates.problems import CertificateProblem
from server.certificates.subjects import component_subject, user_subject

MAX_LIFE = timedelta(days=3650)
MAX_ROLES = 64
MAX_CERTIFICATE_BYTES = 7_000
"""gRPC ends handshakes with client certificates over about 8 kB, chain and framing included."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who a certificate is to say its holder is, and for how long; valid once made."""

    kind: IdentityKind
    name: str
    roles: tuple[str, ...]
    life: timedelta

    @classmethod
    def user(cls, name: str, roles: tuple[str, ...], life: timedelta) -> Claim:
        """A person's or program's claim. CertificateProblem if the name, a role or the life isn't allowed."""
        if not is_user_name(name):
            raise CertificateProblem(
                "the name must be 1 to 128 visible characters and not a system role's name, such as Node or Proxy"
            )
        if not all(is_user_role(role) for role in roles):
            raise CertificateProblem(
                "each role must be 1 to 128 visible characters and not a system role's name, such as Node or Proxy"
            )
        return cls(IdentityKind.USER, name, _checked(roles), _checked_life(life))

    @classmethod
    def component(cls, host_id: str, roles: tuple[str, ...], life: timedelta) -> Claim:
        """A Teleport component's claim. CertificateProblem if the id, a role or the life isn't allowed."""
        if not is_host_id(host_id):
            raise CertificateProblem("the host id must be 1 to 64 letters, digits or hyphens")
        if not all(is_component_role(role) for role in roles):
            raise CertificateProblem("each role of a component must be a system role, such as Node or Proxy")
        return cls(IdentityKind.COMPONENT, host_id, _checked(roles), _checked_life(life))


@dataclass(frozen=True, slots=True)
class IssuedPair:
    """A new certificate with its key, already recorded."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    record: IssuedCertificate


def sign_and_record(
    authority: Authority, claim: Claim, issued: IssuedCertificates, now: datetime, *, renews: bool = False
) -> IssuedPair:
    """Sign a client certificate for a new key with the CA of the claim's kind, and record it.

    `renews`: its audit event says that it follows another of the same identity.

    Raises:
        CertificateProblem: the certificate would be too large for a handshake, or the CA has ended.
        Exception: whatever `issued` raises; then there is no certificate.
    """
    if now >= authority.certificate.not_valid_after_utc:
        raise CertificateProblem("the local certificate authority has expired")
    subject = (user_subject if claim.kind is IdentityKind.USER else component_subject)(
        claim.name, claim.roles, authority.cluster
    )
    key = new_key()
    certificate = authority.sign(subject, key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH, claim.life, now)
    if len(certificate.public_bytes(serialization.Encoding.DER)) > MAX_CERTIFICATE_BYTES:
        raise CertificateProblem("the certificate would be too large for a TLS handshake; give fewer or shorter roles")
    record = IssuedCertificate(
        serial=serial_of(certificate),
        kind=claim.kind.value,
        name=claim.name,
        roles=claim.roles,
        not_before_ms=milliseconds(certificate.not_valid_before_utc),
        expires_ms=milliseconds(certificate.not_valid_after_utc),
        issued_ms=milliseconds(now),
    )
    issued.record(record, renews=renews)
    return IssuedPair(certificate, key, record)


def milliseconds(moment: datetime) -> int:
    """Ms since 1970 of a moment that is aware of its zone."""
    return int(moment.timestamp() * 1000)


def _checked(roles: tuple[str, ...]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(roles))
    if not 1 <= len(unique) <= MAX_ROLES:
        raise CertificateProblem(f"give 1 to {MAX_ROLES} roles")
    return unique


def _checked_life(life: timedelta) -> timedelta:
    if not timedelta(days=1) <= life <= MAX_LIFE:
        raise CertificateProblem(f"the days must be 1 to {MAX_LIFE.days}")
    return life

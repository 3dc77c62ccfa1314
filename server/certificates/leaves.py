"""Judging a client's certificate once: which anchor signed it, and whose identity it gives.

What depends on the moment, the peer or the record of issued certificates is the resolver's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from rbac.identities import Identity, IdentityKind
from server.certificates.anchors import Anchor, TrustAnchors
from server.certificates.authorities import serial_of
from server.certificates.claims import is_component_role, is_plain_text, is_user_name, is_user_role
from server.certificates.subjects import Subject, issuer_organizations, read_subject
from server.errors import Unauthenticated

MAX_PEM_BYTES = 64 * 1024
MAX_TRAITS_BYTES = 16 * 1024

Traits = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate that an anchor vouches for, parsed."""

    identity: Identity
    not_before: datetime
    """The later beginning of the certificate's and its CA's."""
    expires: datetime
    """The earlier end of the two."""
    local: bool
    """Whether a local CA signed it, so that its serial must be on record."""


def read_leaf(pem: bytes, anchors: TrustAnchors, cluster: str) -> Leaf:
    """The identity in a client's certificate.

    Raises:
        Unauthenticated: it gives none; the text says which rule it breaks and repeats nothing of it.
    """
    try:
        return _read(pem, anchors, cluster)
    except (ValueError, TypeError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise Unauthenticated("the certificate is not well formed") from error


def _read(pem: bytes, anchors: TrustAnchors, cluster: str) -> Leaf:
    if len(pem) > MAX_PEM_BYTES:
        raise Unauthenticated("the certificate is too large")
    certificate = x509.load_pem_x509_certificate(pem)
    signers = _signers(certificate, anchors.anchors)
    _check_usage(certificate)
    subject = read_subject(certificate)
    _check_cluster(subject, certificate, cluster)
    anchor = signers[0]
    identity = Identity(
        kind=anchor.kind,
        name=_name(subject, anchor.kind, cluster),
        roles=_roles(subject, anchor.kind),
        trust_anchor=anchor.id,
        certificate_serial=serial_of(certificate),
        cluster=cluster,
        expires=certificate.not_valid_after_utc,
        not_before=certificate.not_valid_before_utc,
        pinned_ip=_pinned_ip(subject),
        traits=_traits(subject),
    )
    return Leaf(
        identity=identity,
        not_before=max(certificate.not_valid_before_utc, min(s.certificate.not_valid_before_utc for s in signers)),
        expires=min(certificate.not_valid_after_utc, max(s.certificate.not_valid_after_utc for s in signers)),
        local=anchor.local,
    )


def _signers(certificate: x509.Certificate, anchors: Sequence[Anchor]) -> list[Anchor]:
    """The anchor certificates, all of one key, whose key signed this one. Names alone prove nothing."""
    signers = [anchor for anchor in anchors if _issued_by(certificate, anchor.certificate)]
    if len({anchor.id for anchor in signers}) != 1:
        raise Unauthenticated("no trusted CA signed the certificate itself")
    return signers


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _check_usage(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.ca:
            raise Unauthenticated("a CA's certificate is no caller's")
        if isinstance(value, x509.KeyUsage) and value.key_cert_sign:
            raise Unauthenticated("a CA's certificate is no caller's")
        if isinstance(value, x509.ExtendedKeyUsage) and ExtendedKeyUsageOID.CLIENT_AUTH not in value:
            raise Unauthenticated("the certificate is not for clients")


def _check_cluster(subject: Subject, certificate: x509.Certificate, cluster: str) -> None:
    if subject.units:
        raise Unauthenticated("the certificate is restricted to some usages")
    claimed = subject.clusters or issuer_organizations(certificate)
    if any(name != cluster for name in claimed):
        raise Unauthenticated("the certificate is another cluster's")


def _name(subject: Subject, kind: IdentityKind, cluster: str) -> str:
    if len(subject.common_names) != 1:
        raise Unauthenticated("the certificate must have one common name")
    name = subject.common_names[0]
    if kind is IdentityKind.USER:
        if not is_user_name(name):
            raise Unauthenticated("the certificate's name is not one a user may have")
        return name
    host_id = name.removesuffix(f".{cluster}")
    if host_id == name or not is_plain_text(host_id):
        raise Unauthenticated("the certificate's name is not a component's of this cluster")
    return host_id


def _roles(subject: Subject, kind: IdentityKind) -> frozenset[str]:
    roles = frozenset(subject.organizations)
    if kind is IdentityKind.USER:
        if not all(is_user_role(role) for role in roles):
            raise Unauthenticated("the certificate claims a role that no user may have")
        return roles
    if len(subject.organizations) != 1:
        raise Unauthenticated("a component's certificate must have one system role")
    if roles == {"Instance"}:
        roles |= frozenset(subject.system_roles)
    if not all(is_component_role(role) for role in roles):
        raise Unauthenticated("the certificate claims a role that no component may have")
    return roles


def _pinned_ip(subject: Subject) -> str:
    if not subject.pinned_ips:
        return ""
    if len(subject.pinned_ips) > 1:
        raise Unauthenticated("the certificate is pinned to several addresses")
    return plain_address(subject.pinned_ips[0])


def plain_address(text: str) -> str:
    """One spelling for each IP address: IPv4 inside IPv6 as IPv4, no zone. ValueError if it is none."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _traits(subject: Subject) -> Traits:
    """Traits from their JSON, `{"name": ["value", ...]}`; empty or null means none, as Teleport writes it for nodes."""
    if len(subject.traits) > 1:
        raise Unauthenticated("the certificate's traits are not well formed")
    text = subject.traits[0] if subject.traits else ""
    if len(text) > MAX_TRAITS_BYTES:
        raise Unauthenticated("the certificate's traits are too large")
    traits = orjson.loads(text) if text else None
    if traits is None:
        return ()
    if not isinstance(traits, dict) or not all(_is_list_of_text(values) for values in traits.values()):
        raise Unauthenticated("the certificate's traits are not well formed")
    return tuple(sorted((name, tuple(values or ())) for name, values in traits.items()))


def _is_list_of_text(values: object) -> bool:
    return values is None or (isinstance(values, list) and all(isinstance(value, str) for value in values))

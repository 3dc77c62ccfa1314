"""Certificate subjects as Teleport encodes identities in them: reading and building, no judgement."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

CLUSTER = x509.ObjectIdentifier("1.3.9999.1.7")
SYSTEM_ROLE = x509.ObjectIdentifier("1.3.9999.2.11")
PINNED_IP = x509.ObjectIdentifier("1.3.9999.2.15")


@dataclass(frozen=True, slots=True)
class Subject:
    """The values of a subject that matter here, in their order; each may be repeated or absent."""

    common_names: tuple[str, ...]
    organizations: tuple[str, ...]
    units: tuple[str, ...]
    clusters: tuple[str, ...]
    system_roles: tuple[str, ...]
    pinned_ips: tuple[str, ...]
    traits: tuple[str, ...]


def read_subject(certificate: x509.Certificate) -> Subject:
    """The subject of a certificate.

    Raises:
        ValueError: it isn't well formed, or a value that matters isn't text.
    """
    with _any_length():
        name = certificate.subject
    return Subject(
        common_names=_values(name, NameOID.COMMON_NAME),
        organizations=_values(name, NameOID.ORGANIZATION_NAME),
        units=_values(name, NameOID.ORGANIZATIONAL_UNIT_NAME),
        clusters=_values(name, CLUSTER),
        system_roles=_values(name, SYSTEM_ROLE),
        pinned_ips=_values(name, PINNED_IP),
        traits=_values(name, NameOID.POSTAL_CODE),
    )


def issuer_organizations(certificate: x509.Certificate) -> tuple[str, ...]:
    """The O values of the issuer: for Teleport's CAs and ours, the cluster's name. ValueError if one isn't text."""
    with _any_length():
        return _values(certificate.issuer, NameOID.ORGANIZATION_NAME)


def subject_text(certificate: x509.Certificate) -> str:
    """The subject for people to read, as RFC 4514 writes it."""
    with _any_length():
        return certificate.subject.rfc4514_string()


def user_subject(name: str, roles: Iterable[str], cluster: str) -> x509.Name:
    """CN = name, one O for each role, and the cluster."""
    values = [(NameOID.COMMON_NAME, name), *((NameOID.ORGANIZATION_NAME, role) for role in roles), (CLUSTER, cluster)]
    return _build(values)


def component_subject(host_id: str, roles: tuple[str, ...], cluster: str) -> x509.Name:
    """CN = `<id>.<cluster>` and the role as O; with several roles O = Instance and one system role value for each."""
    organization = roles[0] if len(roles) == 1 else "Instance"
    extra = [(SYSTEM_ROLE, role) for role in roles] if len(roles) > 1 else []
    common = [(NameOID.COMMON_NAME, f"{host_id}.{cluster}"), (NameOID.ORGANIZATION_NAME, organization)]
    return _build([*common, *extra, (CLUSTER, cluster)])


def _values(name: x509.Name, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    values = [attribute.value for attribute in name if attribute.oid == oid]
    if not all(isinstance(value, str) for value in values):
        raise ValueError("not text")
    return tuple(str(value) for value in values)


def _build(values: list[tuple[x509.ObjectIdentifier, str]]) -> x509.Name:
    with _any_length():
        return x509.Name([x509.NameAttribute(oid, value, _validate=False) for oid, value in values])


@contextmanager
def _any_length() -> Iterator[None]:
    """Common names over 64 bytes are usual (a UUID and a cluster's name) and cryptography warns of each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attribute's length", category=UserWarning)
        yield

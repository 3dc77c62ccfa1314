"""Where the certificates in force come from: the local authority's files, or the ones that were configured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from server.certificates.local_authority import HOST_CA, SERVER, USER_CA, LocalAuthority
from server.certificates.problems import CertificateProblem


@dataclass(frozen=True, slots=True)
class CertificateSources:
    """The files to load and to watch."""

    certificate: Path
    key: Path
    host_cas: tuple[Path, ...]
    user_cas: tuple[Path, ...]
    local: tuple[x509.Certificate, ...] = ()
    """The local CAs, trusted or not: what their keys signed must be on record wherever they are listed."""


def choose_sources(
    local: LocalAuthority,
    cluster: str,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    host_cas: Sequence[Path] = (),
    user_cas: Sequence[Path] = (),
) -> CertificateSources:
    """The configured files, and the local authority's for what is not configured.

    As soon as any CA is configured, neither local CA is trusted, unless its file is listed as well.

    Raises:
        CertificateProblem: only one of certificate and key is configured, or the local CAs are to be trusted but were
            made for another cluster.
    """
    if (certificate is None) != (key is None):
        raise CertificateProblem("a server certificate and its key are configured together or not at all")
    folder = local.folder
    if not host_cas and not user_cas:
        if local.cluster != cluster:
            raise CertificateProblem(
                f"the local CAs are cluster {local.cluster!r}'s and the configured cluster name is {cluster!r}: "
                "set the name back, or configure the cluster's own CAs"
            )
        host_cas, user_cas = [folder.certificate(HOST_CA)], [folder.certificate(USER_CA)]
    return CertificateSources(
        certificate=certificate or folder.certificate(SERVER),
        key=key or folder.key(SERVER),
        host_cas=tuple(host_cas),
        user_cas=tuple(user_cas),
        local=(local.host.certificate, local.user.certificate),
    )

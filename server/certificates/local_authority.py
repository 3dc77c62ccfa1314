"""The local authority: the CAs, the server's certificate and the first administrator's, made at the first start.

`ensure` may be stopped after any of its steps; the next start goes on from what is there. So a key is always written
before its certificate and never replaced while the certificate stands, and `ca.crt`, which every client needs, is
written last: without it the first start was not finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidSignature

from server.certificates.authorities import (
    Authority,
    certificate_pem,
    new_authority_certificate,
    new_key,
    server_certificate,
)
from server.certificates.claims import ADMINISTRATOR
from server.certificates.identity_folder import FOLDER, IdentityFolder
from server.certificates.issued import IssuedCertificates
from server.certificates.problems import CertificateProblem
from server.certificates.signing import Claim, sign_and_record
from server.files import DiskFiles, Files, write_durably

HOST_CA = "host-ca"
USER_CA = "user-ca"
SERVER = "server"
ADMINISTRATOR_ROLES = ("local-administrator", "editor", "auditor", "importer")
ADMINISTRATOR_LIFE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class LocalAuthority:
    """The two local CAs and the folder that holds them."""

    folder: IdentityFolder
    host: Authority
    user: Authority

    @property
    def cluster(self) -> str:
        """The name of the cluster that the CAs were made for."""
        return self.user.cluster

    def renew_server_certificate(self, now: datetime) -> bool:
        """Sign the server's certificate again, for the same key, when less than a third of its life is left.

        Says whether it did. A certificate that is missing, or isn't the host CA's for this key, is replaced too.
        """
        key = self.folder.read_key(SERVER)
        if key is None:
            key = new_key()
            self.folder.write_key(SERVER, key)
        elif not self.server_certificate_lacks() and self._lasts(now):
            return False
        self.folder.write_certificate(SERVER, server_certificate(self.host, key.public_key(), now))
        return True

    def server_certificate_lacks(self) -> str:
        """Why the server's own certificate is to be made anew, whatever is left of its life; "" if it is sound.

        Raises:
            CertificateProblem: a file is no certificate, or no key: a start refuses it.
        """
        key = self.folder.read_key(SERVER)
        if key is None:
            return f"{SERVER}.key isn't there"
        certificate = self.folder.read_certificate(SERVER)
        if certificate is None:
            return f"{SERVER}.crt isn't there"
        if certificate.public_key() != key.public_key():
            return f"{SERVER}.crt and {SERVER}.key don't belong together"
        try:
            certificate.verify_directly_issued_by(self.host.certificate)
        except (InvalidSignature, ValueError, TypeError):
            return f"{SERVER}.crt isn't signed by the local host CA"
        return ""

    def _lasts(self, now: datetime) -> bool:
        certificate = self.folder.read_certificate(SERVER)
        if certificate is None:
            return False
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        return certificate.not_valid_after_utc - now >= life / 3


def identity_folder(data_dir: Path, files: Files | None = None) -> IdentityFolder:
    """The identity folder of a data directory, there or not."""
    return IdentityFolder(data_dir / FOLDER, files or DiskFiles())


def load_local_authority(data_dir: Path) -> LocalAuthority:
    """The local authority of a data directory.

    Raises:
        CertificateProblem: there is none yet, its files are damaged, or one is lost.
    """
    local = examine_local_authority(data_dir)
    if local is None:
        raise not_begun(data_dir, "certificate authority")
    return local


def is_begun(data_dir: Path) -> bool:
    """Whether a first start was finished there."""
    return identity_folder(data_dir).client_ca.exists()


def not_begun(data_dir: Path, lacked: str) -> CertificateProblem:
    """That a data directory lacks what the first start makes, or isn't there at all."""
    if not data_dir.is_dir():
        return CertificateProblem(f"there is no data directory {data_dir}")
    return CertificateProblem(f"the data directory has no {lacked} yet: start the server once")


def ensure_local_authority(
    data_dir: Path, cluster: str, issued: IssuedCertificates, now: datetime, files: Files | None = None
) -> LocalAuthority:
    """Make what is missing in `<data-dir>/identity`, renew the server's certificate if due, and load it.

    `now` is aware of its zone. Only one process may do this at a time, so the caller holds the
    lock on the data directory.

    Raises:
        CertificateProblem: a file is damaged. A CA is never replaced, since that would void every certificate.
        OSError: a file can't be written.
    """
    folder = identity_folder(data_dir, files)
    folder.files.make_folder(folder.path)
    _remove_leftovers(folder)
    host = _ensure_authority(folder, HOST_CA, cluster, "extaudit host CA", now)
    user = _ensure_authority(folder, USER_CA, cluster, "extaudit user CA", now)
    local = LocalAuthority(folder, host, user)
    local.renew_server_certificate(now)
    _ensure_administrator(local, issued, now)
    return local


def _ensure_authority(folder: IdentityFolder, stem: str, cluster: str, common_name: str, now: datetime) -> Authority:
    authority = folder.read_authority(stem)
    if authority is not None:
        return authority
    key = folder.read_key(stem)
    if key is None:
        _refuse_lost_key(folder, stem)
        key = new_key()
        folder.write_key(stem, key)
    certificate = new_authority_certificate(key, cluster, common_name, now)
    folder.write_certificate(stem, certificate)
    return Authority(certificate, key)


def _refuse_lost_key(folder: IdentityFolder, stem: str) -> None:
    if folder.read_certificate(stem) is not None:
        raise CertificateProblem(f"{FOLDER}/{stem}.key is missing while {stem}.crt is there; restore it from a copy")


def examine_local_authority(data_dir: Path) -> LocalAuthority | None:
    """The local authority as a start would find it, with nothing made; None where a start would make some of it.

    Raises:
        CertificateProblem: a start would refuse it.
    """
    folder = identity_folder(data_dir)
    host, user = folder.read_authority(HOST_CA), folder.read_authority(USER_CA)
    if host is not None and user is not None:
        return LocalAuthority(folder, host, user)
    for stem in (HOST_CA, USER_CA):
        if folder.read_key(stem) is None:
            _refuse_lost_key(folder, stem)
    return None


def _ensure_administrator(local: LocalAuthority, issued: IssuedCertificates, now: datetime) -> None:
    """Issue the first administrator's certificate, until the first start is finished.

    After that it is the administrator's own: taken to another machine, renewed, or let expire. Only a pair that a
    renewal left half replaced is made anew.
    """
    folder = local.folder
    finished = folder.client_ca.exists()
    certificate, key = folder.read_certificate(ADMINISTRATOR), folder.read_key(ADMINISTRATOR)
    together = certificate is not None and key is not None
    matching = certificate is not None and key is not None and certificate.public_key() == key.public_key()
    if (together and not matching) or (not finished and not together):
        claim = Claim.user(ADMINISTRATOR, ADMINISTRATOR_ROLES, ADMINISTRATOR_LIFE)
        pair = sign_and_record(local.user, claim, issued, now)
        folder.write_key(ADMINISTRATOR, pair.key)
        folder.write_certificate(ADMINISTRATOR, pair.certificate)
    if not finished:
        write_durably(folder.files, folder.client_ca, certificate_pem(local.host.certificate))


def _remove_leftovers(folder: IdentityFolder) -> None:
    for name in folder.files.list(folder.path):
        if name.endswith(".part"):
            folder.files.remove(folder.path / name)

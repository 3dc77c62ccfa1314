"""What `extaudit identity` does: issue, renew and list certificates beside a running server.

Only the identity folder is read and only the state database is written: never the journal.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rbac.identities import IdentityKind
from server.certificates.authorities import certificate_pem
from server.certificates.identity_folder import IdentityFolder
from server.certificates.issued import IssuedCertificate, IssuedCertificates
from server.certificates.local_authority import (
    HOST_CA,
    SERVER,
    USER_CA,
    LocalAuthority,
    is_begun,
    load_local_authority,
    not_begun,
)
from server.certificates.modes import check_modes
from server.certificates.problems import CertificateProblem
from server.certificates.signing import MAX_LIFE, Claim, sign_and_record
from server.certificates.subjects import read_subject
from server.data_directory import KEPT_SECRETS, WRAPPING_KEY
from server.files import DiskFiles, write_durably
from server.state.database import StateFault, database_path, open_database
from server.state.issued_certificates import SqlIssuedCertificates
from server.state.migrations import NewerSchema

DEFAULT_DAYS = 30
_RESERVED = frozenset(
    {HOST_CA, USER_CA, SERVER, "ca", *(name.removesuffix(".key") for name in (*KEPT_SECRETS, WRAPPING_KEY))}
)
_PLAIN_STEM = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_@+.-]{0,63}")


@dataclass(frozen=True, slots=True)
class IssuedFiles:
    """Where a new certificate is. `ca` is what the client verifies the server with."""

    certificate: Path
    key: Path
    ca: Path
    record: IssuedCertificate


def issue_user(data_dir: Path, name: str, roles: Sequence[str], days: int, out_dir: Path) -> IssuedFiles:
    """Issue a user's certificate, good for `days` (1 to 3650, and not beyond the CA), into `out_dir`.

    Raises:
        CertificateProblem: the name, a role or the days aren't allowed, a file is in the way, or there is no authority.
    """
    claim = Claim.user(name, tuple(roles), _life(days))
    return _issue(data_dir, lambda _: claim, out_dir, replace=False)


def issue_component(data_dir: Path, host_id: str, roles: Sequence[str], days: int, out_dir: Path) -> IssuedFiles:
    """Issue a Teleport component's certificate; otherwise as `issue_user`."""
    claim = Claim.component(host_id, tuple(roles), _life(days))
    return _issue(data_dir, lambda _: claim, out_dir, replace=False)


def renew(
    data_dir: Path, name: str, out_dir: Path, days: int = DEFAULT_DAYS, kind: IdentityKind | None = None
) -> IssuedFiles:
    """Issue again what was last issued to `name`: same roles, new key, new serial; the old one lives until it ends.

    Files of the same name in `out_dir` are replaced if they are this identity's.

    Raises:
        CertificateProblem: nothing was issued to that name, or to a user and a component and `kind` isn't given.
    """
    life = _life(days)
    return _issue(data_dir, lambda issued: _claim_of(_latest(issued.all(), name, kind), life), out_dir, replace=True)


def list_issued(data_dir: Path) -> list[IssuedCertificate]:
    """Every certificate issued here, oldest first. CertificateProblem if there is no state database yet."""
    with _issued_certificates(data_dir) as issued:
        return issued.all()


def _issue(
    data_dir: Path, claim_from: Callable[[IssuedCertificates], Claim], out_dir: Path, *, replace: bool
) -> IssuedFiles:
    check_modes(data_dir)
    local = load_local_authority(data_dir)
    with _issued_certificates(data_dir) as issued, _file_problems():
        claim = claim_from(issued)
        folder = IdentityFolder(out_dir, DiskFiles())
        stem = _stem(claim.name)
        folder.files.make_folder(out_dir)
        _check_target(folder, stem, claim, local, replace=replace)
        authority = local.user if claim.kind is IdentityKind.USER else local.host
        pair = sign_and_record(authority, claim, issued, datetime.now(UTC), renews=replace)
        folder.write_key(stem, pair.key)
        folder.write_certificate(stem, pair.certificate)
        if not folder.client_ca.exists():
            write_durably(folder.files, folder.client_ca, certificate_pem(local.host.certificate))
    return IssuedFiles(folder.certificate(stem), folder.key(stem), folder.client_ca, pair.record)


def _stem(name: str) -> str:
    """A file name for an identity's name: the name itself where that is plain and isn't the authority's own."""
    if _PLAIN_STEM.fullmatch(name) and name.casefold() not in _RESERVED:
        return name
    return f"identity-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _check_target(folder: IdentityFolder, stem: str, claim: Claim, local: LocalAuthority, *, replace: bool) -> None:
    ca = folder.client_ca
    if ca.exists() and folder.files.read(ca) != certificate_pem(local.host.certificate):
        raise CertificateProblem("the folder holds another ca.crt; choose another folder")
    if not folder.certificate(stem).exists() and not folder.key(stem).exists():
        return
    if not replace:
        raise CertificateProblem(f"the folder holds {stem}.crt or {stem}.key already; choose another folder or renew")
    if not _is_of(folder, stem, claim, local.cluster):
        raise CertificateProblem(f"{stem}.crt in the folder is another identity's; choose another folder")


def _is_of(folder: IdentityFolder, stem: str, claim: Claim, cluster: str) -> bool:
    certificate = folder.read_certificate(stem)
    expected = claim.name if claim.kind is IdentityKind.USER else f"{claim.name}.{cluster}"
    return certificate is not None and read_subject(certificate).common_names == (expected,)


def _latest(issued: list[IssuedCertificate], name: str, kind: IdentityKind | None) -> IssuedCertificate:
    found = [cert for cert in issued if cert.name == name and (kind is None or cert.kind == kind.value)]
    if not found:
        raise CertificateProblem("no certificate was issued to that name; `extaudit identity issue` makes one")
    if len({cert.kind for cert in found}) > 1:
        raise CertificateProblem("a user and a component have that name; say which kind to renew")
    return found[-1]


def _claim_of(record: IssuedCertificate, life: timedelta) -> Claim:
    make = Claim.user if record.kind == IdentityKind.USER.value else Claim.component
    return make(record.name, record.roles, life)


def _life(days: int) -> timedelta:
    if not 1 <= days <= MAX_LIFE.days:
        raise CertificateProblem(f"the days must be 1 to {MAX_LIFE.days}")
    return timedelta(days=days)


@contextmanager
def _issued_certificates(data_dir: Path) -> Iterator[SqlIssuedCertificates]:
    path = database_path(data_dir)
    if not path.exists():
        if is_begun(data_dir):
            raise CertificateProblem("the state database is lost: `extaudit doctor` says what to do")
        raise not_begun(data_dir, "state database")
    try:
        engine = open_database(path)
    except (StateFault, OSError) as error:
        raise CertificateProblem("the state database can't be opened") from error
    except NewerSchema as error:
        raise CertificateProblem(str(error)) from error
    try:
        yield SqlIssuedCertificates(engine)
    except StateFault as error:
        raise CertificateProblem("the state database can't be used; nothing was issued") from error
    finally:
        engine.dispose()


@contextmanager
def _file_problems() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CertificateProblem(f"the files can't be written: {error.strerror}") from error

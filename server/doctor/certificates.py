"""Certificates: the server's, the trusted CAs, and those that were issued here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from server.certificates.anchors import Anchor, load_anchors
from server.certificates.authorities import serial_of
from server.certificates.local_authority import SERVER, LocalAuthority, load_local_authority
from server.certificates.problems import CertificateProblem
from server.certificates.server_credentials import load_server_pair
from server.certificates.sources import CertificateSources, choose_sources
from server.certificates.subjects import subject_text
from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fact, Fault, Finding, Severity, Told, Unexamined
from server.http_api.listener import ListenerError, tls_context
from server.http_api.public_listener import SETTINGS as PUBLIC
from server.regular_files import read_regular
from server.state.database import StateFault
from server.state.issued_certificates import IssuedCertificate

SOON: Final = timedelta(days=7)
LATER: Final = timedelta(days=30)
_PAST: Final = timedelta(days=30)
"""For how long after its end a certificate is told of."""

_RENEW_SERVER = (
    "Restart the server where the certificate is its own: it renews it. Replace the configured file where it isn't; "
    "it is taken up while the server runs."
)
_RENEW_OPERATIONS = (
    "Replace the files that http.certificate and http.key name, then restart the server: it reads them at its start."
)
_RENEW_PUBLIC = (
    "Replace the files that http.public_certificate and http.public_key name; they are taken up while it runs."
)
_RENEW = "Run `extaudit identity renew NAME` and give the new files to their owner, if they still call."

REFUSED: Final = Fault(
    "certificates_refused",
    Severity.ERROR,
    "Certificates or keys are not as the server needs them; it doesn't start, or keeps those it has.",
    "Put right the file that is named, or put it back from a copy. A CA that is lost voids all its certificates.",
)
SERVER_LACKS: Final = Fault(
    "server_certificate_lost",
    Severity.WARNING,
    "The server's own certificate or its key isn't there, or isn't as it was made.",
    "Restart the server: it makes another, of the same host CA, which clients take.",
)
SERVER_ENDS: Final = Fault(
    "server_certificate_ends", Severity.WARNING, "The server's certificate ends soon.", _RENEW_SERVER
)
SERVER_ENDED: Final = Fault(
    "server_certificate_ended", Severity.ERROR, "The server's certificate has ended; no client connects.", _RENEW_SERVER
)
OPERATIONS_ENDS: Final = Fault(
    "operations_certificate_ends",
    Severity.WARNING,
    "The certificate of the operations listener ends within 30 days.",
    _RENEW_OPERATIONS,
)
OPERATIONS_ENDED: Final = Fault(
    "operations_certificate_ended",
    Severity.ERROR,
    "The certificate of the operations listener has ended: probes and the collector of metrics don't connect.",
    _RENEW_OPERATIONS,
)
PUBLIC_ENDS: Final = Fault(
    "public_certificate_ends",
    Severity.WARNING,
    "The certificate of the public listener ends within 30 days; AWS then refuses the service.",
    _RENEW_PUBLIC,
)
PUBLIC_ENDED: Final = Fault(
    "public_certificate_ended",
    Severity.ERROR,
    "The certificate of the public listener has ended: AWS fetches no keys, and refuses the service.",
    _RENEW_PUBLIC,
)
CA_ENDS: Final = Fault(
    "ca_ends",
    Severity.WARNING,
    "A trusted CA ends soon, and with it every certificate that it signed.",
    "Add the CA that replaces it to grpc.host_ca or grpc.user_ca before it ends, then issue new certificates.",
)
CA_ENDED: Final = Fault(
    "ca_ended",
    Severity.ERROR,
    "A trusted CA has ended: nothing that it signed is taken.",
    "Add the CA that replaces it to grpc.host_ca or grpc.user_ca, and take the old one out.",
)
IDENTITY_ENDS: Final = Fault(
    "identity_ends", Severity.WARNING, "A certificate that was issued here ends within 7 days.", _RENEW
)
IDENTITY_ENDS_LATER: Final = Fault(
    "identity_ends_later",
    Severity.NOTICE,
    "A certificate that was issued here ends within 30 days, and a third of its life or less is left.",
    _RENEW,
)
IDENTITY_ENDED: Final = Fault(
    "identity_ended", Severity.NOTICE, "A certificate that was issued here ended within the last 30 days.", _RENEW
)
UNRECORDED: Final = Fault(
    "certificate_unrecorded",
    Severity.WARNING,
    "A certificate that a local CA signed isn't on record: its calls are refused.",
    "Issue another with `extaudit identity issue`. If nobody knows how it came to be, somebody has used the CA's key, "
    "or the state database is older than the certificate: find out which.",
)
CLIENT_CA_DIFFERS: Final = Fault(
    "client_ca_differs",
    Severity.WARNING,
    "identity/ca.crt, with which clients verify the server, isn't the certificate of the local host CA.",
    "Copy identity/host-ca.crt over identity/ca.crt, and wherever ca.crt was given to clients.",
)

FAULTS: Final = (
    REFUSED, SERVER_LACKS, SERVER_ENDS, SERVER_ENDED, OPERATIONS_ENDS, OPERATIONS_ENDED, PUBLIC_ENDS, PUBLIC_ENDED,
    CA_ENDS, CA_ENDED, IDENTITY_ENDS, IDENTITY_ENDS_LATER, IDENTITY_ENDED, UNRECORDED, CLIENT_CA_DIFFERS,
)  # fmt: skip


def check(at: DataAtHand) -> Told:
    """Load what a server would load, and look at every end."""
    http = at.config.http
    yield from _listener(at, "operations", "http.", (http.certificate, http.key), (OPERATIONS_ENDED, OPERATIONS_ENDS))
    public = http.public_certificate, http.public_key
    yield from _listener(at, "public", PUBLIC, public, (PUBLIC_ENDED, PUBLIC_ENDS))
    grpc = at.config.grpc
    try:
        local = load_local_authority(at.directory.path)
        sources = choose_sources(
            local,
            at.config.cluster_name,
            certificate=grpc.certificate,
            key=grpc.key,
            host_cas=grpc.host_ca,
            user_cas=grpc.user_ca,
        )
    except CertificateProblem as problem:
        yield REFUSED.of("identity", str(problem))
        return
    yield from _server(at, sources, local)
    yield from _authorities(at, sources)
    yield from _client_ca(local)
    yield from _issued(at, local)


def _server(at: DataAtHand, sources: CertificateSources, local: LocalAuthority) -> Told:
    try:
        if sources.key == local.folder.key(SERVER) and (lacks := local.server_certificate_lacks()):
            yield SERVER_LACKS.of(f"{local.folder.path.name}/{sources.certificate.name}", lacks)
            return
        # As of its own beginning, so that one that has ended is told as that.
        pair = load_server_pair(sources.certificate, sources.key, datetime.min.replace(tzinfo=UTC))
    except CertificateProblem as problem:
        yield REFUSED.of(sources.certificate.name, str(problem))
        return
    end = pair.certificate.not_valid_after_utc
    yield Fact("server certificate ends", _date(end))
    if end <= at.now:
        yield SERVER_ENDED.of(sources.certificate.name, f"ended on {_date(end)}")
    elif end - at.now <= LATER:
        yield SERVER_ENDS.of(sources.certificate.name, f"ends on {_date(end)}")


def _listener(
    at: DataAtHand, name: str, settings: str, pair: tuple[Path | None, Path | None], faults: tuple[Fault, Fault]
) -> Told:
    """Look at the certificate and key of an HTTP listener, if it has them; `faults`: it has ended, it ends soon."""
    certificate, key = pair
    if certificate is None or key is None:
        return
    subject = f"{settings}certificate {certificate.name}"
    try:
        tls_context(certificate, key, settings)
        end = x509.load_pem_x509_certificates(read_regular(certificate))[0].not_valid_after_utc
    except (ListenerError, OSError, ValueError) as problem:
        yield REFUSED.of(subject, str(problem) if isinstance(problem, ListenerError) else "can't be read as PEM")
        return
    ended, ends = faults
    yield Fact(f"{name} certificate ends", _date(end))
    if end <= at.now:
        yield ended.of(subject, f"ended on {_date(end)}")
    elif end - at.now <= LATER:
        yield ends.of(subject, f"ends on {_date(end)}")


def _authorities(at: DataAtHand, sources: CertificateSources) -> Told:
    try:
        anchors = load_anchors(sources.host_cas, sources.user_cas, sources.local).anchors
    except CertificateProblem as problem:
        yield REFUSED.of("trusted CAs", str(problem))
        return
    yield Fact("trusted CAs", len(anchors))
    for anchor in anchors:
        end = anchor.certificate.not_valid_after_utc
        if _outlived(anchor, anchors) or end - at.now > LATER:
            continue
        subject = f"{anchor.kind.value} CA {subject_text(anchor.certificate)}"
        if end <= at.now:
            yield CA_ENDED.of(subject, f"ended on {_date(end)}")
        else:
            yield CA_ENDS.of(subject, f"ends on {_date(end)}")


def _outlived(anchor: Anchor, anchors: Sequence[Anchor]) -> bool:
    """Whether another certificate of the same key lives longer."""
    end = anchor.certificate.not_valid_after_utc
    return any(other.id == anchor.id and other.certificate.not_valid_after_utc > end for other in anchors)


def _client_ca(local: LocalAuthority) -> Iterator[Finding]:
    path = local.folder.client_ca
    try:
        found = x509.load_pem_x509_certificates(read_regular(path))
    except FileNotFoundError:
        yield CLIENT_CA_DIFFERS.of(path.name, "isn't there")
        return
    except (OSError, ValueError):
        yield CLIENT_CA_DIFFERS.of(path.name, "can't be read as PEM")
        return
    if local.host.certificate not in found:
        yield CLIENT_CA_DIFFERS.of(path.name)


def _issued(at: DataAtHand, local: LocalAuthority) -> Told:
    try:
        issued = at.state.issued()
    except StateFault as fault:
        raise Unexamined("the state database, which has the issued certificates, can't be read") from fault
    yield Fact("issued certificates", len(issued))
    newest = {(each.kind, each.name): each for each in issued}  # oldest first
    for each in newest.values():
        yield from _ending(at, each)
    serials = {each.serial for each in issued}
    for path in sorted(local.folder.path.glob("*.crt")):
        if _is_leaf_of(local, path) and (serial := _serial(path)) not in serials:
            yield UNRECORDED.of(f"{local.folder.path.name}/{path.name}", f"serial {serial}", remedy=_issue_anew(path))


def _ending(at: DataAtHand, cert: IssuedCertificate) -> Iterator[Finding]:
    end, begin = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (cert.expires_ms, cert.not_before_ms))
    subject, left = f"{cert.kind} {cert.name}", end - at.now
    if left <= timedelta(0):
        if -left <= _PAST:
            yield IDENTITY_ENDED.of(subject, f"serial {cert.serial}, ended on {_date(end)}")
    elif left <= SOON and left <= (end - begin) / 2:
        yield IDENTITY_ENDS.of(subject, f"serial {cert.serial}, ends on {_date(end)}")
    elif left <= LATER and left <= (end - begin) / 3:
        yield IDENTITY_ENDS_LATER.of(subject, f"serial {cert.serial}, ends on {_date(end)}")


def _is_leaf_of(local: LocalAuthority, path: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(read_regular(path))
        extension = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (OSError, ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    if x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH not in extension:
        return False
    return any(_issued_by(certificate, authority.certificate) for authority in (local.host, local.user))


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # a bad signature, or a key that doesn't fit
        return False
    return True


def _serial(path: Path) -> str:
    return serial_of(x509.load_pem_x509_certificate(read_regular(path)))


def _issue_anew(certificate: Path) -> str:
    """What to do about a file that `identity issue` would find in its way."""
    files = f"{certificate.name} and {certificate.with_suffix('.key').name}"
    return f"Move {files} away first. {UNRECORDED.remedy}"


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"

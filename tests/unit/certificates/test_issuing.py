"""Issuing and renewing beside a server: what is allowed, what is recorded, what is written."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from rbac.identities import Identity, IdentityKind
from server.certificates import issuing
from server.certificates.anchors import load_anchors
from server.certificates.issued import SerialTable
from server.certificates.local_authority import ensure_local_authority
from server.certificates.problems import CertificateProblem
from server.certificates.resolver import IdentityResolver
from server.data_directory import KEPT_SECRETS, WRAPPING_KEY
from server.state.database import database_path, open_database
from server.state.issued_certificates import SqlIssuedCertificates
from tests.certificates_builder import CLUSTER, CaShape, now


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    engine = open_database(database_path(path))
    ensure_local_authority(path, CLUSTER, SqlIssuedCertificates(engine), now())
    engine.dispose()
    return path


def resolve(data_dir: Path, certificate: Path) -> Identity:
    engine = open_database(database_path(data_dir))
    table = SerialTable(SqlIssuedCertificates(engine))
    table.refresh()
    engine.dispose()
    files = [data_dir / "identity" / f"{stem}.crt" for stem in ("host-ca", "user-ca")]
    local = [x509.load_pem_x509_certificate(file.read_bytes()) for file in files]
    anchors = load_anchors(files[:1], files[1:], local)
    return IdentityResolver(anchors, CLUSTER, table.current).resolve(certificate.read_bytes(), "ipv4:1.1.1.1:1", now())


def test_the_first_administrator_resolves(data_dir: Path) -> None:
    identity = resolve(data_dir, data_dir / "identity" / "admin.crt")
    assert (identity.kind, identity.name) == (IdentityKind.USER, "admin")
    assert identity.roles == {"local-administrator", "editor", "auditor", "importer"}


def test_a_user_certificate_gives_that_user(data_dir: Path, tmp_path: Path) -> None:
    files = issuing.issue_user(data_dir, "alice", ["auditor", "editor"], 7, tmp_path / "out")
    identity = resolve(data_dir, files.certificate)
    assert (identity.kind, identity.name, identity.roles) == (IdentityKind.USER, "alice", {"auditor", "editor"})
    assert identity.certificate_serial == files.record.serial
    assert identity.expires is not None
    assert abs(identity.expires - now() - timedelta(days=7)) < timedelta(minutes=2)
    assert (files.certificate.name, files.key.name) == ("alice.crt", "alice.key")
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert files.ca.read_bytes() == (data_dir / "identity" / "host-ca.crt").read_bytes()


@pytest.mark.parametrize(
    ("roles", "resolved"),
    [
        (["Node"], {"Node"}),
        (["Instance"], {"Instance"}),
        (["Node", "Proxy"], {"Instance", "Node", "Proxy"}),
    ],
)
def test_a_component_certificate_gives_that_component(
    data_dir: Path, tmp_path: Path, roles: list[str], resolved: set[str]
) -> None:
    files = issuing.issue_component(data_dir, "host-1", roles, 30, tmp_path / "out")
    identity = resolve(data_dir, files.certificate)
    assert (identity.kind, identity.name, identity.roles) == (IdentityKind.COMPONENT, "host-1", resolved)


@pytest.mark.parametrize(
    "name", ["x" * 128, "Zoë Müller", "user@example.com", "../../etc/passwd", "host-ca", "CA", "signing-keys"]
)
def test_any_allowed_name_can_be_issued_without_touching_other_files(data_dir: Path, name: str) -> None:
    folder = data_dir / "identity"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    files = issuing.issue_user(data_dir, name, ["auditor"], 1, folder)
    assert resolve(data_dir, files.certificate).name == name
    assert files.certificate.parent == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name in before} == before
    assert files.key.name not in {*KEPT_SECRETS, WRAPPING_KEY}


@pytest.mark.parametrize(
    ("name", "roles", "days"),
    [
        ("", ["auditor"], 1),
        ("x" * 129, ["auditor"], 1),
        ("a\x00b", ["auditor"], 1),
        ("a\u202eb", ["auditor"], 1),
        ("a\u200bb", ["auditor"], 1),
        (" alice", ["auditor"], 1),
        ("Node", ["auditor"], 1),
        ("pROXY", ["auditor"], 1),
        ("Admin", ["auditor"], 1),
        ("alice", ["node"], 1),
        ("alice", ["auditor", "AUTH"], 1),
        ("alice", ["a\nb"], 1),
        ("alice", [], 1),
        ("alice", ["role"] * 65 + [f"role-{n}" for n in range(65)], 1),
        ("alice", [f"{n:0128}" for n in range(60)], 1),
        ("alice", ["auditor"], 0),
        ("alice", ["auditor"], 3651),
        ("alice", ["auditor"], 10**12),
    ],
)
def test_a_user_claim_that_is_not_allowed_leaves_no_trace(
    data_dir: Path, tmp_path: Path, name: str, roles: list[str], days: int
) -> None:
    with pytest.raises(CertificateProblem):
        issuing.issue_user(data_dir, name, roles, days, tmp_path / "out")
    assert [cert.name for cert in issuing.list_issued(data_dir)] == ["admin"]
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("host_id", "roles"),
    [("", ["Node"]), ("a.b", ["Node"]), ("x" * 65, ["Node"]), ("h\n", ["Node"]), ("h", ["node"]), ("h", ["editor"])],
)
def test_a_component_claim_that_is_not_allowed_is_refused(
    data_dir: Path, tmp_path: Path, host_id: str, roles: list[str]
) -> None:
    with pytest.raises(CertificateProblem):
        issuing.issue_component(data_dir, host_id, roles, 1, tmp_path / "out")
    assert len(issuing.list_issued(data_dir)) == 1


def test_nothing_is_good_for_longer_than_the_ca(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir(mode=0o700)
    engine = open_database(database_path(old))
    local = ensure_local_authority(old, CLUSTER, SqlIssuedCertificates(engine), now() - timedelta(days=10))
    engine.dispose()
    files = issuing.issue_user(old, "alice", ["auditor"], 3650, tmp_path / "out")
    issued = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert issued.not_valid_after_utc == local.user.certificate.not_valid_after_utc


def test_the_record_is_durable_before_the_key_is_written(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[bool] = []

    def disk_is_full(*_: object) -> None:
        recorded.append("alice" in [cert.name for cert in issuing.list_issued(data_dir)])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("server.certificates.identity_folder.write_durably", disk_is_full)
    with pytest.raises(CertificateProblem, match="No space left"):
        issuing.issue_user(data_dir, "alice", ["auditor"], 1, tmp_path / "out")
    assert recorded == [True]


def test_without_a_record_there_is_no_key(data_dir: Path, tmp_path: Path) -> None:
    engine = open_database(database_path(data_dir))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER no BEFORE INSERT ON issued_certificates BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    engine.dispose()
    with pytest.raises(CertificateProblem, match="nothing was issued"):
        issuing.issue_user(data_dir, "alice", ["auditor"], 1, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_renewing_keeps_name_and_roles_and_changes_key_and_serial(data_dir: Path, tmp_path: Path) -> None:
    first = issuing.issue_user(data_dir, "alice", ["auditor", "editor"], 1, tmp_path / "out")
    key = first.key.read_bytes()
    second = issuing.renew(data_dir, "alice", tmp_path / "out")
    assert (second.record.name, second.record.roles) == ("alice", ("auditor", "editor"))
    assert second.record.serial != first.record.serial
    assert second.key.read_bytes() != key
    assert resolve(data_dir, second.certificate).roles == {"auditor", "editor"}


def test_the_administrator_is_renewed_in_place(data_dir: Path) -> None:
    files = issuing.renew(data_dir, "admin", data_dir / "identity")
    assert resolve(data_dir, files.certificate).roles == {"local-administrator", "editor", "auditor", "importer"}
    assert len(issuing.list_issued(data_dir)) == 2


def test_what_was_never_issued_is_not_renewed(data_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(CertificateProblem, match="no certificate was issued"):
        issuing.renew(data_dir, "bob", tmp_path / "out")


def test_a_name_of_a_user_and_a_component_is_renewed_by_kind(data_dir: Path, tmp_path: Path) -> None:
    issuing.issue_user(data_dir, "web-1", ["auditor"], 1, tmp_path / "user")
    issuing.issue_component(data_dir, "web-1", ["Node"], 1, tmp_path / "component")
    with pytest.raises(CertificateProblem, match="which kind"):
        issuing.renew(data_dir, "web-1", tmp_path / "user")
    files = issuing.renew(data_dir, "web-1", tmp_path / "component", kind=IdentityKind.COMPONENT)
    assert resolve(data_dir, files.certificate).roles == {"Node"}
    with pytest.raises(CertificateProblem, match="another identity's"):
        issuing.renew(data_dir, "web-1", tmp_path / "component", kind=IdentityKind.USER)


def test_files_that_are_there_are_not_overwritten(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    issuing.issue_user(data_dir, "alice", ["auditor"], 1, out)
    with pytest.raises(CertificateProblem, match="holds alice"):
        issuing.issue_user(data_dir, "alice", ["auditor"], 1, out)
    (out / "ca.crt").write_bytes(CaShape().make().pem)
    with pytest.raises(CertificateProblem, match=r"another ca\.crt"):
        issuing.issue_user(data_dir, "bob", ["auditor"], 1, out)
    assert len(issuing.list_issued(data_dir)) == 2


def test_loose_modes_and_missing_authorities_are_refused(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "identity" / "user-ca.key").chmod(0o644)
    with pytest.raises(CertificateProblem, match="chmod 600"):
        issuing.issue_user(data_dir, "alice", ["auditor"], 1, tmp_path / "out")
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o700)
    for act in (lambda: issuing.list_issued(empty), lambda: issuing.renew(empty, "admin", empty)):
        with pytest.raises(CertificateProblem, match="start the server once"):
            act()
    assert list(empty.iterdir()) == []
    with pytest.raises(CertificateProblem, match="there is no data directory"):
        issuing.list_issued(empty / "none")
    database_path(data_dir).unlink()
    with pytest.raises(CertificateProblem, match="the state database is lost"):
        issuing.list_issued(data_dir)

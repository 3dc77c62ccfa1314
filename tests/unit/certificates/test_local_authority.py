"""What the first start makes, what later starts mend, and what a crash in between leaves."""

from __future__ import annotations

import shlex
import stat
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from server.certificates.local_authority import ensure_local_authority, load_local_authority
from server.certificates.modes import check_modes
from server.certificates.problems import CertificateProblem
from server.files import AppendFile, DiskFiles
from server.state.issued_certificates import IssuedCertificate
from tests.certificates_builder import CLUSTER, CaShape, now

PAIRS = ("admin", "host-ca", "server", "user-ca")
ALL_FILES = sorted(["ca.crt", *(f"{stem}.{end}" for stem in PAIRS for end in ("crt", "key"))])


class Record:
    """The record of issued certificates, in memory; the real one has its own tests."""

    def __init__(self) -> None:
        self.certs: list[IssuedCertificate] = []

    def record(self, cert: IssuedCertificate, *, renews: bool = False) -> None:
        self.certs.append(cert)

    def all(self) -> list[IssuedCertificate]:
        return self.certs

    def serials(self) -> frozenset[str]:
        return frozenset(cert.serial for cert in self.certs)


class PowerCut(Exception):
    """The machine stops."""


class FilesUntilPowerCut(DiskFiles):
    """The file system of a machine that stops before its n-th change."""

    def __init__(self, changes: int) -> None:
        self.left = changes

    def change(self) -> None:
        if self.left == 0:
            raise PowerCut
        self.left -= 1

    def open_append(self, path: Path) -> AppendFile:
        self.change()
        return super().open_append(path)

    def make_folder(self, folder: Path) -> None:
        self.change()
        super().make_folder(folder)

    def rename(self, source: Path, target: Path) -> None:
        self.change()
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self.change()
        super().sync_folder(folder)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    return path


def contents(data_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((data_dir / "identity").iterdir())}


def certificate(data_dir: Path, stem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((data_dir / "identity" / f"{stem}.crt").read_bytes())


def test_the_first_start_makes_all_files_private(data_dir: Path) -> None:
    ensure_local_authority(data_dir, CLUSTER, Record(), now())
    folder = data_dir / "identity"
    assert sorted(path.name for path in folder.iterdir()) == ALL_FILES
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    check_modes(data_dir)


def test_the_cas_are_two_and_sign_leaves_only(data_dir: Path) -> None:
    local = ensure_local_authority(data_dir, CLUSTER, Record(), now())
    for authority in (local.host, local.user):
        extensions = authority.certificate.extensions
        assert extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
        assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        assert authority.cluster == CLUSTER
        assert authority.certificate.not_valid_after_utc - now() > timedelta(days=3649)
    assert local.host.key.public_key() != local.user.key.public_key()


@pytest.mark.parametrize("host", ["localhost", "teleport.cluster.local"])
def test_clients_can_verify_the_server_by_name(data_dir: Path, host: str) -> None:
    ensure_local_authority(data_dir, CLUSTER, Record(), now())
    server, ca = certificate(data_dir, "server"), certificate(data_dir, "ca")
    PolicyBuilder().store(Store([ca])).build_server_verifier(x509.DNSName(host)).verify(server, [])
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_the_first_administrator_is_a_recorded_user_for_30_days(data_dir: Path) -> None:
    record = Record()
    moment = now()
    ensure_local_authority(data_dir, CLUSTER, record, moment)
    admin = certificate(data_dir, "admin")
    roles = [str(value.value) for value in admin.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    usage = admin.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert roles == ["local-administrator", "editor", "auditor", "importer"]
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert admin.not_valid_after_utc == moment + timedelta(days=30)
    [cert] = record.certs
    assert (cert.kind, cert.name, cert.roles) == (
        "user",
        "admin",
        ("local-administrator", "editor", "auditor", "importer"),
    )
    assert cert.serial == f"{admin.serial_number:x}"
    assert cert.expires_ms == int(admin.not_valid_after_utc.timestamp() * 1000)


def test_a_second_start_changes_nothing(data_dir: Path) -> None:
    record = Record()
    ensure_local_authority(data_dir, CLUSTER, record, now())
    before = contents(data_dir)
    ensure_local_authority(data_dir, CLUSTER, record, now())
    assert contents(data_dir) == before
    assert len(record.certs) == 1


def crashes(data_dir: Path, record: Record) -> Iterator[int]:
    """Stop the first start before each of its changes in turn, in a folder of its own each time."""
    for changes in range(200):
        folder = data_dir / str(changes)
        folder.mkdir(mode=0o700)
        try:
            ensure_local_authority(folder, CLUSTER, record, now(), FilesUntilPowerCut(changes))
        except PowerCut:
            yield changes
        else:
            return
    raise AssertionError("the first start never ended")


def test_a_crash_after_any_step_is_mended_by_the_next_start(data_dir: Path) -> None:
    record = Record()
    steps = list(crashes(data_dir, record))
    assert len(steps) > 25
    for step in steps:
        folder = data_dir / str(step)
        before = contents(folder) if (folder / "identity").exists() else {}
        local = ensure_local_authority(folder, CLUSTER, record, now())
        after = contents(folder)
        assert sorted(after) == ALL_FILES, step
        assert after["ca.crt"] == after["host-ca.crt"]
        kept = {name for name in before if name.startswith(("host-ca", "user-ca")) and not name.endswith(".part")}
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        admin = certificate(folder, "admin")
        admin.verify_directly_issued_by(local.user.certificate)
        key = local.folder.read_key("admin")
        assert key is not None
        assert key.public_key() == admin.public_key()
        assert f"{admin.serial_number:x}" in record.serials()


def test_a_key_that_a_crash_left_under_a_temporary_name_is_removed(data_dir: Path) -> None:
    local = ensure_local_authority(data_dir, CLUSTER, Record(), now())
    local.folder.path.joinpath("alice.key.part").touch(mode=0o600)
    ensure_local_authority(data_dir, CLUSTER, Record(), now())
    assert sorted(contents(data_dir)) == ALL_FILES


def test_a_half_renewed_administrator_is_made_anew(data_dir: Path) -> None:
    record = Record()
    local = ensure_local_authority(data_dir, CLUSTER, record, now())
    local.folder.write_key("admin", CaShape().make().key)
    ensure_local_authority(data_dir, CLUSTER, record, now())
    key = local.folder.read_key("admin")
    assert key is not None
    assert key.public_key() == certificate(data_dir, "admin").public_key()


def test_an_administrator_taken_away_does_not_come_back(data_dir: Path) -> None:
    record = Record()
    local = ensure_local_authority(data_dir, CLUSTER, record, now())
    local.folder.key("admin").unlink()
    local.folder.certificate("admin").unlink()
    ensure_local_authority(data_dir, CLUSTER, record, now())
    assert not local.folder.key("admin").exists()


@pytest.mark.parametrize(("days", "renewed"), [(0, False), (243, False), (244, True), (400, True)])
def test_the_server_certificate_is_renewed_in_its_last_third(data_dir: Path, days: int, renewed: bool) -> None:
    local = ensure_local_authority(data_dir, CLUSTER, Record(), now())
    before = contents(data_dir)
    assert local.renew_server_certificate(now() + timedelta(days=days)) is renewed
    after = contents(data_dir)
    assert {name for name in after if after[name] != before[name]} == ({"server.crt"} if renewed else set())


def test_a_server_certificate_of_another_ca_or_key_is_replaced(data_dir: Path) -> None:
    local = ensure_local_authority(data_dir, CLUSTER, Record(), now())
    foreign = CaShape().make().server()
    local.folder.write_certificate("server", foreign.certificate)
    assert local.renew_server_certificate(now())
    local.folder.write_key("server", foreign.key)
    assert local.renew_server_certificate(now())
    local.folder.write_certificate("server", foreign.certificate)
    assert local.renew_server_certificate(now())
    certificate(data_dir, "server").verify_directly_issued_by(local.host.certificate)


@pytest.mark.parametrize("name", ["host-ca.crt", "host-ca.key", "user-ca.crt", "user-ca.key"])
def test_a_damaged_ca_is_named_and_never_replaced(data_dir: Path, name: str) -> None:
    ensure_local_authority(data_dir, CLUSTER, Record(), now())
    (data_dir / "identity" / name).write_bytes(b"damaged")
    before = contents(data_dir)
    with pytest.raises(CertificateProblem, match=f"identity/{name} "):
        ensure_local_authority(data_dir, CLUSTER, Record(), now())
    assert contents(data_dir) == before


def test_a_ca_without_its_key_or_with_anothers_is_refused(data_dir: Path) -> None:
    local = ensure_local_authority(data_dir, CLUSTER, Record(), now())
    local.folder.write_key("user-ca", local.host.key)
    with pytest.raises(CertificateProblem, match="belong together"):
        load_local_authority(data_dir)
    local.folder.key("user-ca").unlink()
    with pytest.raises(CertificateProblem, match=r"user-ca\.key is missing"):
        ensure_local_authority(data_dir, CLUSTER, Record(), now())
    with pytest.raises(CertificateProblem, match=r"user-ca\.key is missing .* restore it from a copy"):
        load_local_authority(data_dir)


def test_there_is_no_authority_before_the_first_start(data_dir: Path) -> None:
    with pytest.raises(CertificateProblem, match="start the server once"):
        load_local_authority(data_dir)
    with pytest.raises(CertificateProblem, match=f"there is no data directory {data_dir}/none"):
        load_local_authority(data_dir / "none")


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o610])
@pytest.mark.parametrize(
    "name",
    [
        "identity/host-ca.key",
        "identity/user-ca.key",
        "identity/server.key",
        "identity/admin.key",
        "state.db",
        "identity",
        "",
    ],
)
def test_looser_modes_are_refused_with_a_remedy_that_works_wherever_it_is_run(
    data_dir: Path, name: str, mode: int, tmp_path: Path
) -> None:
    data_dir = data_dir.rename(tmp_path / "with a 'space'")
    ensure_local_authority(data_dir, CLUSTER, Record(), now())
    (data_dir / "state.db").touch(mode=0o600)
    check_modes(data_dir)
    (data_dir / name).chmod(mode | 0o100 if (data_dir / name).is_dir() else mode)
    with pytest.raises(CertificateProblem, match="run chmod") as caught:
        check_modes(data_dir)
    subprocess.run(shlex.split(str(caught.value).partition(": run ")[2]), check=True, cwd="/")
    check_modes(data_dir)


def test_what_is_no_file_where_one_belongs_is_no_question_of_modes(data_dir: Path) -> None:
    ensure_local_authority(data_dir, CLUSTER, Record(), now())
    (data_dir / "state.db").mkdir(mode=0o755)
    check_modes(data_dir)

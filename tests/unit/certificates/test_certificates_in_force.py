"""Which files are trusted, and what a change of them does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from server.certificates.anchors import load_anchors
from server.certificates.certificates_in_force import Certificates
from server.certificates.local_authority import LocalAuthority, ensure_local_authority
from server.certificates.problems import CertificateProblem
from server.certificates.server_credentials import load_server_pair
from server.certificates.sources import CertificateSources, choose_sources
from server.errors import Unauthenticated
from tests.certificates_builder import CLUSTER, Ca, CaShape, key_usage, now, put
from tests.unit.certificates.test_local_authority import Record

PEER = "ipv4:127.0.0.1:1"


@dataclass
class Files:
    """A server pair, a host CA and a user CA in files, loaded."""

    folder: Path
    host: Ca = field(default_factory=CaShape().make)
    user: Ca = field(default_factory=CaShape().make)
    problems: list[str] = field(default_factory=list)

    def load(self) -> Certificates:
        certificate, key = self.host.server().write(self.folder, "server")
        self.host_file, self.user_file = self.folder / "hosts.pem", self.folder / "users.pem"
        self.host_file.write_bytes(self.host.pem)
        self.user_file.write_bytes(self.user.pem)
        sources = CertificateSources(certificate, key, (self.host_file,), (self.user_file,))
        return Certificates(sources, CLUSTER, frozenset, self.problems.append)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_removed_ca_is_trusted_no_more_and_an_added_one_is(files: Files) -> None:
    certificates, other = files.load(), CaShape().make()
    old, new = files.user.user().pem, other.user("bob").pem
    assert certificates.resolve(old, PEER, now()).name == "alice"
    put(files.user_file, files.user.pem + other.pem)
    assert certificates.reload_if_changed()
    assert {certificates.resolve(pem, PEER, now()).name for pem in (old, new)} == {"alice", "bob"}
    put(files.user_file, other.pem)
    assert certificates.reload_if_changed()
    assert certificates.resolve(new, PEER, now()).name == "bob"
    with pytest.raises(Unauthenticated):
        certificates.resolve(old, PEER, now())


def test_nothing_changed_is_nothing_loaded(files: Files) -> None:
    certificates = files.load()
    assert not certificates.reload_if_changed()


def test_a_broken_file_keeps_the_old_is_told_once_and_holds_up_nothing_else(files: Files) -> None:
    certificates = files.load()
    pem = files.user.user().pem
    put(files.user_file, b"broken")
    assert not certificates.reload_if_changed()
    assert not certificates.reload_if_changed()
    assert files.problems == ["the CA file users.pem holds no well-formed PEM certificates"]
    assert certificates.problems() == tuple(files.problems)
    assert certificates.resolve(pem, PEER, now()).name == "alice"
    files.host.server().write(files.folder, "server")
    assert certificates.reload_if_changed()
    put(files.user_file, files.user.pem)
    assert certificates.reload_if_changed()
    assert certificates.problems() == ()


def test_a_half_replaced_server_pair_waits_for_its_other_half(files: Files) -> None:
    certificates = files.load()
    before = certificates.certificate_states()
    new = files.host.server()
    put(files.folder / "server.key", new.key_pem)
    assert not certificates.reload_if_changed()
    assert "don't belong together" in files.problems[0]
    put(files.folder / "server.crt", new.pem)
    assert certificates.reload_if_changed()
    assert certificates.problems() == ()
    assert before[1:] == certificates.certificate_states()[1:]


def test_states_name_every_certificate_in_force(files: Files) -> None:
    states = files.load().certificate_states()
    assert [state.use for state in states] == ["server", "host_ca", "user_ca"]
    assert states[1].subject == "CN=a CA,O=example.test"
    assert states[1].expires_ms == int(files.host.certificate.not_valid_after_utc.timestamp() * 1000)


BROKEN: dict[str, tuple[Callable[[Ca], bytes], str]] = {
    "no PEM": (lambda _: b"nothing", "well-formed"),
    "no CA": (lambda ca: ca.pem + ca.user().pem, "not a CA's"),
    "no CA by its constraints": (lambda _: CaShape(is_ca=False).make().pem, "not a CA's"),
    "no CA by its key usage": (
        lambda _: CaShape(extension=key_usage(signs_certificates=False)).make().pem,
        "not a CA's",
    ),
    "too large": (lambda ca: ca.pem + b"\n" * (1 << 20), "larger than"),
    "too many": (lambda ca: ca.pem * 65, "more than 64"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_ca_file_is_refused(tmp_path: Path, case: str) -> None:
    make, text = BROKEN[case]
    path = tmp_path / "cas.pem"
    path.write_bytes(make(CaShape().make()))
    with pytest.raises(CertificateProblem, match=text) as caught:
        load_anchors([path], [])
    assert str(tmp_path) not in str(caught.value)


def test_too_many_or_missing_ca_files_are_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(CertificateProblem, match=r"missing\.pem can't be read"):
        load_anchors([missing], [])
    with pytest.raises(CertificateProblem, match="more than 32"):
        load_anchors([missing] * 33, [])
    with pytest.raises(CertificateProblem, match="no CA"):
        load_anchors([], [])


def test_one_key_is_no_host_ca_and_user_ca_at_once(tmp_path: Path) -> None:
    ca = CaShape().make()
    certificate, _ = ca.write(tmp_path, "ca")
    with pytest.raises(CertificateProblem, match="same CA key"):
        load_anchors([certificate], [certificate])
    assert [anchor.id for anchor in load_anchors([certificate, certificate], []).anchors] == [ca.id, ca.id]


@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        (b"x", None, "not a PEM certificate"),
        (None, b"x", "not an unencrypted PEM key"),
        (CaShape().make().pem, None, "belong together"),
        (b"x" * ((1 << 20) + 1), None, "larger than"),
    ],
)
def test_a_server_pair_is_refused(tmp_path: Path, certificate: bytes | None, key: bytes | None, text: str) -> None:
    paths = CaShape().make().server().write(tmp_path, "server")
    for path, content in zip(paths, (certificate, key), strict=True):
        if content is not None:
            path.write_bytes(content)
    with pytest.raises(CertificateProblem, match=text):
        load_server_pair(*paths, now())


def test_an_expired_server_certificate_is_refused(tmp_path: Path) -> None:
    pair = CaShape().make().user(ends=now())
    with pytest.raises(CertificateProblem, match="has expired"):
        load_server_pair(*pair.write(tmp_path, "server"), now().replace(year=now().year + 1))


@pytest.fixture
def local(tmp_path: Path) -> LocalAuthority:
    return ensure_local_authority(tmp_path, CLUSTER, Record(), now())


def test_once_a_ca_is_configured_no_local_one_is_trusted(local: LocalAuthority, tmp_path: Path) -> None:
    other = CaShape().make().write(tmp_path, "other")[0]
    assert load(choose_sources(local, CLUSTER)) == {True}
    assert load(choose_sources(local, CLUSTER, host_cas=[other])) == {False}
    assert load(choose_sources(local, CLUSTER, user_cas=[other])) == {False}


def test_a_local_ca_that_is_listed_still_needs_its_serials_on_record(local: LocalAuthority) -> None:
    assert load(choose_sources(local, CLUSTER, user_cas=[local.folder.certificate("user-ca")])) == {True}


def load(sources: CertificateSources) -> set[bool]:
    return {anchor.local for anchor in load_anchors(sources.host_cas, sources.user_cas, sources.local).anchors}


def test_local_cas_of_another_cluster_are_not_trusted(local: LocalAuthority, tmp_path: Path) -> None:
    with pytest.raises(CertificateProblem, match="cluster"):
        choose_sources(local, "other.test")
    assert choose_sources(local, "other.test", host_cas=[tmp_path / "x"]).host_cas == (tmp_path / "x",)
    with pytest.raises(CertificateProblem, match="together"):
        choose_sources(local, CLUSTER, key=tmp_path / "x")

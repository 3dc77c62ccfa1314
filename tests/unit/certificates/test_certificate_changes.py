"""A change of what is in force is told with what went and what came, whoever looked at the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from server.certificates.certificates_in_force import Certificates, StateOfCertificate
from server.certificates.sources import CertificateSources
from tests.certificates_builder import CLUSTER, CaShape, put

Told = list[tuple[Sequence[StateOfCertificate], Sequence[StateOfCertificate]]]


def load(folder: Path, told: Told, clock: list[float]) -> Certificates:
    host, user = CaShape().make(), CaShape().make()
    certificate, key = host.server().write(folder, "server")
    (folder / "hosts.pem").write_bytes(host.pem)
    (folder / "users.pem").write_bytes(user.pem)
    sources = CertificateSources(certificate, key, (folder / "hosts.pem",), (folder / "users.pem",))
    return Certificates(
        sources,
        CLUSTER,
        frozenset,
        lambda _: None,
        on_change=lambda removed, added: told.append((removed, added)),
        clock=lambda: clock[0],
    )


def test_a_changed_ca_is_told_with_its_digest_also_when_a_handshake_saw_it_first(tmp_path: Path) -> None:
    told: Told = []
    clock = [0.0]
    certificates, other = load(tmp_path, told, clock), CaShape().make()
    before = certificates.certificate_states()
    put(tmp_path / "users.pem", other.pem)
    clock[0] = 10.0
    certificates._at_handshake()
    [(removed, added)] = told
    assert list(removed) == before[2:]
    assert [(state.use, len(state.sha256)) for state in added] == [("user_ca", 64)]
    assert added[0].sha256 != removed[0].sha256
    assert not certificates.reload_if_changed()
    assert len(told) == 1


def test_a_file_that_was_only_written_anew_is_no_change(tmp_path: Path) -> None:
    told: Told = []
    certificates = load(tmp_path, told, [0.0])
    path = tmp_path / "users.pem"
    put(path, path.read_bytes() + b"\n")
    assert certificates.reload_if_changed()
    assert told == []

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography import x509
from extaudit_cli.main import run

from server.certificates.local_authority import ensure_local_authority
from server.state.database import database_path, open_database
from server.state.issued_certificates import SqlIssuedCertificates


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory as the first start of a server leaves it, as far as identities go."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    engine = open_database(database_path(folder))
    ensure_local_authority(folder, "cluster", SqlIssuedCertificates(engine), datetime.now(UTC))
    engine.dispose()
    return folder


def test_a_certificate_is_issued_listed_and_renewed(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--data-dir", str(data_dir)]
    out = [*place, "--out-dir", str(tmp_path / "alice"), "--output", "json"]
    assert run(["identity", "issue", "alice", "--role", "auditor", "--role", "editor", "--days", "5", *out]) == 0
    issued = json.loads(capsys.readouterr().out)
    assert issued["issued"]["roles"] == ["auditor", "editor"]
    certificate = x509.load_pem_x509_certificate(Path(issued["cert"]).read_bytes())
    assert format(certificate.serial_number, "x") == issued["issued"]["serial"]
    assert run(["identity", "renew", "alice", *out]) == 0
    renewed = json.loads(capsys.readouterr().out)
    assert renewed["issued"]["serial"] != issued["issued"]["serial"]
    assert run(["identity", "list", *place, "--output", "jsonl"]) == 0
    names = [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()]
    assert names == ["admin", "alice", "alice"]
    assert run(["identity", "list", *place]) == 0
    assert "auditor, editor" in capsys.readouterr().out


def test_a_component_is_of_its_own_kind(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = "4f1c2b6e-8a53-4d0e-9a43-3f0f8d1f6c11"
    out = ["--data-dir", str(data_dir), "--out-dir", str(tmp_path / "host"), "--output", "json"]
    assert run(["identity", "issue", host, "--component", "--role", "Auth", *out]) == 0
    assert json.loads(capsys.readouterr().out)["issued"]["kind"] == "component"
    assert run(["identity", "renew", host, "--kind", "user", *out]) == 1
    assert run(["identity", "renew", host, "--kind", "component", *out]) == 0


def test_a_problem_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["identity", "list", "--data-dir", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ")
    assert len(captured.err.splitlines()) == 1


def test_serve_gets_the_flags_that_were_given_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def serve(options: dict[str, Any]) -> int:
        given.append(options)
        return 7

    stand_in = ModuleType("server.__main__")  # serving for real is what the end-to-end tests do
    stand_in.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "server.__main__", stand_in)
    assert run(["serve", "--data-dir", "d", "--grpc-listen", "127.0.0.1:0"]) == 7
    assert given == [{"data_dir": "d", "grpc_listen": "127.0.0.1:0"}]


def test_the_help_of_serve_shows_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    from server.config import options

    assert run(["serve", "--help"]) == 0
    text = capsys.readouterr().out
    assert [option.name for option in options() if option.name not in text] == []

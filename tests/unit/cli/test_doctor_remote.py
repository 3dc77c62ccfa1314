"""What the doctor finds of a service over the network, by its name, and nothing where nothing is wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from extaudit.v1.status_service_pb2 import GetStatusResponse
from extaudit_cli.doctor_remote import REMOTE_CHECKS
from extaudit_cli.main import run
from extaudit_client import handshake

from tests.unit.client.certificates import Pki, make_pki
from tests.unit.client.fake_service import FakeService, serve

PLANTS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any], str]] = {
    "served_certificate_ends": ({"server_to": 0.3}, {}, "127.0.0.1:"),
    "own_certificate_ends": ({"client_to": 0.3}, {}, "client.crt"),
    "own_certificate_ended": ({"client_to": -0.1}, {}, "client.crt"),
    "service_not_serving": ({}, {"serving": False}, "127.0.0.1:"),
    "service_events_lost": (
        {},
        {"journal": {"holes": [{"log_id": "log1", "first_sequence": 4, "last_sequence": 6}]}},
        "log1",
    ),
    "version_differs": ({}, {"version": "0.0.9"}, "127.0.0.1:"),
}
"""Fault → what is other than usual of certificates and status, and what it is wrong with."""
ELSEWHERE = {
    "service_unreachable": "tests/e2e/test_doctor.py",
    "service_problem": "tests/e2e/test_doctor.py",
    "service_alert": "tests/e2e/test_doctor.py",
    "clocks_differ": "tests/e2e/test_doctor.py",
    "storage_check_failed": "tests/connection/test_doctor_of_storage.py",
    "storage_drifted": "tests/connection/test_doctor_of_storage.py",
}


def diagnosed(
    pki: Pki, capsys: pytest.CaptureFixture[str], status: Mapping[str, Any], *, cert: Pki | None = None
) -> tuple[int, list[dict[str, str]]]:
    """The exit code and findings of a service of these certificates that says this of itself."""
    caller = cert or pki
    said = GetStatusResponse(**{"serving": True, "version": version("extaudit"), **status})
    with serve(FakeService(status=lambda: said), pki) as fake:
        files = [f"--ca={caller.ca}", f"--cert={caller.cert}", f"--key={caller.key}"]
        code = run(["doctor", "--address", fake.address, *files, f"--ca={pki.ca}", "--output", "json"])
        report = json.loads(capsys.readouterr().out)
    assert report["address"] == fake.address
    return code, [finding for check in report["checks"] for finding in check["findings"]]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no data directory is


def test_every_fault_is_planted_here_or_elsewhere() -> None:
    assert PLANTS.keys() | ELSEWHERE.keys() == {fault.name for check in REMOTE_CHECKS for fault in check.faults}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found_by_its_name(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificates, status, subject = PLANTS[name]
    code, findings = diagnosed(make_pki(tmp_path / "pki", **certificates), capsys, status)
    found = next(each for each in findings if each["name"] == name)
    assert subject in found["subject"]
    assert found["remedy"]
    assert (code == 1) == any(each["severity"] == "error" for each in findings)


def test_nothing_is_found_where_nothing_is_wrong_though_certificates_are_short_lived(
    pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diagnosed(pki, capsys, {}) == (0, [])


def test_a_service_that_never_answers_is_told_in_words(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(handshake, "_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        files = [f"--ca={pki.ca}", f"--cert={pki.cert}", f"--key={pki.key}"]
        assert run(["doctor", "--address", address, *files, "--check", "connection"]) == 1
    assert f"no TLS with {address}: no answer within 0.05 s" in capsys.readouterr().out


def test_a_certificate_that_the_service_does_not_take_is_no_good_connection(
    pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_pki(tmp_path / "other")
    code, findings = diagnosed(pki, capsys, {}, cert=other)
    assert (code, [each["name"] for each in findings]) == (1, ["service_unreachable"] * 2)
    assert f"may not trust the signer of {other.cert}" in findings[0]["detail"]

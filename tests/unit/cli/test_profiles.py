"""`extaudit profile`, and what commands do with a profile."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest
from extaudit.v1 import status_service_pb2
from extaudit_cli.main import run

from server.data_directory import DataDirectory
from tests.unit.cli.conftest import Command
from tests.unit.client.certificates import Pki
from tests.unit.client.fake_service import FakeService, Refused

Captured = pytest.CaptureFixture[str]


def add(pki: Pki, address: str, *more: str) -> int:
    files = ["--ca", str(pki.ca), "--cert", str(pki.cert), "--key", str(pki.key)]
    return run(["profile", "add", "prod", "--address", address, *files, *more])


def test_a_profile_is_added_shown_used_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["profile", "add", "a", "--address", "h:1", "--ca", "ca.crt", "--default-output", "json"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("profile a is kept in ")
    assert f"there is no file {tmp_path}/ca.crt yet" in captured.err
    assert run(["profile", "show", "a", "--output", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    expected = {"name": "a", "used": False, "address": "h:1", "ca": f"{tmp_path}/ca.crt", "output": "json"}
    assert shown == expected
    assert run(["profile", "use", "a"]) == 0
    assert run(["profile", "list", "--output", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == expected | {"used": True}
    assert run(["profile", "use", "none"]) == 0
    assert run(["profile", "show"]) == 1
    assert run(["profile", "remove", "a"]) == 0
    capsys.readouterr()
    assert run(["profile", "list"]) == 0
    assert capsys.readouterr().err.startswith("no profiles; add one: ")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["add", "a b", "--address", "h:1"], 1, "'a b' is no name"),
        (["add", "a", "--address", "h"], 2, "host:port"),
        (["add", "a", "--token-file", "t", "--cert", "c", "--key", "k"], 1, "not both"),
        (["add", "a", "--cert", "c"], 1, "belong together"),
        (["add", "b", "--address", "h:1"], 1, "there is a profile b already"),
        (["add", "a"], 2, "keeps something"),
        (["show", "a"], 1, "no profile 'a'; there are b"),
        (["use", "a"], 1, "no profile 'a'; there are b"),
        (["remove", "a"], 1, "no profile 'a'; there are b"),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_is_said(
    arguments: list[str], code: int, told: str, config_home: Path, capsys: Captured
) -> None:
    assert run(["profile", "add", "b", "--default-output", "json"]) == 0
    file = config_home / "extaudit" / "profiles.toml"
    before = file.read_bytes()
    capsys.readouterr()
    assert run(["profile", *arguments]) == code
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""
    assert file.read_bytes() == before


def test_a_profile_connects_and_status_says_which_and_where(service: FakeService, pki: Pki, capsys: Captured) -> None:
    service.status = lambda: status_service_pb2.GetStatusResponse(serving=True)
    assert add(pki, service.address, "--use") == 0
    for arguments in ([], ["--profile", "prod"]):
        capsys.readouterr()
        assert run(["status", "--output", "json", *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["reached"] == {"address": service.address, "profile": "prod"}
    assert run(["status"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["address", service.address] in lines
    assert ["profile", "prod"] in lines


def test_a_profile_says_the_form_of_output_unless_the_flag_does(
    service: FakeService, pki: Pki, capsys: Captured
) -> None:
    service.status = lambda: status_service_pb2.GetStatusResponse(serving=True)
    assert add(pki, service.address, "--use", "--default-output", "json") == 0
    capsys.readouterr()
    assert run(["status"]) == 0
    assert capsys.readouterr().out.startswith("{")
    assert run(["status", "--output", "table"]) == 0
    assert capsys.readouterr().out.startswith("SERVICE")


def test_an_error_says_the_profile_and_the_address(
    service: FakeService, pki: Pki, config_home: Path, capsys: Captured
) -> None:
    def refuse() -> status_service_pb2.GetStatusResponse:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "LOCKED", "no")

    service.status = refuse
    assert add(pki, service.address, "--use") == 0
    capsys.readouterr()
    assert run(["status"]) == 1
    assert capsys.readouterr().err == f"Error: no (LOCKED) [profile prod, {service.address}]\n"
    (config_home / "extaudit" / "profiles.toml").chmod(0o666)
    assert run(["status"]) == 1
    assert "others may write" in capsys.readouterr().err


def test_without_a_profile_an_error_says_no_more(service: FakeService, extaudit: Command) -> None:
    def refuse() -> status_service_pb2.GetStatusResponse:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, "LOCKED", "no")

    service.status = refuse
    assert extaudit("status").err == "Error: no (LOCKED)\n"


def test_a_profile_that_is_not_there_is_one_line(capsys: Captured) -> None:
    assert run(["status", "--profile", "gone"]) == 1
    assert capsys.readouterr().err == "Error: there is no profile 'gone'; see: extaudit profile add --help\n"


@pytest.mark.parametrize("by", ["flag", "variable", "profile"])
def test_a_folder_that_is_named_must_have_a_service_whoever_else_answers(
    service: FakeService, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, by: str
) -> None:
    """The ready.json of a copy, or of a server that was killed, names what another service may answer at."""
    service.status = lambda: status_service_pb2.GetStatusResponse(serving=True)
    directory = DataDirectory(tmp_path / "restored")
    directory.path.mkdir()
    assert run(["profile", "add", "r", "--data-dir", str(directory.path)]) == 0
    if by == "variable":
        monkeypatch.setenv("EXTAUDIT_DATA_DIR", str(directory.path))
    status = ["status", *{"flag": ["--data-dir", str(directory.path)], "profile": ["--profile", "r"]}.get(by, [])]
    capsys.readouterr()
    ready = {"grpc": service.address, "ca": str(pki.ca), "cert": str(pki.cert), "key": str(pki.key)}
    for content in (None, ready):
        if content:
            directory.ready_file.write_text(json.dumps(content))
        assert run(status) == 1
        assert f"no service runs on {directory.path}; give --address" in capsys.readouterr().err
    with directory.acquire():
        assert run(status) == 0
        directory.ready_file.unlink()
        assert run(status) == 1
        assert "there is no ready.json" in capsys.readouterr().err

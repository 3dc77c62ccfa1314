"""`extaudit serve --check` finds what a start would refuse, all of it at once, and touches nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from extaudit_cli.main import run

from rbac.errors import PolicyError
from server.app import build
from server.certificates.problems import CertificateProblem
from server.config import ConfigProblems, load_config
from server.data_directory import DataDirectoryProblem
from server.http_api.listener import ListenerError
from server.state.database import StateFault
from server.state.migrations import NewerSchema
from server.tokens.jwks import JwksProblem
from tests.certificates_builder import CaShape
from tests.running_app import running_app
from tests.unit.integrations.keys_under_test import KeysUnderTest

REFUSALS = (
    CertificateProblem, ConfigProblems, DataDirectoryProblem, JwksProblem, ListenerError, NewerSchema, PolicyError,
    StateFault,
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that a server has stopped with."""
    data_dir = tmp_path_factory.mktemp("made") / "data"
    with running_app(data_dir):
        pass
    return data_dir


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the data directory, two server pairs, a CA, and a file of settings."""
    shutil.copytree(made, tmp_path / "data")
    ca = CaShape().make()
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    for name in "one", "two":
        ca.server().write(tmp_path, name)
    (tmp_path / "config.toml").write_text("")
    tmp_path.chmod(0o755)  # or it wouldn't matter who else may write the files in it
    return tmp_path


def settings_of(place: Path, text: str) -> None:
    (place / "config.toml").write_text(text.replace("PLACE", str(place)))


def role(place: Path, text: str) -> None:
    (place / "data" / "roles" / "r.yaml").write_text(text)


def newer_schema(place: Path) -> None:
    with closing(sqlite3.connect(place / "data" / "state.db")) as connection, connection:
        connection.execute("UPDATE schema_version SET version = 1000")


def expired(place: Path) -> None:
    CaShape().make().leaf(lifetime=timedelta(seconds=1), begins=timedelta(days=-2)).write(place, "one")


def lost_wrapping_key(place: Path) -> None:
    rig = KeysUnderTest(place / "data" / "state.db")
    rig.keys.look_after()
    rig.close()
    settings_of(place, 'issuer_url = "https://i.test"\n')


PUBLIC = """
issuer_url = "https://i.test"
[http]
public_listen = "127.0.0.1:0"
public_certificate = "PLACE/one.crt"
public_key = "PLACE/two.key"
"""
PAIR = '[grpc]\ncertificate = "PLACE/one.crt"\nkey = "PLACE/{}.key"\n'
TOKENS = '[grpc]\ntoken_listen = "127.0.0.1:0"\n[[grpc.token_issuers]]\nissuer = "https://i.test"\naudience = "a"\n'

FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a value": (lambda p: settings_of(p, "[search]\nworkers = 0\n"), "search.workers (file): must be 1 to 64 threads"),
    "a port": (lambda p: settings_of(p, '[grpc]\nlisten = "here:99999"\n'), "grpc.listen (file): must be HOST:PORT"),
    "one address for two": (
        lambda p: settings_of(p, '[grpc]\nlisten = "127.0.0.1:9180"\n'),
        "http.listen (default): must be another address than grpc.listen",
    ),
    "no certificate": (lambda p: settings_of(p, PAIR.format("one").replace("one.crt", "x.crt")), "can't be read"),
    "a pair that doesn't match": (
        lambda p: settings_of(p, PAIR.format("two")),
        "grpc.certificate (file): the server certificate one.crt and key two.key don't belong together",
    ),
    "an http pair that doesn't match": (
        lambda p: settings_of(p, PAIR.format("two").replace("grpc", "http")),
        "http.certificate (file): http.certificate and http.key can't be used together",
    ),
    "a public pair that doesn't match": (
        lambda p: settings_of(p, PUBLIC),
        "http.public_certificate (file): http.public_certificate and http.public_key can't be used together",
    ),
    "a lost wrapping key": (
        lost_wrapping_key,
        "issuer.wrapping_key (default): the wrapping key of the signing keys is not there; put back the one that",
    ),
    "a CA that is none": (
        lambda p: settings_of(p, '[grpc]\nuser_ca = ["PLACE/one.crt"]\n'),
        "grpc.user_ca (file): the CA file one.crt holds a certificate that is not a CA's",
    ),
    "a CA of both kinds": (
        lambda p: settings_of(p, '[grpc]\nuser_ca = ["PLACE/ca.pem"]\nhost_ca = ["PLACE/ca.pem"]\n'),
        "grpc.user_ca (file): the same CA key is configured as host CA and as user CA",
    ),
    "another cluster": (
        lambda p: settings_of(p, 'cluster_name = "other"\n'),
        "cluster_name (file): the local CAs are cluster 'extaudit.local''s",
    ),
    "a role": (
        lambda p: role(
            p, "kind: role\nversion: v7\nmetadata: {name: x}\nspec: {allow: {rules: [{resources: [event]}]}}"
        ),
        "roles_dir (default): r.yaml:4:",
    ),
    "a role file that others can write": (
        lambda p: (role(p, ""), (p / "data" / "roles" / "r.yaml").chmod(0o666), (p / "data" / "roles").chmod(0o755)),
        "roles_dir (default): r.yaml: has mode 0666, so that others than its owner could give any right by it",
    ),
    "a folder of roles that the group can write": (
        lambda p: (p / "data" / "roles").chmod(0o770),
        "roles_dir (default): roles: the folder of roles has mode 0770",
    ),
    "a configuration that others can write": (
        lambda p: (p / "config.toml").chmod(0o646),
        "--config: the file has mode 0646, so that others",
    ),
    "a CA that others can write": (
        lambda p: (settings_of(p, '[grpc]\nuser_ca = ["PLACE/ca.pem"]\n'), (p / "ca.pem").chmod(0o666)),
        "grpc.user_ca (file): the CA file ca.pem has mode 0666",
    ),
    "a CA for an issuer's keys that others can write": (
        lambda p: (
            settings_of(p, TOKENS + 'jwks_url = "https://i.test/k"\njwks_ca = "PLACE/ca.pem"\n'),
            (p / "ca.pem").chmod(0o666),
        ),
        "grpc.token_issuers[0].jwks_ca (file): the CA file for the key set's server has mode 0666",
    ),
    "no folder of roles": (
        lambda p: settings_of(p, 'roles_dir = "PLACE/nowhere"\n'),
        "roles_dir (file): nowhere: the folder of roles can't be read",
    ),
    "the mode of a key": (
        lambda p: (p / "data" / "identity" / "user-ca.key").chmod(0o640),
        "data_dir (--data-dir): identity/user-ca.key has mode 0640 and may only be its owner's: run chmod 600",
    ),
    "the mode of the data directory": (
        lambda p: (p / "data").chmod(0o755),
        "data_dir (--data-dir): the data directory has mode 0755",
    ),
    "a lost key": (
        lambda p: (p / "data" / "identity" / "host-ca.key").unlink(),
        "data_dir (--data-dir): identity/host-ca.key is missing while host-ca.crt is there",
    ),
    "a damaged secret": (
        lambda p: (p / "data" / "identity" / "upload-id.key").write_bytes(b"short"),
        "data_dir (--data-dir): the key upload-id.key is damaged",
    ),
    "a state database of a later version": (newer_schema, "the state database is damaged or of a later version"),
    "a state database that is none": (
        lambda p: (p / "data" / "state.db").write_bytes(b"x" * 5000),
        "the state database is damaged or of a later version",
    ),
    "a CA for an issuer's keys": (
        lambda p: (
            settings_of(p, TOKENS + 'jwks_url = "https://i.test/k"\njwks_ca = "PLACE/ca.pem"\n'),
            (p / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n"),
        ),
        "grpc.token_issuers[0].jwks_ca (file): the CA file for the key set's server can't be used",
    ),
}


def checked(place: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    code = run(["serve", "--check", "--config", str(place / "config.toml"), "--data-dir", str(place / "data")])
    return code, capsys.readouterr().err.splitlines()


def tree(folder: Path) -> list[tuple[str, int, int, int, int]]:
    found = [(path, os.lstat(path)) for path in sorted(folder.rglob("*"))]
    return [(str(p), s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for p, s in found]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_setting_and_source(place: Path, fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    plant, told = FAULTS[fault]
    plant(place)
    before = tree(place)
    code, lines = checked(place, capsys)
    assert code == 2
    assert len(lines) == 1, lines
    assert told in lines[0]
    assert lines[0].startswith("extaudit: ")
    assert tree(place) == before, "nothing is touched"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_start_refuses_what_the_check_tells_of(place: Path, fault: str) -> None:
    FAULTS[fault][0](place)

    async def start() -> None:
        config = load_config({"config": str(place / "config.toml"), "data_dir": str(place / "data")}, {})
        app = build(config)
        app._run(app.intake.run())  # as before it in a start; what a stop records would wait for it in vain
        try:
            await app.http.start()
            if app.issuer.listener is not None:
                await app.issuer.listener.start()
        finally:
            await app.stop()

    with pytest.raises(REFUSALS):
        asyncio.run(start())


def test_all_faults_are_told_at_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings_of(place, PAIR.format("two") + 'listen = "nowhere"\nuser_ca = ["PLACE/one.crt"]\n[search]\nworkers = 0\n')
    role(place, "kind: role\nversion: v7\nspec: {allow: {rules: [{resources: [event]}]}}")
    (place / "data").chmod(0o755)
    _, lines = checked(place, capsys)
    settings = {line.split()[1] for line in lines}
    assert settings == {"search.workers", "grpc.listen", "grpc.certificate", "grpc.user_ca", "roles_dir", "data_dir"}
    assert sum(line.startswith("extaudit: roles_dir") for line in lines) > 1, "every problem of the roles"


def test_a_folder_that_cannot_even_be_looked_at_is_one_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--check", "--data-dir", "x" * 300, "--ready-file", f"{'y' * 300}/ready.json"]) == 2
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "extaudit: data_dir (--data-dir): can't be used (File name too long)",
        "extaudit: ready_file (--ready-file): its folder does not exist",
    ]


def test_a_folder_that_cannot_be_made_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for folder, why in ((Path("/proc/x"), "can't be made"), (tmp_path / "file" / "data", "can't be ")):
        assert run(["serve", "--check", "--data-dir", str(folder)]) == 2
        assert f"extaudit: data_dir (--data-dir): {why}" in capsys.readouterr().err


def test_a_flag_that_is_no_number_is_told_with_all_else_and_without_its_value(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_of(place, "[search]\nworkers = 0\n")
    wrong = ["--search-threads", "CANARY", "--journal-cut-age-seconds", "CANARY", "--journal-cut-events", "1_000"]
    assert run(["serve", "--check", "--config", str(place / "config.toml"), *wrong]) == 2
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "extaudit: journal.cut_age_seconds (--journal-cut-age-seconds): must be a number",
        "extaudit: search.threads (--search-threads): must be a whole number",
        "extaudit: search.workers (file): must be 1 to 64 threads",
    ]


def test_without_faults_it_says_what_would_be_served(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(place, capsys) == (0, [])
    flags = ["--config", str(place / "config.toml"), "--data-dir", str(place / "data")]
    assert run(["serve", "--check", *flags, "--output", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["problems"] == []
    assert answer["summary"]["grpc"] == "127.0.0.1:9443"
    assert run(["serve", "--check", *flags]) == 0
    assert capsys.readouterr().out.startswith("nothing is wrong; extaudit serve would\n  serve gRPC on 127.0.0.1:9443")


def test_a_first_start_is_checked_without_making_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--check", "--data-dir", str(tmp_path / "a" / "b")]) == 0
    assert list(tmp_path.iterdir()) == []
    assert "isn't there yet and would be made" in capsys.readouterr().out


def test_before_the_first_start_root_is_told_of_modes_and_of_no_owners(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() == 0:
        os.chown(place / "ca.pem", 990, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # only root can become it
    settings_of(place, '[grpc]\nuser_ca = ["PLACE/ca.pem"]\n')
    arguments = ["serve", "--check", "--config", str(place / "config.toml"), "--data-dir"]
    assert run([*arguments, str(place / "none")]) == 0
    (place / "ca.pem").chmod(0o664)
    assert run([*arguments, str(place / "none")]) == 2
    assert "the CA file ca.pem has mode 0664" in capsys.readouterr().err


def test_a_running_server_is_no_fault_and_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_app(tmp_path / "data") as app:
        assert run(["identity", "issue", "alice", "--role", "auditor", "--data-dir", str(tmp_path / "data")]) == 0
        capsys.readouterr()
        assert run(["serve", "--check", "--data-dir", str(tmp_path / "data")]) == 0
        assert (tmp_path / "data" / "ready.json").exists()
        assert not app.failed.is_set()
    assert capsys.readouterr().err == ""


def test_the_json_of_a_fault_has_every_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings_of(place, "[search]\nworkers = 0\nthreads = 0\n")
    for form, lines in (("json", 1), ("jsonl", 2)):
        assert run(["serve", "--check", "--config", str(place / "config.toml"), "--output", form]) == 2
        out = capsys.readouterr().out
        assert out.count("must be 1 to 64 threads") == 2
        assert lines == 1 or len(out.splitlines()) == 2


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("EXTAUDIT_")]:
        monkeypatch.delenv(name)


def test_the_configuration_is_printed_with_where_it_came_from(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of(place, TOKENS + 'jwks_url = "https://i.test/k?key=canary"\n[search]\nworkers = 3\nthreads = 3\n')
    monkeypatch.setenv("EXTAUDIT_SEARCH_THREADS", "4")
    flags = ["--config", str(place / "config.toml"), "--log-level", "debug"]
    assert run(["serve", "--print-config", *flags, "--output", "json"]) == 0
    out = capsys.readouterr().out
    shown = {each["name"]: (each["value"], each["origin"]) for each in json.loads(out)}
    assert shown["search.workers"] == (3, "file")
    assert shown["search.threads"] == (4, "EXTAUDIT_SEARCH_THREADS")
    assert shown["log.level"] == ("debug", "--log-level")
    assert shown["data_dir"] == ("data", "default")
    assert shown["grpc.token_issuers[0].jwks_url"] == ("https://i.test/k?\u2026", "file")
    assert run(["serve", "--print-config", *flags]) == 0
    assert "canary" not in out + capsys.readouterr().out

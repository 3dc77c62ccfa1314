"""Recordings in other formats, and played where there is no terminal, through the command line."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import extaudit_cli
import pytest

from tests.running_server import RunningServer, extaudit, running_server

SAMPLES = Path(extaudit_cli.__file__).parent / "sample-recordings"
SHELL, DATABASE = "d5b6f0c2-3c1d-4f0e-9a57-51a0c7e3b8f4", "2b164095-6f02-424f-9f4e-2166ede18709"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        for session in (SHELL, DATABASE):
            run(running, Path(), "upload", str(SAMPLES / f"{session}.tar"), "--session", session)
        yield running


def run(server: RunningServer, folder: Path, *arguments: str) -> bytes:
    done = extaudit(folder, "recordings", *arguments, "--data-dir", str(server.data_dir))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_format_has_a_file_of_its_own_for_its_owner_alone(server: RunningServer, tmp_path: Path) -> None:
    for form in ("raw", "asciicast", "text", "jsonl"):
        run(server, tmp_path, "download", SHELL, "--format", form)
    files = {path.suffix: path for path in tmp_path.iterdir()}
    assert sorted(files) == [".cast", ".jsonl", ".tar", ".txt"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files.values())
    assert files[".tar"].read_bytes() == (SAMPLES / f"{SHELL}.tar").read_bytes()
    header, *events = map(json.loads, files[".cast"].read_text().splitlines())
    assert (header["version"], header["width"] > 0, len(events) > 10) == (2, True, True)
    assert "0:00:19.170  total 48" in files[".txt"].read_text()
    assert [json.loads(line)["ei"] for line in files[".jsonl"].read_text().splitlines()][:3] == [0, 1, 2]


def test_stdout_takes_them_too_and_nothing_else(server: RunningServer, tmp_path: Path) -> None:
    out = run(server, tmp_path, "download", DATABASE, "--format", "text", "-o", "-").decode()
    assert "db.session.query" in out
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_playing_gives_text_and_does_not_wait(server: RunningServer, tmp_path: Path) -> None:
    played = run(server, tmp_path, "play", SHELL)
    assert played == run(server, tmp_path, "download", SHELL, "--format", "text", "-o", "-")
    assert b"\x1b" not in played
    assert run(server, tmp_path, "play", SHELL, "--from", "99:00:00") == b""

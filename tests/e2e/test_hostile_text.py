"""Whatever a service holds, no command writes it so that a terminal acts on it or shows it in another order."""

from __future__ import annotations

import json
import os
import pty
import tempfile
import unicodedata
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from extaudit_cli.main import run

from tests.running_server import RunningServer, environment, running_server
from tests.started_process import start

HOSTILE = "x\x1b]0;title\x07\x9b31m\u202e\u2066\u200b\u2028\ufeffy"
HOSTILE_CONDITION = "x\u202e\u2066\u200b\ufeffy"  # conditions hold no control characters
SHOWN = "\\u202e"
"""As it is in text and in JSON."""
SESSION = str(uuid.uuid4())
ROLE = f"""\
kind: role
version: v7
metadata:
  name: hostile
spec:
  allow:
    rules:
      - resources: [event]
        verbs: [list]
        where: {json.dumps(f'equals(event.user, "{HOSTILE_CONDITION}")')}
"""


@dataclass(frozen=True)
class Written:
    """What a command wrote to a terminal, and beside it."""

    code: int
    out: str
    err: str

    @property
    def acted_on(self) -> list[str]:
        """Characters that a terminal or its reader would be misled by."""
        allowed = {"\n", "\r"}
        everything = self.out + self.err
        return [c for c in everything if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs") and c not in allowed]


def in_terminal(folder: Path, arguments: Sequence[str]) -> Written:
    """Run a command whose stdout is a terminal, without colours."""
    ours, theirs = pty.openpty()
    variables = environment() | {"NO_COLOR": "1", "COLUMNS": "4000", "EXTAUDIT_DATA_DIR": "data"}
    with tempfile.TemporaryFile() as beside:
        process = start(arguments, folder, variables, out=theirs, err=beside.fileno())
        os.close(theirs)
        told = b""
        try:
            while data := os.read(ours, 65536):
                told += data
        except OSError:  # Linux has no end of a terminal, but an error
            pass
        finally:
            os.close(ours)
        code = process.wait(60)
        beside.seek(0)
        return Written(code, told.decode(), beside.read().decode())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("hostile")
    roles = folder / "data" / "roles"
    roles.mkdir(parents=True)
    (folder / "data").chmod(0o700)
    (roles / "hostile.yaml").write_text(ROLE)
    with running_server(folder) as running:
        plant(running)
        yield running


def plant(server: RunningServer) -> None:
    event = {"event": HOSTILE, "uid": "hostile", "user": HOSTILE, "sid": HOSTILE, "note": HOSTILE, "server_id": HOSTILE}
    start = {
        "event": "session.start",
        "sid": SESSION,
        "user": HOSTILE,
        "server_id": HOSTILE,
        "server_hostname": HOSTILE,
    }
    with server.client() as client:
        for each in (event, start):
            client.emit(json.dumps(each, ensure_ascii=False).encode())
        client.create_lock("user", HOSTILE, HOSTILE)


FORMS = ("table", "json", "jsonl")
COMMANDS = [
    ["events", "search", "--uid", "hostile"],
    ["events", "get", "hostile"],
    ["recordings", "list", "--session", SESSION],
    ["locks", "list"],
    ["roles", "list"],
    ["roles", "can", "list", "event", "--user", "eve", "--role", "hostile"],
    ["locks", "add", "--user", HOSTILE, "--reason", HOSTILE],
]


@pytest.mark.parametrize("output", FORMS)
@pytest.mark.parametrize("arguments", [pytest.param(each, id=" ".join(each[:2])) for each in COMMANDS])
def test_what_a_service_holds_is_shown_escaped(server: RunningServer, arguments: list[str], output: str) -> None:
    written = in_terminal(server.data_dir.parent, [*arguments, "--output", output])
    assert written.code == 0, written.err
    assert SHOWN in written.out
    assert written.acted_on == []


WRONG = [
    (["events", "get", HOSTILE], 1),
    (["events", "search", "--type", HOSTILE, "--engine", HOSTILE], 2),
    (["events", HOSTILE], 2),
    (["events", "emit", "--file", HOSTILE], 2),
    (["recordings", "download", HOSTILE], 1),
    (["recordings", "list", "--from", HOSTILE], 2),
    (["roles", "check", HOSTILE], 2),
    (["roles", "can", HOSTILE, HOSTILE, "--user", HOSTILE], 1),
    (["locks", "remove", HOSTILE], 1),
    (["identity", "renew", HOSTILE], 1),
    (["identity", "issue", HOSTILE, "--role", HOSTILE, "--out-dir", HOSTILE], 1),
    (["profile", "add", HOSTILE, "--address", "h:1"], 1),
    (["profile", "show", HOSTILE], 1),
    (["status", "--profile", HOSTILE], 1),
    (["status", "--address", HOSTILE], 2),
    (["status", "--ca", HOSTILE], 1),
]


@pytest.mark.parametrize(("arguments", "code"), [pytest.param(*each, id=" ".join(each[0][:2])) for each in WRONG])
def test_what_somebody_gave_is_told_escaped_in_one_line(
    server: RunningServer,
    arguments: list[str],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(server.data_dir.parent)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(server.data_dir.parent))
    written = Written(run(arguments), *capfd.readouterr())
    assert written.code == code, written.err
    assert [line for line in written.err.splitlines() if line.startswith("Error: ")] == [written.err.splitlines()[-1]]
    assert written.acted_on == []

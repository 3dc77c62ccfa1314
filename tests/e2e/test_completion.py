"""What shells complete: in real shells, fast, and in silence."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from extaudit_cli.main import run

from tests.e2e.terminal import TMUX, Terminal, terminal
from tests.polling import until
from tests.running_server import environment

HEAVY = [
    "grpc",
    "google.protobuf",
    "duckdb",
    "pyarrow",
    "numpy",
    "numba",
    "sqlalchemy",
    "casbin",
    "yaml",
    "cryptography",
]
ROLE = """\
kind: role
version: v7
metadata:
  labels: {a: b}
  name: "incident-response"
spec: {}
---
kind: role
metadata:
  name: night-watch
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the command on its PATH, a profile and a file of roles."""
    script = tmp_path / "bin" / "extaudit"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from extaudit_cli.main import main; main()' \"$@\"\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    profiles = tmp_path / "config" / "extaudit" / "profiles.toml"
    profiles.parent.mkdir(parents=True)
    profiles.write_text("[profiles.production]\naddress = 'h:1'\n")
    profiles.chmod(0o600)
    roles = tmp_path / "data" / "roles"
    roles.mkdir(parents=True)
    (roles / "ours.yaml").write_text(ROLE)
    return tmp_path


@pytest.fixture
def variables(home: Path) -> dict[str, str]:
    paths = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    found = environment() | {"PATH": paths, "XDG_CONFIG_HOME": str(home / "config"), "HOME": str(home)}
    del found["EXTAUDIT_PROFILE"]
    return found


WORDS = [
    ("extaudit st", {"status", "storage"}),
    ("extaudit events s", {"search"}),
    ("extaudit events search --emitter", {"--emitter", "--emitter-kind"}),
    ("extaudit events search --engine ", {"auto", "scan", "athena"}),
    ("extaudit events search --output=json", {"json", "jsonl"}),
    ("extaudit events search --type user.p", {"user.password_change"}),
    ("extaudit events export --storage a", {"active", "all"}),
    ("extaudit status --profile ", {"production", "none"}),
    ("extaudit profile use prod", {"production"}),
    ("extaudit identity issue alice --role n", {"night-watch"}),
    ("extaudit identity issue alice --data-dir elsewhere --role n", set()),
    ("extaudit locks add --role au", {"auditor"}),
    ("extaudit serve --grpc-token-l", {"--grpc-token-listen"}),
    ("extaudit no-such-command x", set()),
]


def script(shell: str, folder: Path, variables: dict[str, str]) -> Path:
    printed = subprocess.run(["extaudit", "completion", shell], env=variables, capture_output=True, check=True)
    path = folder / f"extaudit.{shell}"
    path.write_bytes(printed.stdout)
    return path


@pytest.mark.parametrize(("typed", "expected"), WORDS)
def test_bash_completes(home: Path, variables: dict[str, str], typed: str, expected: set[str]) -> None:
    # Bash itself splits a word at "=", so that what is left to complete stands after it.
    words = typed.replace("=", " = ").split(" ")
    call = f"source {script('bash', home, variables)}; COMP_WORDS=({' '.join(words)!s}"
    call += (' "")' if words[-1] == "" else ")") + f"; COMP_CWORD={len(words) - 1}; _extaudit_completion extaudit"
    done = subprocess.run(
        ["bash", "--norc", "-c", call + '; printf "%s\\n" "${COMPREPLY[@]}"'],
        cwd=home, env=variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == expected
    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(("typed", "expected"), WORDS)
def test_fish_completes(home: Path, variables: dict[str, str], typed: str, expected: set[str]) -> None:
    call = f"source {script('fish', home, variables)}; complete -C {typed!r}"
    done = subprocess.run(
        ["fish", "--no-config", "-c", call], cwd=home, env=variables, capture_output=True, text=True, check=True
    )
    assert {line.split("\t")[0].removeprefix("--output=") for line in done.stdout.splitlines()} == expected


class Typed:
    """A shell in a terminal that has read its completion script."""

    def __init__(self, opened: Terminal, start: str) -> None:
        self._terminal = opened
        opened.type("-l", start)
        opened.type("Enter")
        opened.wait_for("ready$")

    def complete(self, typed: str, expected: str) -> None:
        """Type, press tab, and wait for the line that must come of it."""
        self._terminal.type("-l", "--", typed)
        self._terminal.type("Tab")
        until(lambda: any(line.rstrip().endswith(expected) for line in self._terminal.screen))


@pytest.fixture
def opened(home: Path, variables: dict[str, str]) -> Iterator[Terminal]:
    if TMUX is None:
        pytest.skip("tmux is not installed: no shell is driven in a terminal")
    with terminal(home, variables) as found:
        yield found


STARTS = {
    "bash": "PS1='ready$ ' exec bash --norc --noprofile -i",
    "zsh": "PS1='ready$ ' exec zsh -f -i",
}
READ = {"bash": "source {}", "zsh": "autoload -U compinit && compinit -u && source {}"}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_tab_completes_in_a_terminal(shell: str, opened: Terminal, home: Path, variables: dict[str, str]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    exported = f"PATH={variables['PATH']} XDG_CONFIG_HOME={home / 'config'} "  # tmux sets a PATH of its own
    typed = Typed(opened, exported + STARTS[shell])
    opened.type("-l", READ[shell].format(script(shell, home, variables)) + "; clear")
    opened.type("Enter")
    until(lambda: opened.screen == ["ready$"])
    typed.complete("extaudit sta", "extaudit status")
    typed.complete("--prof", "extaudit status --profile")
    typed.complete("prod", "extaudit status --profile production")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["events", "search", "--help"],
        ["events", "emit", "--help"],
        ["recordings", "upload", "--help"],
        ["roles", "check", "--help"],
        ["serve", "--help"],
        ["identity", "issue", "--help"],
        ["completion", "zsh"],
        ["profile", "list"],
        ["complete", "extaudit", "identity", "issue", "a", "--role", ""],
        ["complete", "extaudit", "status", "--profile", ""],
        ["complete", "extaudit", "serve", "--"],
        ["complete", "extaudit", "events", "search", "--type", ""],
    ],
)
def test_help_and_completion_import_nothing_heavy(arguments: list[str], variables: dict[str, str]) -> None:
    if arguments[0] == "complete":
        words = {"COMP_WORDS": "\n".join(arguments[1:]), "COMP_CWORD": str(len(arguments) - 2)}
        variables, arguments = variables | words | {"_EXTAUDIT_COMPLETE": "bash_complete"}, []
    code = (
        "import atexit, sys; from extaudit_cli.main import main\n"
        f"atexit.register(lambda: print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr))\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=variables, capture_output=True, text=True, check=True
    )
    assert done.stdout
    assert done.stderr == "\n"


def test_a_fault_while_completing_prints_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_EXTAUDIT_COMPLETE", "bash_complete")  # and no COMP_WORDS, which is a fault
    assert run([]) == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", ["[profiles.", "[profiles.a]\nx = 1"])
def test_profiles_that_cannot_be_used_offer_nothing(home: Path, variables: dict[str, str], content: str) -> None:
    (home / "config" / "extaudit" / "profiles.toml").write_text(content)
    words = {"COMP_WORDS": "extaudit\nstatus\n--profile\n", "COMP_CWORD": "3", "_EXTAUDIT_COMPLETE": "bash_complete"}
    done = subprocess.run(["extaudit"], env=variables | words, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("\n", "")

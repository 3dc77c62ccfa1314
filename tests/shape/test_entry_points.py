"""The command works from anywhere, and make asks pip only when it must."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shape.repository import ROOT

OLD, NEW = 1_000_000_000, 1_100_000_000  # mtimes
BUILT = [
    ".venv/bin/python",
    "requirements/runtime.txt",
    "requirements/dev.txt",
    "pyproject.toml",
    "clients/python/pyproject.toml",
]


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # A make that runs the tests must not hand its own flags to the make that is tested.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *words], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder that looks to make like one where everything was installed."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in [*BUILT, ".venv/.runtime", ".venv/.dev"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (OLD, OLD) if name in BUILT else (NEW, NEW))
    return tmp_path


def test_the_console_script_works_from_another_directory(tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "extaudit"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([script, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "serve" in result.stdout


def test_make_alone_lists_every_target_with_its_purpose() -> None:
    # Less the parts of `make test`, which are named by a variable.
    phony = re.findall(r"^\.PHONY: ([a-z-]+)$", (ROOT / "Makefile").read_text(), re.M)
    listed = re.findall(r"^  (\S+) +\S", make(ROOT).stdout, re.M)
    assert listed == phony


def test_a_second_run_calls_no_pip(clone: Path) -> None:
    assert "pip" not in make(clone, "-n", "run").stdout


@pytest.mark.parametrize("changed", ["requirements/runtime.txt", "pyproject.toml", "clients/python/pyproject.toml"])
def test_a_changed_lock_or_project_is_installed_with_hashes(clone: Path, changed: str) -> None:
    os.utime(clone / changed, (NEW + 1, NEW + 1))
    steps = make(clone, "-n", "run").stdout
    assert "--require-hashes -r requirements/runtime.txt" in steps
    assert "--no-deps --no-build-isolation -e . -e clients/python" in steps


def test_a_changed_lock_of_the_checks_is_installed_with_hashes(clone: Path) -> None:
    os.utime(clone / "requirements/dev.txt", (NEW + 1, NEW + 1))
    steps = make(clone, "-n", "test").stdout
    assert "--require-hashes -r requirements/dev.txt" in steps
    assert "requirements/runtime.txt" not in steps


@pytest.mark.parametrize("python", ["/nowhere/python3", "false"])
def test_a_missing_or_old_python_is_refused_in_one_line(clone: Path, python: str) -> None:
    shutil.rmtree(clone / ".venv")
    result = make(clone, "run", f"PYTHON={python}")
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(lines) == 1
    assert "Python >= 3.11" in lines[0]
    assert not (clone / ".venv").exists()

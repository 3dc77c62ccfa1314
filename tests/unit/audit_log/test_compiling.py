"""Where compiled code is kept: nowhere that it could be taken for the code of other sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from server.audit_log.columns import compiling
from server.audit_log.columns.layout import Bytes
from tests.shape.repository import ROOT

COLUMNS = Path("server/audit_log/columns")
CALL = "import numpy; from server.audit_log.columns.crc32 import crc32; print(crc32(numpy.arange(50, dtype='u1'), 7))"
CRC = zlib.crc32(bytes(range(50)), 7)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, which is taken for the package; the user's cache is in the same folder."""
    copy = tmp_path / "installed" / COLUMNS
    shutil.copytree(ROOT / COLUMNS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compiling, "__file__", str(copy / "compiling.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return copy


def block(folder: Path) -> None:
    """Have nobody make this folder, whatever their rights: there is a file in its place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_bytes(b"")


def test_the_folder_is_beside_the_sources_and_stays_the_same_as_long_as_they_do(package: Path) -> None:
    folder = compiling._cache_folder()
    assert folder is not None
    assert folder.parent == package / "__pycache__"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert compiling._cache_folder() == folder


def test_any_change_of_any_source_is_another_folder(package: Path) -> None:
    """A function in one file has those of others compiled into it."""
    found = [compiling._cache_folder()]
    for source in sorted(package.glob("*.py")):
        source.write_bytes(source.read_bytes() + b"#")
        found.append(compiling._cache_folder())
    (package / "another.py").write_bytes(b"")
    found.append(compiling._cache_folder())
    assert len(set(found)) == len(found) > 10


def test_where_the_sources_cant_be_written_the_users_cache_is_taken(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block(package / "__pycache__")
    folder = compiling._cache_folder()
    assert folder is not None
    assert folder.parent == tmp_path / "user" / "extaudit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert compiling._cache_folder() == tmp_path / "home" / ".cache" / "extaudit" / folder.name


def test_a_folder_that_is_there_and_cant_be_written_is_passed_over(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = compiling._cache_folder()
    monkeypatch.setattr(os, "access", lambda path, mode: path != beside)
    assert compiling._cache_folder() not in (beside, None)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert compiling._cache_folder() is None


def test_where_neither_can_be_written_there_is_no_folder(package: Path, tmp_path: Path) -> None:
    block(package / "__pycache__")
    block(tmp_path / "user")
    assert compiling._cache_folder() is None


def test_who_has_no_home_has_no_cache_there(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 9)
    beside = compiling._cache_folder()
    assert beside is not None
    assert beside.parent == package / "__pycache__"
    shutil.rmtree(package / "__pycache__")
    block(package / "__pycache__")
    assert compiling._cache_folder() is None


def run(package: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """A process that compiles and calls a function of the copy."""
    root = package.parents[2]
    for folder in (root / "server", root / "server" / "audit_log"):
        (folder / "__init__.py").touch()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(root), "XDG_CACHE_HOME": str(tmp_path / "user")}
    command = [sys.executable, "-W", "error", "-c", CALL]
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=250, check=False)


def test_a_change_of_what_a_function_calls_is_seen_by_the_next_start(package: Path, tmp_path: Path) -> None:
    assert run(package, tmp_path).stdout == f"{CRC}\n"
    assert list(package.rglob("*.nbi")), "kept for the next start"
    copying = package / "copying.py"
    copying.write_text(copying.read_text().replace("return np.int64(number)", "return np.int64(number) + 1"))
    assert run(package, tmp_path).stdout == f"{CRC + 1}\n"


def test_where_code_cant_be_kept_the_service_says_so_and_works(package: Path, tmp_path: Path) -> None:
    block(package / "__pycache__")
    block(tmp_path / "user")
    found = run(package, tmp_path)
    assert (found.stdout, found.returncode) == (f"{CRC}\n", 0)
    assert "can't be kept" in found.stderr
    assert not list(tmp_path.rglob("*.nbi"))


def test_compiled_code_counts_no_references_to_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each count is an atomic operation, and there would be hundreds for an event."""
    monkeypatch.setattr(compiling, "_FOLDER", None)

    @compiling.compiled
    def inner(data: Bytes) -> int:
        return len(data)

    @compiling.compiled
    def outer(data: Bytes) -> int:
        return inner(data) + inner(data[1:])

    assert outer(np.zeros(3, np.uint8)) == 5
    [code] = cast(Any, outer).inspect_llvm().values()
    assert "NRT" not in code

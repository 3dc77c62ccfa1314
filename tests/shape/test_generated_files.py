"""A generator's `--check` fails on everything that `make` would write otherwise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shape.repository import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for folder in ("tools", "protos"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/api.md", tmp_path / "docs/api.md")
    return tmp_path


def run(clone: Path, tool: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, f"tools/{tool}.py", *options], cwd=clone, capture_output=True, text=True)


def test_stale_python_of_the_protos_is_named_and_regenerated(clone: Path) -> None:
    generated = clone / "protos/gen/extaudit/v1"
    (generated / "event_pb2.py").write_text("# edited\n")
    (generated / "event_pb2.pyi").unlink()
    (generated / "removed_pb2.py").touch()
    checked = run(clone, "generate_protos", "--check")
    assert checked.returncode == 1
    named = ["changed: extaudit/v1/event_pb2.py", "missing: extaudit/v1/event_pb2.pyi"]
    assert [line.strip() for line in checked.stderr.splitlines()[1:]] == [
        *named,
        "left over: extaudit/v1/removed_pb2.py",
    ]
    assert run(clone, "generate_protos").returncode == 0
    assert run(clone, "generate_protos", "--check").returncode == 0


def test_a_proto_that_does_not_compile_leaves_the_generated_code_alone(clone: Path) -> None:
    (clone / "protos/extaudit/v1/broken.proto").write_text('syntax = "proto3"; message {')
    before = sorted(path.name for path in (clone / "protos/gen").rglob("*"))
    result = run(clone, "generate_protos")
    assert result.returncode == 1
    assert result.stderr.startswith("extaudit/v1/broken.proto:1:")
    assert sorted(path.name for path in (clone / "protos/gen").rglob("*")) == before


def test_a_page_of_permissions_older_than_the_table_is_stale(clone: Path) -> None:
    shutil.copytree(ROOT / "rbac", clone / "rbac", ignore=shutil.ignore_patterns("__pycache__"))
    tool = [sys.executable, "-m", "tools.generate_permissions_docs"]
    shutil.copy(ROOT / "docs/permissions.md", clone / "docs/permissions.md")
    assert subprocess.run([*tool, "--check"], cwd=clone).returncode == 0
    table = clone / "rbac/permissions.py"
    table.write_text(table.read_text().replace('("role", ("read",))', '("role", ("list",))'))
    assert subprocess.run([*tool, "--check"], cwd=clone, capture_output=True).returncode == 1
    assert subprocess.run(tool, cwd=clone).returncode == 0
    assert "`role:list`" in (clone / "docs/permissions.md").read_text()


def test_an_api_page_older_than_a_comment_is_stale(clone: Path) -> None:
    assert run(clone, "generate_api_docs", "--check").returncode == 0
    proto = clone / "protos/extaudit/v1/event.proto"
    proto.write_text(proto.read_text().replace("// The event's type", "// The type of the event"))
    assert run(clone, "generate_api_docs", "--check").returncode == 1
    assert run(clone, "generate_api_docs").returncode == 0
    assert "The type of the event" in (clone / "docs/api.md").read_text()

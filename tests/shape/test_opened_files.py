"""The service opens files in one place, which refuses at once what is none: who waits for a FIFO may wait for ever."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shape.repository import ROOT

ELSEWHERE = {
    "server/regular_files.py": "the place",
    "server/files.py": "a folder, to sync it",
    "server/terminal.py": "the terminal",
    "server/process.py": "the device that takes everything",
    "server/config/loading.py": "a configuration may come out of a pipe",
    "server/served.py": "what the system tells of locks and mounts; the lock's place, which isn't opened",
    "server/audit_log/batch_codec.py": "a target that its caller names; the spool names none",
    "server/audit_log/columns/compiling.py": "the code",
    "server/audit_log/search/decoded_objects.py": "objects of events at whose kind each page has looked",
}
"""Files of the service that open things themselves, and what."""
BY_THEMSELVES = {"read_bytes", "read_text", "write_bytes", "write_text"}


def _opens(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name("open"):
                if not any(isinstance(k.value, ast.Name) and k.value.id == "open_regular" for k in node.keywords):
                    yield node
            case ast.Attribute(ast.Name("os"), "open"):
                yield node
            case ast.Attribute(_, "open") if any(isinstance(each, ast.Constant) for each in node.args):
                yield node  # of a path, in a mode
            case ast.Attribute(_, name) if name in BY_THEMSELVES:
                yield node


def test_the_service_opens_files_in_one_place() -> None:
    found = {
        name
        for path in (ROOT / "server").rglob("*.py")
        for name in (path.relative_to(ROOT).as_posix(),)
        if any(_opens(path))
    }
    assert found == set(ELSEWHERE)


@pytest.mark.parametrize(
    "code", ["open(p)", "open(p, opener=other)", "os.open(p, 0)", "p.open('rb')", "p.read_bytes()", "p.write_text('')"]
)
def test_whatever_opens_a_file_is_seen(tmp_path: Path, code: str) -> None:
    (tmp_path / "a.py").write_text(code)
    assert list(_opens(tmp_path / "a.py"))

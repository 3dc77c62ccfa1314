"""The client's wheel in a fresh environment without the service, where every example of its README runs."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_server import RunningServer, running_server
from tests.shape.repository import ROOT

CLIENT = ROOT / "clients/python"
NEEDED = ("grpc", "google", "typing_extensions")
"""What the distribution's dependencies install."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: builds leave files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(CLIENT, folder / "clients/python", ignore=left_out)
    shutil.copytree(ROOT / "protos/gen", folder / "protos/gen", ignore=left_out)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", folder / "dist", folder / "clients/python"], check=True)
    (found,) = (folder / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what it requires, and nothing else."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder / "venv", with_pip=False)
    found = folder / "venv/bin/python"
    install = [sys.executable, "-m", "pip", "--python", found, "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, wheel], check=True)
    (site,) = (folder / "venv/lib").glob("python*/site-packages")
    for name in NEEDED:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        places = spec.submodule_search_locations or [spec.origin]
        path = Path(str(next(iter(places))))
        (site / path.name).symlink_to(path)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as found:
        yield found


def run(python: Path, server: RunningServer, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {"EXTAUDIT_DATA_DIR": str(server.data_dir), "GRPC_VERBOSITY": "NONE"}
    return subprocess.run(
        [python, "-W", "error", "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def examples() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (CLIENT / "README.md").read_text(), re.M | re.S)


def test_the_wheel_holds_the_client_and_the_stubs_with_their_types_and_nothing_of_the_service(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = set(archive.namelist())
    (licence,) = (name for name in names if name.endswith("/LICENSE"))
    assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert {"extaudit_client/py.typed", "extaudit_client/spool/spool.py", "extaudit/v1/event_pb2.pyi"} <= names
    assert {name.split("/")[0] for name in names} == {"extaudit", "extaudit_client", f"{wheel.name[:21]}.dist-info"}


def test_it_needs_nothing_but_what_it_requires(python: Path, server: RunningServer, tmp_path: Path) -> None:
    code = """
import importlib, pkgutil, sys
import extaudit_client
for module in pkgutil.walk_packages(extaudit_client.__path__, "extaudit_client."):
    importlib.import_module(module.name)
found = {name.partition(".")[0] for name in sys.modules}
print(sorted(found & {"server", "rbac", "cryptography", "numpy", "click", "duckdb"}))
"""
    done = run(python, server, tmp_path, code)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("number", range(len(examples())))
def test_an_example_of_the_readme_runs(python: Path, server: RunningServer, tmp_path: Path, number: int) -> None:
    done = run(python, server, tmp_path, examples()[number])
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_what_was_emitted_there_is_found_there(python: Path, server: RunningServer, tmp_path: Path) -> None:
    code = """
from extaudit_client import Client, Connection, Emitter, Query
connection = Connection.from_environment()
with Emitter(connection, "spool") as emitter, Client(connection) as client:
    uids = emitter.emit_many({"event": "fresh", "n": n} for n in range(50))
    emitter.flush(30)
    assert sorted(row.uid for row in client.search_all(Query(types=("fresh",)))) == sorted(uids)
print("found")
"""
    done = run(python, server, tmp_path, code)
    assert (done.stdout, done.stderr) == ("found\n", "")


def test_a_program_that_uses_it_is_checked_by_its_types(python: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from extaudit_client import AsyncClient, Client, Connection, Emitter, Query\n"
        "connection = Connection.from_environment()\n"
        "with Client(connection) as client, Emitter(connection, 'spool') as emitter:\n"
        "    uid: str = emitter.emit({'event': 'e'})\n"
        "    uids: list[str] = [row.uid for row in client.search_all(Query(uids=(uid,)))]\n"
        "    wrong: int = client.status().version\n"
        "async def main() -> str:\n"
        "    async with AsyncClient(connection) as client:\n"
        "        return (await client.status()).version\n"
    )
    check = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(
        [*check, "--python-executable", python, program], cwd=tmp_path, capture_output=True, text=True, timeout=280
    )
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(lines) == 1, done.stdout
    assert 'program.py:6: error: Incompatible types in assignment (expression has type "str"' in lines[0]

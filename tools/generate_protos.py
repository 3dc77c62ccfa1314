"""Generates protos/gen, the committed Python of protos/extaudit; `--check` says whether it is fresh.

The folders under protos/gen are deleted and made anew, so a removed proto leaves nothing behind.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GENERATED = PROTOS / "gen"

PACKAGES = ("extaudit", "extaudit/recording", "extaudit/recording/v1", "extaudit/v1")


def proto_files() -> list[str]:
    """Give the protos' paths as protoc wants them: relative to the include root, sorted."""
    return sorted(path.relative_to(PROTOS).as_posix() for path in (PROTOS / "extaudit").rglob("*.proto"))


def generate(target: Path) -> None:
    """Write the Python of all protos below `target`, an empty folder; exits with protoc's own words when it fails."""
    # Plugins come from the environment that runs this, whatever the PATH says.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    outputs = [f"--{plugin}_out={target}" for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *proto_files()]
    # mypy-protobuf lists what it writes on stderr, which says nothing when all is well.
    result = subprocess.run(command, cwd=PROTOS, env=environment, capture_output=True, text=True)  # noqa: S603 - our own words
    if result.returncode:
        sys.exit(result.stderr.strip())
    for package in PACKAGES:
        (target / package / "__init__.py").touch()


def differences(fresh: Path, committed: Path) -> Iterator[str]:
    """Name every file that isn't the same below both folders."""
    names = {path.relative_to(root) for root in (fresh, committed) for path in source_files(root)}
    for name in sorted(names):
        if not (committed / name).exists():
            yield f"missing: {name}"
        elif not (fresh / name).exists():
            yield f"left over: {name}"
        elif not filecmp.cmp(fresh / name, committed / name, shallow=False):
            yield f"changed: {name}"


def source_files(root: Path) -> Iterator[Path]:
    """Give the files below `root` that are written by hand or generator, not by the interpreter."""
    return (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def main() -> int:
    """Generate or check; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when protos/gen isn't fresh")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        stale = list(differences(fresh, GENERATED))
        if not check:
            shutil.rmtree(GENERATED, ignore_errors=True)
            shutil.copytree(fresh, GENERATED)
    if check and stale:
        print("protos/gen is stale; run: make proto", *stale, sep="\n  ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""File modes: what others on this machine could read or change refuses the start."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from server.certificates.identity_folder import FOLDER
from server.certificates.problems import CertificateProblem
from server.state.database import FILE_NAME


def check_modes(data_dir: Path, ready_file: Path | None = None) -> None:
    """Refuse a data directory, keys, a ready-file or a state database that group or others have any right to.

    `ready_file` is the configured one; `ready.json` in the data directory is always looked at. What isn't there
    is fine.

    Raises:
        CertificateProblem: names every such file, relative to the data directory, with the chmod that mends it.
    """
    problems = [problem for name, path, mode in _private(data_dir, ready_file) if (problem := _open(name, path, mode))]
    if problems:
        raise CertificateProblem("; ".join(problems))


def _private(data_dir: Path, ready_file: Path | None) -> Iterator[tuple[str, Path, str]]:
    yield "the data directory", data_dir, "700"
    yield FOLDER, data_dir / FOLDER, "700"
    keys = sorted((data_dir / FOLDER).glob("*.key")) + sorted((data_dir / FOLDER).glob("*.key.part"))
    for key in keys:
        yield f"{FOLDER}/{key.name}", key, "600"
    for path in sorted(data_dir.glob(f"{FILE_NAME}*")):
        yield path.name, path, "600"
    yield "ready.json", data_dir / "ready.json", "600"
    if ready_file is not None and ready_file != data_dir / "ready.json":
        yield f"the ready-file {ready_file.name}", ready_file, "600"


def _open(name: str, path: Path, mode: str) -> str:
    try:
        found = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return ""
    if found & 0o077 == 0:
        return ""
    target = (path.name or ".") if name.startswith("the ") else name
    return f"{name} has mode {found:04o} and may only be its owner's: run chmod {mode} {target}"
